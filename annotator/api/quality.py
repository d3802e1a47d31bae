"""Recordings that can't be read, and an admin's word on them."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api.job_base import Newest
from annotator.api.reading_base import parsed, person
from annotator.models import QualityDecision, Recording, Role
from annotator.permissions import roles
from annotator.selectors import quality as selectors
from annotator.services import quality


class UnreadableSerializer(s.ModelSerializer[Recording]):
    """A recording that can't be read, why, and by whose word."""

    pseudonym = s.CharField(source="__str__", read_only=True)
    dataset = s.CharField(source="dataset.name", read_only=True)
    score = s.SerializerMethodField()
    findings = s.SerializerMethodField()
    said_by = s.SerializerMethodField()

    class Meta:
        model = Recording
        fields: tuple[str, ...] = ("id", "pseudonym", "dataset", "name", "centre", "score", "findings", "said_by")

    def get_score(self, row: Recording) -> float | None:
        """Return the gate's score."""
        return row.quality.get("score")

    def get_findings(self, row: Recording) -> list[str]:
        """Return what is wrong, in words."""
        return selectors.findings(row)

    def get_said_by(self, row: Recording) -> str:
        """Return whose word it is: the gate, the readers, or an admin's."""
        return selectors.said_by(row)


class QualityDecisionSerializer(s.ModelSerializer[QualityDecision]):
    """An admin's word: true puts a recording back into the pool, false keeps it out of it."""

    decided_by = s.CharField(source="decided_by.username", read_only=True)

    class Meta:
        model = QualityDecision
        fields: tuple[str, ...] = ("recording", "readable", "decided_by", "decided_at")
        read_only_fields = ("recording", "decided_at")


class Unreadable(generics.ListAPIView[Recording]):
    """All recordings that can't be read, the newest first."""

    permission_classes = (roles(Role.ADMIN),)
    serializer_class = UnreadableSerializer
    pagination_class = Newest

    def get_queryset(self) -> QuerySet[Recording]:
        """Return what an admin, the readers or the gate call unreadable."""
        return selectors.unreadable()


class DecideQuality(APIView):
    """An admin's word on whether a recording can be read."""

    permission_classes = (roles(Role.ADMIN),)

    @extend_schema(request=QualityDecisionSerializer, responses=QualityDecisionSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Put a recording back into the pool, or confirm that it is unreadable; the last word counts."""
        readable: Any = parsed(QualityDecisionSerializer, request).validated_data["readable"]
        recording = get_object_or_404(Recording, pk=pk)
        decision = quality.decide(recording=recording, readable=readable, by=person(request))
        return Response(QualityDecisionSerializer(decision).data)
