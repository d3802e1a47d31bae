"""Curated releases and their files."""

from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse, HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api.job_base import JOB_FIELDS, AnyContent, JobSerializer, Newest
from annotator.api.reading_base import parsed, person
from annotator.errors import InvalidInput
from annotator.models import CuratedRelease, Role
from annotator.permissions import DenyUnlessRole, roles
from annotator.selectors import release_files
from annotator.services import releases

MAY_READ = roles(Role.ADMIN, Role.RESEARCHER)
MAY_MAKE = roles(Role.ADMIN)


class ReleaseSerializer(JobSerializer):
    """A curated release."""

    datasets: s.RelatedField[Any, Any, Any] = s.SlugRelatedField(slug_field="name", many=True, read_only=True)

    class Meta(JobSerializer.Meta):
        model = CuratedRelease
        fields: tuple[str, ...] = (
            *JOB_FIELDS,
            "number",
            "title",
            "notes",
            "datasets",
            "only_consensus",
            "recording_count",
            "consensus_count",
            "manifest_sha256",
        )


class NewReleaseSerializer(s.Serializer[Any]):
    """What a new release is to hold."""

    title = s.CharField(max_length=120)
    notes = s.CharField(default="", allow_blank=True)
    dataset_ids = s.ListField(child=s.IntegerField())
    only_consensus = s.BooleanField(default=False, help_text="Leave out recordings that no one has read.")


class Releases(generics.ListCreateAPIView[CuratedRelease]):
    """All releases, the newest first."""

    serializer_class = ReleaseSerializer
    pagination_class = Newest

    def get_permissions(self) -> list[DenyUnlessRole]:
        """Admins and researchers read, admins make releases."""
        return [MAY_MAKE() if self.request.method == "POST" else MAY_READ()]

    def get_queryset(self) -> QuerySet[CuratedRelease]:
        """Return the releases with what the list shows of them."""
        return CuratedRelease.objects.select_related("created_by").prefetch_related("datasets")

    @extend_schema(request=NewReleaseSerializer, responses={201: ReleaseSerializer})
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002
        """Queue a release."""
        data = parsed(NewReleaseSerializer, request).validated_data
        return Response(ReleaseSerializer(releases.start_release(**data, by=person(request))).data, status=201)


class ReleaseDetail(APIView):
    """One release."""

    permission_classes = (MAY_READ,)

    @extend_schema(responses=ReleaseSerializer)
    def get(self, request: Request, number: int) -> Response:  # noqa: ARG002
        """Return a release."""
        return Response(ReleaseSerializer(release_files.release_by_number(number)).data)


class ReleaseFile(APIView):
    """One file of a release."""

    permission_classes = (MAY_READ,)
    content_negotiation_class = AnyContent

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, number: int, path: str) -> HttpResponseBase:  # noqa: ARG002
        """Return a file; SHA256SUMS lists them."""
        file = release_files.file_of(release_files.release_by_number(number), path)
        return FileResponse(file.open("rb"), as_attachment=True, filename=file.name)


class ReleaseDownload(APIView):
    """A whole release as one zip."""

    permission_classes = (MAY_READ,)
    content_negotiation_class = AnyContent

    @extend_schema(
        parameters=[OpenApiParameter("format", str, enum=sorted(release_files.LEFT_OUT), default="wfdb")],
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, number: int) -> HttpResponseBase:
        """Return a zip with the samples as WFDB records or as Parquet."""
        form = request.query_params.get("format", "wfdb")
        if form not in release_files.LEFT_OUT:
            raise InvalidInput(f"format={form!r}: {' and '.join(sorted(release_files.LEFT_OUT))} are allowed.")
        release = release_files.release_by_number(number)
        name = f"{release_files.folder_of(release).name}-{form}.zip"
        response = StreamingHttpResponse(release_files.zip_stream(release, form), content_type="application/zip")
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response
