"""Disagreements: adjudicators claim and settle them."""

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api import reading_serializers as shapes
from annotator.api.adjudication_serializers import (
    AdjudicationClaimSerializer,
    AdjudicationSerializer,
    ConsensusSerializer,
    SideBySideSerializer,
)
from annotator.api.annotations import NewestFirst
from annotator.api.reading_base import parsed, person
from annotator.errors import InvalidInput
from annotator.models import Adjudication, Role
from annotator.permissions import roles
from annotator.selectors import readings
from annotator.services import reviews

NONE_LEFT = "No disagreement waits for you: all are settled, held by others, or on recordings that you read yourself."


class AdjudicatorView(APIView):
    """Base: only adjudicators."""

    permission_classes = (roles(Role.ADJUDICATOR),)


class Adjudications(ListAPIView[Adjudication]):
    """All disagreements."""

    permission_classes = (roles(Role.ADJUDICATOR),)
    serializer_class = AdjudicationSerializer
    pagination_class = NewestFirst

    @extend_schema(parameters=[OpenApiParameter("state", str, enum=Adjudication.State.values)])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Return the disagreements, newest first."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Adjudication]:
        """Narrow by `?state=`."""
        state = self.request.query_params.get("state")
        if state and state not in Adjudication.State.values:
            raise InvalidInput(f"?state={state}: it is one of {', '.join(Adjudication.State.values)}.")
        rows = readings.adjudications()
        return rows.filter(state=state) if state else rows


class ClaimAdjudication(AdjudicatorView):
    """The next one."""

    @extend_schema(request=None, responses={200: AdjudicationClaimSerializer})
    def post(self, request: Request) -> Response:
        """Claim the oldest disagreement that you did not read, or return the one that you hold."""
        found = reviews.claim_adjudication(adjudicator=person(request))
        if found is None:
            return Response({"adjudication": None, "why": NONE_LEFT})
        return Response({"adjudication": AdjudicationSerializer(readings.adjudication_by_id(found.pk)).data})


class AdjudicationDetail(AdjudicatorView):
    """Side by side."""

    @extend_schema(responses=SideBySideSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Return a disagreement with both answers, the readers as letters; not to someone who was one of them."""
        adjudication = readings.adjudication_for(pk, person(request))
        settled = getattr(adjudication, "consensus", None)
        body = readings.side_by_side(adjudication) | {
            "adjudication": AdjudicationSerializer(adjudication).data,
            "consensus": ConsensusSerializer(settled).data if settled else None,
        }
        return Response(body)


class SettleAdjudication(AdjudicatorView):
    """The decision."""

    @extend_schema(request=shapes.SettleSerializer, responses={201: ConsensusSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Settle a disagreement with a reason; what you say holds from now on."""
        form = parsed(shapes.SettleSerializer, request)
        settled = reviews.settle(
            adjudication=readings.adjudication_by_id(pk),
            adjudicator=person(request),
            answer=form.to_answer(),
            reason=form.validated_data["reason"],
            idempotency_key=form.validated_data["idempotency_key"],
        )
        return Response(ConsensusSerializer(settled).data, status=201)


class GiveBackAdjudication(AdjudicatorView):
    """Back to the others."""

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Done")})
    def post(self, request: Request, pk: int) -> Response:
        """Give a disagreement back."""
        reviews.give_back(adjudication=readings.adjudication_by_id(pk), adjudicator=person(request))
        return Response(status=204)


class HeartbeatAdjudication(AdjudicatorView):
    """A sign of life."""

    @extend_schema(request=None, responses=shapes.LeaseSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Extend the lease of a disagreement that you hold."""
        until = reviews.heartbeat(adjudication=readings.adjudication_by_id(pk), adjudicator=person(request))
        return Response({"lease_until": until})
