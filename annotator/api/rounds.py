"""Rounds: admins make and move them, adjudicators read."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api.reading_base import parsed, person
from annotator.models import Checkpoint, Dataset, Recording, Role, Round
from annotator.permissions import DenyUnlessRole, roles
from annotator.selectors import agreement
from annotator.selectors.model_metrics import before_and_after
from annotator.selectors.progress import progress
from annotator.selectors.rounds import round_by_id, rounds
from annotator.services import rounds as service

MAY_READ = roles(Role.ADMIN, Role.ADJUDICATOR)
MAY_CHANGE = roles(Role.ADMIN)


class RoundSerializer(s.ModelSerializer[Round]):
    """A round."""

    datasets: s.SlugRelatedField[Dataset] = s.SlugRelatedField(slug_field="name", many=True, read_only=True)
    item_count = s.IntegerField(read_only=True)
    answered_count = s.IntegerField(read_only=True)
    waiting_count = s.IntegerField(read_only=True)

    class Meta:
        model = Round
        fields = ("id", "number", "state", "datasets", "split", "checkpoint", "strategy", "reveal", "budget",
                  "audit_share", "repeat_share", "control_share", "readers_per_item", "seed", "failure", "created_at",
                  "opened_at", "closed_at", "item_count", "answered_count", "waiting_count")  # fmt: skip


class RoundDetailSerializer(RoundSerializer):
    """A round with its live numbers."""

    progress = s.DictField(read_only=True)

    class Meta:
        model = Round
        fields = (*RoundSerializer.Meta.fields, "progress")


class NewRoundSerializer(s.Serializer[Any]):
    """What a new round is to be."""

    dataset_ids = s.PrimaryKeyRelatedField(queryset=Dataset.objects.all(), many=True)
    strategy = s.ChoiceField(choices=Round.Strategy.choices, default=Round.Strategy.RELABEL)
    split = s.ChoiceField(
        choices=Recording.Split.choices,
        default=Recording.Split.TRAIN,
        help_text="The test split only with strategy random and reveal never.",
    )
    budget = s.IntegerField(min_value=1)
    audit_share = s.FloatField(
        min_value=0, max_value=1, default=0.1, help_text="Share of the budget drawn at random, to estimate error rates."
    )
    repeat_share = s.FloatField(
        min_value=0,
        max_value=service.ADDED_MAX,
        default=0.03,
        help_text="Added to the budget: readers read some recordings of earlier rounds again, unknowingly.",
    )
    control_share = s.FloatField(
        min_value=0,
        max_value=service.ADDED_MAX,
        default=0,
        help_text="Added to the budget: recordings with a known answer, to measure readers.",
    )
    readers_per_item = s.IntegerField(min_value=1, max_value=5, default=1)
    reveal = s.ChoiceField(choices=Round.Reveal.choices, default=Round.Reveal.AFTER_FIRST_READ)
    checkpoint = s.PrimaryKeyRelatedField(
        queryset=Checkpoint.objects.all(), allow_null=True, default=None, help_text="Default: the current one."
    )
    seed = s.IntegerField(min_value=0, max_value=2**63 - 1, default=0)


class Rounds(APIView):
    """All rounds."""

    def get_permissions(self) -> list[DenyUnlessRole]:
        """Admins and adjudicators read, admins make rounds."""
        return [MAY_CHANGE() if self.request.method == "POST" else MAY_READ()]

    @extend_schema(operation_id="rounds_list", responses=RoundSerializer(many=True))
    def get(self, request: Request) -> Response:  # noqa: ARG002
        """Return all rounds, the newest first."""
        return Response(RoundSerializer(rounds(), many=True).data)

    @extend_schema(request=NewRoundSerializer, responses={201: RoundSerializer})
    def post(self, request: Request) -> Response:
        """Make a draft round."""
        data = parsed(NewRoundSerializer, request).validated_data
        dataset_ids = [dataset.pk for dataset in data.pop("dataset_ids")]
        made = service.create_round(dataset_ids=dataset_ids, by=person(request), **data)
        return Response(RoundSerializer(round_by_id(made.pk)).data, status=201)


class RoundDetail(APIView):
    """One round."""

    permission_classes = (MAY_READ,)

    @extend_schema(responses=RoundDetailSerializer)
    def get(self, request: Request, pk: int) -> Response:  # noqa: ARG002
        """Return a round with its live numbers."""
        found = round_by_id(pk)
        return Response({**RoundSerializer(found).data, "progress": progress(found)})


class RoundAction(APIView):
    """A step of a round's life; `move` is the service that takes it."""

    permission_classes = (MAY_CHANGE,)
    move: Callable[..., Round]

    @extend_schema(request=None, responses=RoundSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Take the step; 409 from any other state than the one before it."""
        type(self).move(round=round_by_id(pk), by=person(request))
        return Response(RoundSerializer(round_by_id(pk)).data)


class FillRound(RoundAction):
    """draft -> filling."""

    move = staticmethod(service.request_fill)


class OpenRound(RoundAction):
    """filled -> open."""

    move = staticmethod(service.open_round)


class CloseRound(RoundAction):
    """open -> closed."""

    move = staticmethod(service.close_round)


class RoundReport(APIView):
    """A round in numbers."""

    permission_classes = (MAY_READ,)

    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, pk: int) -> Response:  # noqa: ARG002
        """Return the report of a closed round, or of an open one as of now; `estimate` says what is left to find."""
        found = round_by_id(pk)
        before, after = (row and {"id": row.pk, **row.test_metrics} for row in before_and_after(found))
        more = {"estimate": found.estimate, "model_before": before, "model_after": after}
        return Response({**(found.report or agreement.report(found)), **more})
