"""Prospective tests: a frozen checkpoint judges recordings as they arrive, and later readings judge the checkpoint."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from annotator.models.checkpoints import Checkpoint
from annotator.models.jobs import Job
from annotator.models.recordings import Dataset, Recording


class ProspectiveTest(models.Model):
    """One test: its checkpoint, threshold and reference are chosen beforehand and stay."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        ENDED = "ended", "Ended"

    name = models.CharField(max_length=100, unique=True)
    state = models.CharField(max_length=7, choices=State, default=State.RUNNING)
    checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, related_name="prospective_tests")
    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="prospective_tests")
    watch_path = models.CharField(max_length=1000, blank=True, help_text="Below the import folder; blank for none.")
    threshold = models.FloatField(help_text="Of the probability from which on a recording is called abnormal.")
    threshold_origin = models.CharField(max_length=200, help_text="Where the threshold comes from, in words.")
    with_text = models.BooleanField(default=True)
    reference = models.JSONField(help_text="origin, count and sorted scores that later scores are compared with.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["watch_path"], condition=Q(state="running") & ~Q(watch_path=""), name="one_test_a_watch_folder"
            ),
            models.CheckConstraint(condition=Q(threshold__gt=0, threshold__lt=1), name="prospective_threshold"),
        )

    def __str__(self) -> str:
        return self.name


class ArrivalBatch(Job):
    """What has arrived meanwhile, scored in one go."""

    test = models.ForeignKey(ProspectiveTest, models.PROTECT, related_name="batches")

    @property
    def checkpoint_id(self) -> int:
        """The checkpoint that scores it."""
        return self.test.checkpoint_id


class Arrival(models.Model):
    """One recording that was sent or put into the watch folder. Once set, its prediction never changes (a trigger)."""

    class State(models.TextChoices):
        """settling (still being written) -> waiting -> scored, refused or duplicate."""

        SETTLING = "settling", "Still being written"
        WAITING = "waiting", "Waiting"
        SCORED = "scored", "Scored"
        REFUSED = "refused", "Refused"
        DUPLICATE = "duplicate", "Duplicate"

    class Source(models.TextChoices):
        API = "api", "API"
        FOLDER = "folder", "Watch folder"

    test = models.ForeignKey(ProspectiveTest, models.PROTECT, related_name="arrivals")
    batch = models.ForeignKey(ArrivalBatch, models.PROTECT, null=True, related_name="arrivals")
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    source = models.CharField(max_length=6, choices=Source)
    sent_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    name = models.CharField(max_length=500, help_text="As sent, or its path in the watch folder.")
    fingerprint = models.CharField(max_length=64, blank=True, help_text="Of sizes and times of the watched files.")
    folder = models.CharField(max_length=32, blank=True, help_text="Our copy of its files, until they are read.")
    content_sha256 = models.CharField(max_length=64, blank=True, help_text="Of the files as they came.")
    centre = models.CharField(max_length=60, blank=True, help_text="Said beside the file; the file's own word wins.")
    recording = models.ForeignKey(Recording, models.PROTECT, null=True, related_name="arrivals")
    duplicate_of = models.ForeignKey("self", models.PROTECT, null=True, related_name="duplicates")
    reason = models.TextField(blank=True, help_text="Why it was refused, or what was remarked of it.")
    known_patient = models.BooleanField(null=True, help_text="Whether the checkpoint was trained on this patient.")
    abnormal_probability = models.FloatField(null=True)
    label_probabilities = ArrayField(models.FloatField(), null=True, help_text="Order of checkpoint.label_codes.")
    generated_text = models.TextField(blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    predicted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["test", "content_sha256"],
                condition=Q(state__in=["waiting", "scored"]),
                name="arrival_content_once",
            ),
            models.UniqueConstraint(fields=["test", "recording"], name="arrival_recording_once"),
            models.UniqueConstraint(
                fields=["test", "name", "fingerprint"], condition=~Q(fingerprint=""), name="arrival_look_once"
            ),
            models.CheckConstraint(
                condition=~Q(state="scored")
                | Q(predicted_at__isnull=False, abnormal_probability__isnull=False, recording__isnull=False),
                name="arrival_scored_whole",
            ),
            models.CheckConstraint(
                condition=~Q(state="duplicate") | Q(duplicate_of__isnull=False), name="arrival_duplicate_of_what"
            ),
        )
        indexes = (
            models.Index(fields=["test", "state"], name="arrival_state"),
            models.Index(fields=["batch"], condition=Q(state="waiting"), name="arrival_waiting"),
        )

    def __str__(self) -> str:
        return f"Arrival {self.pk}"

    @property
    def why(self) -> str:
        """Why it has no prediction: the reason of its own, or of its batch."""
        return self.reason or (self.batch.failure if self.batch else "")
