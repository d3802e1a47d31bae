"""Recordings and their waveforms."""

import gzip

from django.conf import settings
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse, HttpResponseBase, HttpResponseNotModified
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import generics
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.views import APIView

from annotator.api.job_base import AnyContent, Newest
from annotator.api.reading_base import person
from annotator.errors import NotFound
from annotator.models import Dataset, Prediction, Recording, Role, SourceLabel, Waveform
from annotator.permissions import roles
from annotator.selectors import waveforms
from ecgfm_core import waveform
from ecgfm_core.active import meanings

COMPRESSION = 1  # measured: levels above cost more time than the bytes they save take to send


class WaveformSerializer(s.ModelSerializer[Waveform]):
    """How the samples of a recording are to be read."""

    class Meta:
        model = Waveform
        fields: tuple[str, ...] = (
            "sha256",
            "lead_names",
            "sampling_rate_hz",
            "sample_count",
            "scale_mv",
            "calibrated",
            "scale_note",
        )


class GivenLabelSerializer(s.ModelSerializer[SourceLabel]):
    """A statement that came with a recording."""

    class Meta:
        model = SourceLabel
        fields: tuple[str, ...] = ("system", "source_code", "code", "likelihood")


class PredictionSerializer(s.ModelSerializer[Prediction]):
    """What one checkpoint said of a recording: the scores say who would gain from a reader."""

    label_probabilities = s.SerializerMethodField()
    label_error_detail = s.DictField(read_only=True, help_text="Votes and the label most in doubt.")

    class Meta:
        model = Prediction
        fields: tuple[str, ...] = (
            "checkpoint",
            "abnormal_probability",
            "label_probabilities",
            *meanings.NAMES,
            "label_error_detail",
            "generated_text",
        )

    @extend_schema_field(s.DictField(child=s.FloatField(), help_text="By code."))
    def get_label_probabilities(self, said: Prediction) -> dict[str, float]:
        """Return the probability of each code."""
        return dict(zip(said.checkpoint.label_codes, said.label_probabilities, strict=True))


class StoredRecordingSerializer(s.ModelSerializer[Recording]):
    """A recording without its samples and without its patient."""

    pseudonym = s.CharField(source="__str__", read_only=True)
    dataset = s.CharField(source="dataset.name", read_only=True)
    quality = s.DictField(read_only=True)
    waveform = WaveformSerializer(read_only=True)

    class Meta:
        model = Recording
        fields: tuple[str, ...] = (
            "id",
            "pseudonym",
            "dataset",
            "name",
            "split",
            "age_years",
            "sex",
            "acquired_at",
            "centre",
            "quality",
            "source_abnormal",
            "imported_at",
            "waveform",
        )


class StoredRecordingDetailSerializer(StoredRecordingSerializer):
    """A recording with what came with it and what each checkpoint said of it."""

    source_labels = GivenLabelSerializer(many=True, read_only=True)
    predictions = PredictionSerializer(many=True, read_only=True)

    class Meta(StoredRecordingSerializer.Meta):
        fields: tuple[str, ...] = (
            *StoredRecordingSerializer.Meta.fields,
            "report_text",
            "source_labels",
            "predictions",
        )


@extend_schema_view(get=extend_schema(parameters=[OpenApiParameter("dataset", int, description="Id of a dataset.")]))
class Recordings(generics.ListAPIView[Recording]):
    """All recordings, the newest first."""

    permission_classes = (roles(Role.ADMIN),)
    serializer_class = StoredRecordingSerializer
    pagination_class = Newest

    def get_queryset(self) -> QuerySet[Recording]:
        """Return the recordings, of one dataset if the address names one."""
        rows = Recording.objects.select_related("dataset", "waveform")
        wanted = self.request.query_params.get("dataset", "")
        return rows.filter(dataset=int(wanted) if wanted.isdecimal() else 0) if wanted else rows


class RecordingDetail(generics.RetrieveAPIView[Recording]):
    """One recording with its source labels, its text and its predictions."""

    permission_classes = (roles(Role.ADMIN),)
    serializer_class = StoredRecordingDetailSerializer
    queryset = Recording.objects.select_related("dataset", "waveform").prefetch_related(
        "source_labels",
        Prefetch(
            "predictions",
            Prediction.objects.defer("embedding").select_related("checkpoint").order_by("checkpoint"),
        ),
    )


class DatasetSerializer(s.ModelSerializer[Dataset]):
    """A dataset."""

    name = s.CharField(help_text="1 to 60 letters, digits, spaces, dots, dashes and underscores.")

    class Meta:
        model = Dataset
        fields: tuple[str, ...] = ("id", "name", "layout", "created_at")
        read_only_fields = ("layout",)


class WaveformSamples(APIView):
    """The samples of one recording."""

    permission_classes = (roles(Role.READER, Role.ADJUDICATOR, Role.ADMIN),)
    content_negotiation_class = AnyContent

    @extend_schema(
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
        description="Little-endian int16 [lead, sample]; times scale_mv it is millivolt, -32768 is a missing sample. "
        "It never changes: keep it. 404 for what you may not see.",
    )
    def get(self, request: Request, sha256: str) -> HttpResponseBase:
        """Return the bytes to whoever may see them."""
        found = waveforms.visible(person(request), sha256)
        if found is None:
            raise NotFound("No such waveform, or none that you may see: claim its recording first.")
        headers = {
            "Cache-Control": "private, max-age=31536000, immutable",
            "ETag": f'"{sha256}"',
            "Vary": "Cookie, Accept-Encoding",
        }
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return HttpResponseNotModified(headers=headers)
        data = waveform.path_of(settings.WAVEFORM_DIR, sha256).read_bytes()
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            data, headers["Content-Encoding"] = gzip.compress(data, COMPRESSION, mtime=0), "gzip"
        return HttpResponse(data, content_type="application/octet-stream", headers=headers)
