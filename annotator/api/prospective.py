"""Prospective tests: admins start and end them, devices send recordings and fetch what the model said of each."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework import serializers as s
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api.job_base import Newest
from annotator.api.reading_base import parsed, person
from annotator.errors import InvalidInput, NotFound
from annotator.models import Arrival, Checkpoint, ProspectiveTest, Role
from annotator.permissions import DenyUnlessRole, roles
from annotator.selectors import prospective as selectors
from annotator.services import arrivals
from annotator.services import prospective as service

MAY_READ = roles(Role.ADMIN, Role.RESEARCHER)
MAY_CHANGE = roles(Role.ADMIN)
MAY_SEND = roles(Role.ADMIN, Role.SENDER)
OVERHEAD = 1 << 16  # of a multipart body
PIECE = 1 << 20


class RawBody(BaseParser):
    """The body as it is: one file."""

    media_type = "application/*"

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,  # noqa: ARG002
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        """Return the stream; the view reads it by pieces."""
        return {"raw": stream}


class ProspectiveTestSerializer(s.ModelSerializer[ProspectiveTest]):
    """A prospective test."""

    dataset = s.CharField(source="dataset.name", read_only=True)

    class Meta:
        model = ProspectiveTest
        fields = ("id", "name", "state", "checkpoint", "dataset", "watch_path", "threshold", "threshold_origin",
                  "with_text", "started_at", "ended_at")  # fmt: skip


class NewProspectiveTestSerializer(s.Serializer[Any]):
    """What is tested."""

    name = s.CharField(max_length=100)
    checkpoint = s.PrimaryKeyRelatedField(queryset=Checkpoint.objects.all())
    dataset_name = s.CharField(help_text="Receives the arrivals; made when there is none.", trim_whitespace=False)
    watch_path = s.CharField(default="", allow_blank=True, help_text="Below the server's import folder.")
    threshold = s.FloatField(default=None, allow_null=True, help_text="Default: from the checkpoint's validation.")
    with_text = s.BooleanField(default=True)


class SaidLabelSerializer(s.Serializer[Any]):
    """A label over its threshold."""

    code = s.CharField()
    name = s.CharField()
    probability = s.FloatField()


class ArrivalSerializer(s.Serializer[Any]):
    """What became of an arrival."""

    id = s.IntegerField()
    name = s.CharField()
    state = s.ChoiceField(choices=Arrival.State.choices)
    received_at = s.DateTimeField()
    duplicate_of = s.IntegerField(allow_null=True)
    reason = s.CharField(help_text="Why it was refused, or what was remarked of it.")
    recording = s.CharField(help_text="Its pseudonym, once it is read.")
    predicted_at = s.DateTimeField(allow_null=True)
    abnormal_probability = s.FloatField(allow_null=True)
    threshold = s.FloatField()
    abnormal = s.BooleanField(allow_null=True)
    labels = SaidLabelSerializer(many=True)
    text = s.CharField()


class ProspectiveTests(generics.ListAPIView[ProspectiveTest]):
    """All prospective tests, the newest first."""

    serializer_class = ProspectiveTestSerializer
    pagination_class = Newest
    queryset = ProspectiveTest.objects.select_related("dataset")

    def get_permissions(self) -> list[DenyUnlessRole]:
        """Admins and researchers read, admins start tests."""
        return [MAY_CHANGE() if self.request.method == "POST" else MAY_READ()]

    @extend_schema(request=NewProspectiveTestSerializer, responses={201: ProspectiveTestSerializer})
    def post(self, request: Request) -> Response:
        """Start a test."""
        data = parsed(NewProspectiveTestSerializer, request).validated_data
        return Response(ProspectiveTestSerializer(service.start(**data, by=person(request))).data, status=201)


class EndProspectiveTest(APIView):
    """running -> ended."""

    permission_classes = (MAY_CHANGE,)

    @extend_schema(request=None, responses=ProspectiveTestSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """End a test; 409 once it has ended."""
        test = service.end(test=get_object_or_404(ProspectiveTest, pk=pk), by=person(request))
        return Response(ProspectiveTestSerializer(test).data)


class ProspectiveFigures(APIView):
    """How the calls of a test compare with what readers said since."""

    permission_classes = (MAY_READ,)

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:  # noqa: ARG002
        """Return recall, precision, F1 overall, by day and by group, and drift."""
        test = get_object_or_404(selectors.tests(), pk=pk)
        return Response(selectors.as_json(selectors.Figures(test)))


class Arrivals(APIView):
    """Where recordings are sent to."""

    permission_classes = (MAY_SEND,)
    parser_classes = (MultiPartParser, RawBody)

    @extend_schema(
        request={"multipart/form-data": OpenApiTypes.OBJECT, "application/octet-stream": OpenApiTypes.BINARY},
        parameters=[
            OpenApiParameter("name", str, description="File name of a raw body, its ending included."),
            OpenApiParameter("centre", str, description="Where it was recorded, if the file does not say."),
        ],
        responses={202: ArrivalSerializer},
        description="One recording: a zip file, a WFDB header and samples, a .mat or a .txt file; as the body with "
        "its name in the address, or as files of a form. Answers at once; ask the address in Location for the result.",
    )
    def post(self, request: Request, pk: int) -> Response:
        """Take a recording."""
        test = get_object_or_404(selectors.tests(), pk=pk)
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.ARRIVAL_LIMIT_MB * arrivals.MEGABYTE + OVERHEAD:
            raise InvalidInput(arrivals.too_large())
        files = list(_files(request))
        centre = request.query_params.get("centre", "")
        name = files[0][0] if files else ""
        arrival = arrivals.receive(test=test, files=files, name=name, centre=centre, by=person(request))
        place = request.build_absolute_uri(f"{request.path}/{arrival.pk}")
        return Response(ArrivalSerializer(selectors.answer(arrival)).data, status=202, headers={"Location": place})


def _files(request: Request) -> Iterator[arrivals.Sent]:
    """Yield the files of a form, or the body as one file."""
    stream = request.data.get("raw") if isinstance(request.data, dict) else None
    if stream is not None and hasattr(stream, "read") and not request.FILES:  # a field of a form may bear the same name
        yield request.query_params.get("name", "recording.zip"), iter(lambda: stream.read(PIECE), b"")
    for _, sent in request.FILES.lists():
        for file in sent:
            yield file.name or "", file.chunks()


class ArrivalDetail(APIView):
    """One arrival."""

    permission_classes = (MAY_SEND,)

    @extend_schema(responses=ArrivalSerializer)
    def get(self, request: Request, pk: int, arrival_pk: int) -> Response:
        """Return what became of it; 404 for what you did not send."""
        arrival = selectors.visible(pk, arrival_pk, person(request))
        if arrival is None:
            raise NotFound(f"Test {pk} has no arrival {arrival_pk} that you have sent.")
        return Response(ArrivalSerializer(selectors.answer(arrival)).data)
