"""Shapes of adjudications and of what holds."""

from typing import Any

from rest_framework import serializers as s

from annotator.api import reading_serializers as shapes
from annotator.models import Adjudication, Annotation, Consensus


class ConsensusSerializer(s.ModelSerializer[Consensus]):
    """What holds for a recording."""

    statements = shapes.StatementSerializer(many=True)

    class Meta:
        model = Consensus
        fields = ("id", "recording", "round", "source", "statements", "overall", "unreadable_reason", "text",
                  "corrects", "created_at")  # fmt: skip


class AdjudicationSerializer(s.ModelSerializer[Adjudication]):
    """A disagreement."""

    round = s.IntegerField(source="round.number", read_only=True)
    pseudonym = s.CharField(source="recording.__str__", read_only=True)
    claimed_by = s.CharField(source="claimed_by.username", default=None, read_only=True)

    class Meta:
        model = Adjudication
        fields = ("id", "round", "recording", "pseudonym", "state", "disagreement", "claimed_by", "lease_until",
                  "reason", "created_at", "settled_at")  # fmt: skip


class AdjudicationClaimSerializer(s.Serializer[Any]):
    """The claimed adjudication, or null and why."""

    adjudication = AdjudicationSerializer(allow_null=True)
    why = s.CharField(required=False)


class ContentSerializer(s.Serializer[Any]):
    """An answer without who gave it."""

    overall = s.CharField()
    statements = shapes.NamedStatementSerializer(many=True)
    unreadable_reason = s.CharField()
    override_reason = s.CharField()
    confidence = s.ChoiceField(choices=Annotation.Confidence.choices)
    text = s.CharField()
    display = s.DictField()
    marks = shapes.MarkSerializer(many=True)


class SideSerializer(s.Serializer[Any]):
    """One reader's answer, the reader as a letter."""

    reader = s.CharField()
    final = ContentSerializer()
    first = ContentSerializer(allow_null=True)


class SideBySideSerializer(s.Serializer[Any]):
    """A disagreement with all that helps to settle it."""

    adjudication = AdjudicationSerializer()
    recording = shapes.RecordingSerializer()
    answers = SideSerializer(many=True)
    on_file = shapes.OnFileSerializer()
    consensus = ConsensusSerializer(allow_null=True, help_text="The decision, once settled.")
