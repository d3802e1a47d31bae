"""Shapes of requests and answers of the reading side; responses are documented here and rendered as they are."""

from typing import Any
from uuid import UUID

from rest_framework import serializers as s
from rest_framework.request import Request

from annotator.models import Annotation, Mark, QueueItem, Role, Round
from annotator.models.annotations import Overall
from annotator.selectors import readings
from annotator.services.answers import QUALIFIERS, Answer, MarkAnswer, Statement
from ecgfm_core.active import meanings


class StatementSerializer(s.Serializer[Any]):
    """A coded statement."""

    code = s.CharField(max_length=20)
    qualifier = s.ChoiceField(choices=QUALIFIERS, allow_blank=True, default="")


class NamedStatementSerializer(StatementSerializer):
    """A coded statement with its name in the scheme."""

    name = s.CharField()


class MarkSerializer(s.ModelSerializer[Mark]):
    """A point (`end_s` null) or a span on leads."""

    lead_names = s.ListField(child=s.CharField(max_length=40), min_length=1, max_length=40)
    end_s = s.FloatField(allow_null=True, default=None)

    class Meta:
        model = Mark
        fields = ("lead_names", "start_s", "end_s", "code", "note")


class ReadingSerializer(s.Serializer[Any]):
    """What every reading says; a blank `overall` follows from the statements."""

    statements = StatementSerializer(many=True, default=list)
    overall = s.ChoiceField(choices=Overall.choices, allow_blank=True, default="")
    unreadable_reason = s.CharField(allow_blank=True, default="")
    override_reason = s.CharField(allow_blank=True, default="", help_text="Why overall differs from the statements.")
    text = s.CharField(allow_blank=True, default="", trim_whitespace=False)
    idempotency_key = s.UUIDField(help_text="New for each answer; the same one again returns what it stored.")

    def to_answer(self) -> Answer:
        """Return the validated reading as the services take it."""
        return _to_answer(self.validated_data)


def _to_answer(reading: dict[str, Any]) -> Answer:
    data = {name: value for name, value in reading.items() if name in Answer.__dataclass_fields__}
    data["statements"] = tuple(Statement(**statement) for statement in data["statements"])
    data["marks"] = tuple(
        MarkAnswer(**{**mark, "lead_names": tuple(mark["lead_names"])}) for mark in data.get("marks", ())
    )
    return Answer(**data)


SHOWN = "Id of the recording that was shown; 409 where the item is of another one."


class AnswerSerializer(ReadingSerializer):
    """A reader's answer."""

    recording = s.IntegerField(required=False, help_text=SHOWN)
    confidence = s.ChoiceField(choices=Annotation.Confidence.choices, default=Annotation.Confidence.HIGH)
    display = s.DictField(default=dict, help_text="Speed, gain, filters and layout in use.")
    duration_ms = s.IntegerField(min_value=0, default=0, help_text="Time on the sheet.")
    marks = MarkSerializer(many=True, default=list)


ANSWERS = AnswerSerializer()  # making the fields anew for each request takes longer than all they check


def parsed_answer(request: Request) -> tuple[Answer, UUID, int | None]:
    """Return the request's body as an answer, its key and the recording that was shown; refuses an invalid one."""
    reading = ANSWERS.run_validation(request.data)
    return _to_answer(reading), reading["idempotency_key"], reading.get("recording")


class SettleSerializer(ReadingSerializer):
    """An adjudicator's decision."""

    reason = s.CharField(help_text="Why it is settled so.")


class DraftSerializer(s.Serializer[Any]):
    """An unfinished reading; `version` is the one it was made on, 0 for none."""

    content = s.DictField()
    version = s.IntegerField(min_value=0)
    recording = s.IntegerField(required=False, write_only=True, help_text=SHOWN)


class SkipSerializer(s.Serializer[Any]):
    """Why an item is passed on."""

    reason = s.CharField(max_length=300)


class LeaseSerializer(s.Serializer[Any]):
    """Until when an item is held."""

    lease_until = s.DateTimeField()


class RecordingSerializer(s.Serializer[Any]):
    """What may be known of a recording before it is read."""

    id = s.IntegerField()
    pseudonym = s.CharField()
    age_years = s.FloatField(allow_null=True)
    sex = s.CharField()
    sampling_rate_hz = s.FloatField()
    duration_s = s.FloatField()
    lead_names = s.ListField(child=s.CharField())
    sample_count = s.IntegerField()
    scale_mv = s.FloatField()
    calibrated = s.BooleanField()
    quality = s.DictField()
    measurements = s.DictField()
    waveform_url = s.CharField()


class SourceLabelSerializer(s.Serializer[Any]):
    """A statement that came with the recording."""

    system = s.CharField()
    source_code = s.CharField()
    code = s.CharField(help_text="Code in the scheme, blank if it has none.")
    name = s.CharField()
    likelihood = s.FloatField(allow_null=True)


class ModelLabelSerializer(s.Serializer[Any]):
    """A label and its probability."""

    code = s.CharField()
    name = s.CharField()
    probability = s.FloatField()


class ScoreSerializer(s.Serializer[Any]):
    """A score of a recording and what it means."""

    name = s.ChoiceField(choices=meanings.NAMES)
    title = s.CharField()
    value = s.FloatField()
    meaning = s.CharField()
    method = s.CharField()
    range = s.CharField(help_text="With the unit.")
    read_first = s.CharField(help_text="Which end gains most from a reader; blank where neither does.")


