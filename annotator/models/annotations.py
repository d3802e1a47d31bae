"""What readers said. Annotations and marks are append-only: database triggers refuse update and delete."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from annotator.models.labels import LabelScheme
from annotator.models.recordings import Recording
from annotator.models.rounds import QueueItem


class Overall(models.TextChoices):
    """What a reading says of the recording as a whole."""

    NORMAL = "normal", "Normal"
    ABNORMAL = "abnormal", "Abnormal"
    UNREADABLE = "unreadable", "Unreadable"


class Reading(models.Model):
    """The content of an answer, shared by annotations, adjudications and consensus."""

    # [{"code": "164889003", "qualifier": ""}], qualifier one of "", possible, probable, acute, old
    statements = models.JSONField(default=list)
    overall = models.CharField(max_length=10, choices=Overall)
    unreadable_reason = models.CharField(max_length=300, blank=True)
    text = models.TextField(blank=True)

    class Meta:
        abstract = True


class Annotation(Reading):
    """One reader's answer on one recording: a first read or a final read."""

    class Stage(models.TextChoices):
        FIRST = "first", "First read"
        FINAL = "final", "Final read"

    class Confidence(models.TextChoices):
        LOW = "low", "Low"
        MEDIUM = "medium", "Medium"
        HIGH = "high", "High"

    item = models.ForeignKey(QueueItem, models.PROTECT, related_name="annotations")
    recording = models.ForeignKey(Recording, models.PROTECT, related_name="annotations")
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="annotations")
    scheme = models.ForeignKey(LabelScheme, models.PROTECT)
    stage = models.CharField(max_length=5, choices=Stage)
    confidence = models.CharField(max_length=6, choices=Confidence, default=Confidence.HIGH)
    override_reason = models.CharField(max_length=300, blank=True, help_text="Why overall differs from the statements.")
    display = models.JSONField(default=dict, help_text="Speed, gain, filters and layout in use.")
    duration_ms = models.PositiveIntegerField(default=0, help_text="Time on the sheet.")
    idempotency_key = models.UUIDField(unique=True)
    revises = models.OneToOneField("self", models.PROTECT, null=True, related_name="revised_by")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            # A first read whose claim ran out stays; the next reader of the item writes their own.
            models.UniqueConstraint(
                fields=["item", "reader", "stage"],
                condition=models.Q(revises__isnull=True),
                name="annotation_once_a_stage",
            ),
            models.UniqueConstraint(
                fields=["item"], condition=models.Q(revises__isnull=True, stage="final"), name="final_once_an_item"
            ),
        )
        indexes = (models.Index(fields=["recording", "stage"], name="annotation_recording"),)


class Mark(models.Model):
    """A point or span on leads in an annotation."""

    annotation = models.ForeignKey(Annotation, models.PROTECT, related_name="marks")
    lead_names = ArrayField(models.CharField(max_length=40))
    start_s = models.FloatField()
    end_s = models.FloatField(null=True, help_text="Null for a point.")
    code = models.CharField(max_length=20, blank=True)
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(end_s__isnull=True) | models.Q(end_s__gte=models.F("start_s")), name="mark_span"
            ),
        )


class Draft(models.Model):
    """An unfinished reading, kept until it is submitted."""

    item = models.ForeignKey(QueueItem, models.CASCADE, related_name="drafts")
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    content = models.JSONField(default=dict)
    version = models.PositiveIntegerField(default=1)
    saved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["item", "reader"], name="draft_once"),)
