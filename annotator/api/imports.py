"""Datasets and their imports."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework import serializers as s
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.api.job_base import JOB_FIELDS, JobSerializer, Newest
from annotator.api.reading_base import parsed, person
from annotator.api.recordings import DatasetSerializer
from annotator.errors import InvalidInput
from annotator.models import Dataset, ImportIssue, ImportRun, Role
from annotator.permissions import roles
from annotator.services import ingest

ISSUES_SHOWN = 1000


class ImportIssueSerializer(s.ModelSerializer[ImportIssue]):
    """A record that was refused, or taken with a remark."""

    class Meta:
        model = ImportIssue
        fields: tuple[str, ...] = ("record_name", "refused", "reason")


class ImportRunSerializer(JobSerializer):
    """An import."""

    dataset = s.CharField(source="dataset.name", read_only=True)

    class Meta(JobSerializer.Meta):
        model = ImportRun
        fields: tuple[str, ...] = (
            *JOB_FIELDS,
            "dataset",
            "source_path",
            "added_count",
            "unchanged_count",
            "refused_count",
        )


class ImportRunDetailSerializer(ImportRunSerializer):
    """An import with its first issues, refusals first."""

    issues = s.SerializerMethodField()

    class Meta(ImportRunSerializer.Meta):
        fields: tuple[str, ...] = (*ImportRunSerializer.Meta.fields, "issues")

    def get_issues(self, run: ImportRun) -> list[dict[str, Any]]:
        """Return the first issues."""
        rows = run.issues.order_by("-refused", "record_name", "pk")[:ISSUES_SHOWN]
        return list(ImportIssueSerializer(rows, many=True).data)


class NewImportSerializer(s.Serializer[Any]):
    """What is imported: a path below the server's import folder, or an uploaded zip."""

    dataset = s.CharField(help_text="Name of the dataset; made when there is none.", trim_whitespace=False)
    path = s.CharField(required=False, help_text="Below the server's import folder.")
    file = s.FileField(required=False, help_text="A zip.")


class Datasets(generics.ListCreateAPIView[Dataset]):
    """All datasets, the newest first."""

    permission_classes = (roles(Role.ADMIN),)
    serializer_class = DatasetSerializer
    pagination_class = Newest
    queryset = Dataset.objects.all()

    @extend_schema(responses={201: DatasetSerializer})
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002
        """Make a dataset; the same name twice is the same dataset."""
        name = parsed(DatasetSerializer, request).validated_data["name"]
        return Response(DatasetSerializer(ingest.create_dataset(name=name, by=person(request))).data, status=201)


class Imports(generics.ListCreateAPIView[ImportRun]):
    """All imports, the newest first."""

    permission_classes = (roles(Role.ADMIN),)
    serializer_class = ImportRunSerializer
    pagination_class = Newest
    parser_classes = (JSONParser, MultiPartParser)

    def get_queryset(self) -> QuerySet[ImportRun]:
        """Return the imports with what the list shows of them."""
        return ImportRun.objects.select_related("dataset", "created_by")

    @extend_schema(
        request={"application/json": NewImportSerializer, "multipart/form-data": NewImportSerializer},
        responses={201: ImportRunSerializer},
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002
        """Queue an import of a path or of the uploaded zip."""
        _refuse_too_large(request)
        data, by = parsed(NewImportSerializer, request).validated_data, person(request)
        if ("path" in data) == ("file" in data):
            raise InvalidInput("Give either a path below the server's import folder, or a zip file.")
        path = data.get("path")
        if path is None:
            path = ingest.store_upload(name=data["file"].name, chunks=data["file"].chunks(), by=by)
        run = ingest.start_import(path=path, dataset_name=data["dataset"], by=by)
        return Response(ImportRunSerializer(run).data, status=201)


class ImportDetail(generics.RetrieveAPIView[ImportRun]):
    """One import with what it refused."""

    permission_classes = (roles(Role.ADMIN),)
    serializer_class = ImportRunDetailSerializer
    queryset = ImportRun.objects.select_related("dataset", "created_by")


def _refuse_too_large(request: Request) -> None:
    """Refuse before a byte of the body is read."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > (settings.UPLOAD_LIMIT_MB + 1) * ingest.MEGABYTE:
        raise InvalidInput(f"The file is larger than {settings.UPLOAD_LIMIT_MB:,} MB. Copy it into the import folder.")