class ModelSerializer(s.Serializer[Any]):
    """What the round's checkpoint says."""

    checkpoint = s.IntegerField()
    abnormal_probability = s.FloatField()
    labels = ModelLabelSerializer(many=True)
    text = s.CharField()
    scores = ScoreSerializer(many=True, help_text="Why the recording may be worth a reader; none where chance drew it.")


class EarlierConsensusSerializer(s.Serializer[Any]):
    """What held before the round."""

    overall = s.CharField()
    statements = NamedStatementSerializer(many=True)
    text = s.CharField()
    source = s.CharField()  # type: ignore[assignment]


class OnFileSerializer(s.Serializer[Any]):
    """What is known and thought of a recording."""

    source_labels = SourceLabelSerializer(many=True)
    source_abnormal = s.BooleanField(allow_null=True)
    report_text = s.CharField()
    consensus = EarlierConsensusSerializer(allow_null=True)
    model = ModelSerializer(allow_null=True)


class RevealSerializer(OnFileSerializer):
    """What a reader sees after the first read."""

    reason = s.CharField(help_text="Why the recording was queued.")
    origin = s.ChoiceField(
        choices=[(one.value, one.label) for one in QueueItem.COUNTED], help_text="audit: drawn at random."
    )


class ItemRoundSerializer(s.Serializer[Any]):
    """The round of an item; the counts are up to two seconds old."""

    number = s.IntegerField()
    reveal = s.ChoiceField(choices=Round.Reveal.choices)
    read = s.IntegerField()
    total = s.IntegerField()


class ItemSerializer(s.Serializer[Any]):
    """A held queue item."""

    id = s.IntegerField()
    round = ItemRoundSerializer()
    recording = RecordingSerializer()
    stage = s.ChoiceField(choices=Annotation.Stage.choices, help_text="The read that comes next.")
    lease_until = s.DateTimeField()
    draft = DraftSerializer(allow_null=True)
    reveal = RevealSerializer(allow_null=True, help_text="Null until it may be seen.")


class ClaimSerializer(s.Serializer[Any]):
    """The claimed item, or null and why."""

    item = ItemSerializer(allow_null=True)
    why = s.CharField(required=False)


class AnnotationSerializer(s.ModelSerializer[Annotation]):
    """A stored answer."""

    round = s.IntegerField(source="item.round.number", read_only=True)
    reader = s.SerializerMethodField(help_text="A letter for adjudicators, who are not to know whom they judge.")
    statements = StatementSerializer(many=True)
    marks = MarkSerializer(many=True)
    revised_by = s.SerializerMethodField()

    class Meta:
        model = Annotation
        fields = (
            "id", "item", "round", "recording", "reader", "stage", "statements", "overall", "unreadable_reason",
            "override_reason", "confidence", "text", "display", "duration_ms", "marks", "revises", "revised_by",
            "created_at",
        )  # fmt: skip

    def get_reader(self, annotation: Annotation) -> str:
        """Return the reader's name, or their pseudonym for an adjudicator."""
        judged = self.context["request"].user.role == Role.ADJUDICATOR
        return readings.pseudonym(annotation) if judged else annotation.reader.username

    def get_revised_by(self, annotation: Annotation) -> int | None:
        """Return the id of the answer that took this one's place."""
        return getattr(getattr(annotation, "revised_by", None), "pk", None)


class ReceiptSerializer(s.ModelSerializer[Annotation]):
    """What was stored, without what was sent."""

    class Meta:
        model = Annotation
        fields = ("id", "item", "recording", "stage", "overall", "revises", "created_at")


def receipt(stored: Annotation) -> dict[str, Any]:
    """Return a ReceiptSerializer's shape, without the serializer's work."""
    return {
        "id": stored.pk,
        "item": stored.item_id,
        "recording": stored.recording_id,
        "stage": stored.stage,
        "overall": stored.overall,
        "revises": stored.revises_id,
        "created_at": stored.created_at,
    }


class StoredSerializer(s.Serializer[Any]):
    """A final read as stored."""

    annotation = ReceiptSerializer()


class FirstReadSerializer(s.Serializer[Any]):
    """A first read as stored, and what may now be seen."""

    annotation = ReceiptSerializer()
    reveal = RevealSerializer()


class WorklistRoundSerializer(s.Serializer[Any]):
    """An open round as one reader has it."""

    number = s.IntegerField()
    reveal = s.ChoiceField(choices=Round.Reveal.choices)
    waiting = s.IntegerField(help_text="Recordings that this reader could claim.")
    held = s.IntegerField()
    answered = s.IntegerField(help_text="By this reader.")
    read = s.IntegerField(help_text="By all readers.")
    total = s.IntegerField()


class WorklistSerializer(s.Serializer[Any]):
    """What waits, and why nothing does."""

    rounds = WorklistRoundSerializer(many=True)
    why_nothing = s.CharField()


class LabelSerializer(s.Serializer[Any]):
    """One statement of the scheme."""

    code = s.CharField()
    abbreviation = s.CharField()
    name = s.CharField()
    group = s.CharField()
    synonyms = s.ListField(child=s.CharField())
    normal = s.BooleanField()


class SchemeSerializer(s.Serializer[Any]):
    """The scheme in force."""

    version = s.CharField()
    labels = LabelSerializer(many=True)
    qualifiers = s.ListField(child=s.CharField(allow_blank=True))
    clashes = s.ListField(
        child=s.ListField(child=s.CharField(), min_length=2, max_length=2), help_text="Pairs of codes to warn of."
    )
