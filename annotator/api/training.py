"""Training runs, checkpoints and scoring."""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api.job_base import JOB_FIELDS, JobSerializer, Newest
from annotator.api.reading_base import parsed, person
from annotator.errors import InvalidInput
from annotator.models import Checkpoint, Role, ScoringRun, TrainingMetric, TrainingRun
from annotator.permissions import roles
from annotator.selectors import gate as gates
from annotator.services import checkpoints
from ecgfm_core.noninferiority import Verdict

ADMIN = (roles(Role.ADMIN),)
SEED_MAX = 2**31 - 1


class TrainingRunSerializer(JobSerializer):
    """A training run."""

    config = s.DictField(read_only=True)
    dataset_ids: s.RelatedField[Any, Any, Any] = s.PrimaryKeyRelatedField(source="datasets", many=True, read_only=True)
    checkpoint: s.RelatedField[Any, Any, Any] = s.PrimaryKeyRelatedField(read_only=True)

    class Meta(JobSerializer.Meta):
        model = TrainingRun
        fields: tuple[str, ...] = (*JOB_FIELDS, "config_name", "config", "seed", "dataset_ids", "trigger", "checkpoint")


class TrainingRunDetailSerializer(TrainingRunSerializer):
    """A training run with the last lines of its log."""

    class Meta(TrainingRunSerializer.Meta):
        fields: tuple[str, ...] = (*TrainingRunSerializer.Meta.fields, "log")


class NewTrainingRunSerializer(s.Serializer[Any]):
    """What is trained."""

    config_name = s.CharField(default="tiny_cpu")
    config = s.DictField(default=dict, help_text="Fields that differ from the named config.")
    dataset_ids = s.ListField(child=s.IntegerField())
    seed = s.IntegerField(default=0, min_value=0, max_value=SEED_MAX)


class MetricSerializer(s.ModelSerializer[TrainingMetric]):
    """One point of one curve."""

    class Meta:
        model = TrainingMetric
        fields: tuple[str, ...] = ("id", "step", "name", "value")


class CheckpointSerializer(s.ModelSerializer[Checkpoint]):
    """A checkpoint with its provenance."""

    provenance = s.DictField(read_only=True)
    metrics = s.DictField(read_only=True)
    test_metrics = s.DictField(read_only=True, help_text="On the frozen test split, with 95 % intervals.")

    class Meta:
        model = Checkpoint
        fields: tuple[str, ...] = (
            "id",
            "run",
            "state",
            "sha256",
            "label_codes",
            "provenance",
            "metrics",
            "test_metrics",
            "created_at",
            "promoted_at",
            "override_reason",
        )


class GateLineSerializer(s.Serializer[gates.Line]):
    """One label: the area under the ROC curve of both checkpoints, the difference with its 95 % interval, a verdict."""

    name = s.CharField()
    positives = s.IntegerField()
    negatives = s.IntegerField()
    current = s.FloatField(allow_null=True)
    candidate = s.FloatField(allow_null=True)
    difference = s.FloatField(allow_null=True)
    low = s.FloatField(allow_null=True)
    high = s.FloatField(allow_null=True)
    verdict = s.ChoiceField(choices=[verdict.value for verdict in Verdict])


class GateSerializer(s.Serializer[gates.Gate]):
    """Whether a checkpoint may take the current one's place, and why."""

    open = s.BooleanField()
    words = s.CharField()
    waits = s.BooleanField(help_text="The comparison is being made; ask again.")
    current = s.IntegerField(allow_null=True)
    recordings = s.IntegerField()
    sources = s.DictField(child=s.IntegerField(), help_text="Where the labels of these recordings are from.")
    margin = s.FloatField(allow_null=True)
    positives_min = s.IntegerField(allow_null=True)
    lines = GateLineSerializer(many=True)


class PromotionSerializer(s.Serializer[Any]):
    """What opens a gate that is closed."""

    override_reason = s.CharField(default="", allow_blank=True, help_text="Written reason; kept and audited.")


class ScoringRunSerializer(JobSerializer):
    """A scoring run."""

    dataset_ids: s.RelatedField[Any, Any, Any] = s.PrimaryKeyRelatedField(source="datasets", many=True, read_only=True)

    class Meta(JobSerializer.Meta):
        model = ScoringRun
        fields: tuple[str, ...] = (*JOB_FIELDS, "checkpoint", "dataset_ids")


class NewScoringRunSerializer(s.Serializer[Any]):
    """What is scored; by default what the checkpoint was trained on."""

    dataset_ids = s.ListField(child=s.IntegerField(), required=False)


