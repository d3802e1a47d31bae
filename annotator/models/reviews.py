"""Where readers disagree, who settles it, and what holds."""

from django.conf import settings
from django.db import models

from annotator.models.annotations import Reading
from annotator.models.labels import LabelScheme
from annotator.models.recordings import Recording
from annotator.models.rounds import Round


class Adjudication(models.Model):
    """A disagreement on one recording in one round, to be settled by someone who did not read it."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        CLAIMED = "claimed", "Claimed"
        SETTLED = "settled", "Settled"

    round = models.ForeignKey(Round, models.PROTECT, related_name="adjudications")
    recording = models.ForeignKey(Recording, models.PROTECT, related_name="adjudications")
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    disagreement = models.TextField(help_text="What the readers differ in, in words.")
    claimed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="adjudications")
    lease_until = models.DateTimeField(null=True)
    reason = models.TextField(blank=True, help_text="Why it was settled so.")
    idempotency_key = models.UUIDField(unique=True, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["round", "recording"], name="adjudication_once_a_round"),
            models.CheckConstraint(
                condition=models.Q(state="waiting", claimed_by__isnull=True, lease_until__isnull=True)
                | models.Q(state="claimed", claimed_by__isnull=False, lease_until__isnull=False)
                | models.Q(state="settled", claimed_by__isnull=False, lease_until__isnull=True),
                name="adjudication_claim_fits_state",
            ),
        )


class Consensus(Reading):
    """The labels that hold for a recording from `created_at` on; append-only, the newest row counts."""

    class Source(models.TextChoices):
        SINGLE = "single", "One reader"
        AGREEMENT = "agreement", "Readers agree"
        ADJUDICATION = "adjudication", "Adjudicated"

    recording = models.ForeignKey(Recording, models.PROTECT, related_name="consensus")
    round = models.ForeignKey(Round, models.PROTECT, related_name="consensus")
    adjudication = models.OneToOneField(Adjudication, models.PROTECT, null=True)
    scheme = models.ForeignKey(LabelScheme, models.PROTECT)
    source = models.CharField(max_length=12, choices=Source)
    corrects = models.BooleanField(help_text="Whether it differs from what held before.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = (models.Index(fields=["recording", "-id"], name="consensus_newest"),)