class TrainingRuns(generics.ListCreateAPIView[TrainingRun]):
    """All training runs, the newest first."""

    permission_classes = ADMIN
    serializer_class = TrainingRunSerializer
    pagination_class = Newest

    def get_queryset(self) -> QuerySet[TrainingRun]:
        """Return the runs with what the list shows of them."""
        rows = TrainingRun.objects.select_related("checkpoint", "created_by").defer("log")
        return rows.prefetch_related("datasets")

    @extend_schema(request=NewTrainingRunSerializer, responses={201: TrainingRunSerializer})
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002
        """Queue a training run."""
        data = parsed(NewTrainingRunSerializer, request).validated_data
        run = checkpoints.start_training(**data, by=person(request))
        return Response(TrainingRunSerializer(run).data, status=201)


class TrainingRunDetail(generics.RetrieveAPIView[TrainingRun]):
    """One training run."""

    permission_classes = ADMIN
    serializer_class = TrainingRunDetailSerializer
    queryset = TrainingRun.objects.select_related("checkpoint", "created_by").prefetch_related("datasets")


class TrainingRunMetrics(generics.ListAPIView[TrainingMetric]):
    """The points of a run's curves, in the order they came."""

    permission_classes = ADMIN
    serializer_class = MetricSerializer
    pagination_class = None

    def get_queryset(self) -> QuerySet[TrainingMetric]:
        """Return the points after the one the address names."""
        after = self.request.query_params.get("after", "0")
        if not after.isdecimal():
            raise InvalidInput(f"after={after!r}: the id of the last point you have, or nothing, is allowed.")
        run = get_object_or_404(TrainingRun, pk=self.kwargs["pk"])
        return run.metrics.filter(pk__gt=int(after)).order_by("pk")

    @extend_schema(parameters=[OpenApiParameter("after", int, description="Only points after this id.")])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the points."""
        return super().get(request, *args, **kwargs)


class CancelTrainingRun(APIView):
    """queued or running -> cancelled."""

    permission_classes = ADMIN

    @extend_schema(request=None, responses=TrainingRunSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Stop a training; 409 once it has ended."""
        run = checkpoints.cancel_training(run=get_object_or_404(TrainingRun, pk=pk), by=person(request))
        return Response(TrainingRunSerializer(run).data)


class Checkpoints(generics.ListAPIView[Checkpoint]):
    """All checkpoints, the newest first."""

    permission_classes = ADMIN
    serializer_class = CheckpointSerializer
    pagination_class = Newest
    queryset = Checkpoint.objects.all()


class CheckpointGate(APIView):
    """How a checkpoint compares with the current one on the frozen test split."""

    permission_classes = ADMIN

    @extend_schema(responses=GateSerializer)
    def get(self, request: Request, pk: int) -> Response:  # noqa: ARG002
        """Return whether it may be promoted, and why."""
        checkpoint = get_object_or_404(Checkpoint, pk=pk)
        return Response(GateSerializer(gates.gate(checkpoint, gates.current_checkpoint())).data)


class PromoteCheckpoint(APIView):
    """candidate or retired -> current."""

    permission_classes = ADMIN

    @extend_schema(request=PromotionSerializer, responses=CheckpointSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Make it the current checkpoint; 409 with the gate's words where it is held back without a reason."""
        reason = parsed(PromotionSerializer, request).validated_data["override_reason"]
        checkpoint = get_object_or_404(Checkpoint, pk=pk)
        promoted = checkpoints.promote(checkpoint=checkpoint, by=person(request), override_reason=reason)
        return Response(CheckpointSerializer(promoted).data)


class GoBack(APIView):
    """current -> retired, and the one before it current again."""

    permission_classes = ADMIN

    @extend_schema(request=None, responses=CheckpointSerializer)
    def post(self, request: Request) -> Response:
        """Go back to the checkpoint that was current before."""
        return Response(CheckpointSerializer(checkpoints.go_back(by=person(request))).data)


class ScoreCheckpoint(APIView):
    """Let a checkpoint score datasets."""

    permission_classes = ADMIN

    @extend_schema(request=NewScoringRunSerializer, responses={201: ScoringRunSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Queue a scoring run."""
        checkpoint = get_object_or_404(Checkpoint, pk=pk)
        named = parsed(NewScoringRunSerializer, request).validated_data.get("dataset_ids")
        dataset_ids: Iterable[int] = checkpoint.run.datasets.values_list("pk", flat=True) if named is None else named
        run = checkpoints.start_scoring(checkpoint=checkpoint, dataset_ids=dataset_ids, by=person(request))
        return Response(ScoringRunSerializer(run).data, status=201)


class ScoringRuns(generics.ListAPIView[ScoringRun]):
    """All scoring runs, the newest first."""

    permission_classes = ADMIN
    serializer_class = ScoringRunSerializer
    pagination_class = Newest
    queryset = ScoringRun.objects.select_related("created_by").prefetch_related("datasets")
