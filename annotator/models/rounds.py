"""Active-learning rounds and their queue."""

from django.conf import settings
from django.db import models

from annotator.models.checkpoints import Checkpoint
from annotator.models.labels import LabelScheme
from annotator.models.recordings import Dataset, Recording


class Round(models.Model):
    """One active-learning turn."""

    class State(models.TextChoices):
        """draft -> filling -> filled -> open -> closed."""

        DRAFT = "draft", "Draft"
        FILLING = "filling", "Filling"
        FILLED = "filled", "Filled"
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    class Strategy(models.TextChoices):
        RELABEL = "relabel", "Probable label errors"
        UNCERTAINTY = "uncertainty", "Model uncertainty"
        COMMITTEE = "committee", "Models disagree"
        NOVELTY = "novelty", "Unlike what was read"
        RANDOM = "random", "Random"

    class Reveal(models.TextChoices):
        """When a reader sees the old label and the model."""

        AFTER_FIRST_READ = "after_first_read", "After a blind first read"
        AT_ONCE = "at_once", "At once"
        NEVER = "never", "Never"

    number = models.PositiveIntegerField(unique=True)
    state = models.CharField(max_length=8, choices=State, default=State.DRAFT)
    datasets = models.ManyToManyField(Dataset, related_name="rounds")
    split = models.CharField(max_length=8, choices=Recording.Split, default=Recording.Split.TRAIN)
    checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, null=True, related_name="rounds")
    scheme = models.ForeignKey(LabelScheme, models.PROTECT)
    strategy = models.CharField(max_length=12, choices=Strategy, default=Strategy.RELABEL)
    reveal = models.CharField(max_length=16, choices=Reveal, default=Reveal.AFTER_FIRST_READ)
    budget = models.PositiveIntegerField(help_text="Recordings to read.")
    audit_share = models.FloatField(default=0.1, help_text="Share of the budget drawn at random, 0 to 1.")
    repeat_share = models.FloatField(
        default=0.03, help_text="Readings that readers repeat unknowingly, added to the budget, as a share of it."
    )
    control_share = models.FloatField(
        default=0, help_text="Recordings with a known answer, added to the budget, as a share of it."
    )
    readers_per_item = models.PositiveSmallIntegerField(default=1)
    seed = models.PositiveBigIntegerField(default=0)
    report = models.JSONField(default=dict)
    estimate = models.JSONField(default=dict, help_text="Wrong labels left and the next reads; selectors.stopping.")
    failure = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    opened_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(audit_share__range=(0, 1)), name="round_audit_share"),
            models.CheckConstraint(condition=models.Q(repeat_share__range=(0, 0.2)), name="round_repeat_share"),
            models.CheckConstraint(condition=models.Q(control_share__range=(0, 0.2)), name="round_control_share"),
            # What judges the model is drawn without it and read without it.
            models.CheckConstraint(
                condition=~models.Q(split="test") | models.Q(strategy="random", reveal="never"),
                name="round_test_split_blind",
            ),
            models.CheckConstraint(condition=models.Q(readers_per_item__range=(1, 5)), name="round_readers_per_item"),
            models.CheckConstraint(condition=models.Q(budget__gt=0), name="round_budget"),
        )

    def __str__(self) -> str:
        return f"Round {self.number}"


class QueueItem(models.Model):
    """One request to read one recording once; a round with several readers an item holds several `copy`s.

    A recording is in a round under one origin. Answers on repeats and controls judge the reader: they never become a
    consensus. A repeat waits for the one reader who has read the recording before.
    """

    class State(models.TextChoices):
        """waiting <-> claimed -> answered; withdrawn when the round closes."""

        WAITING = "waiting", "Waiting"
        CLAIMED = "claimed", "Claimed"
        ANSWERED = "answered", "Answered"
        WITHDRAWN = "withdrawn", "Withdrawn"

    class Origin(models.TextChoices):
        STRATEGY = "strategy", "Chosen"
        AUDIT = "audit", "Audit share"
        REPEAT = "repeat", "Repeat"
        CONTROL = "control", "Control"

    # What the labels and the round's figures rest on.
    COUNTED = (Origin.STRATEGY, Origin.AUDIT)

    round = models.ForeignKey(Round, models.PROTECT, related_name="items")
    recording = models.ForeignKey(Recording, models.PROTECT, related_name="queue_items")
    copy = models.PositiveSmallIntegerField(default=1)
    rank = models.PositiveIntegerField(help_text="0 is read first.")
    origin = models.CharField(max_length=8, choices=Origin, default=Origin.STRATEGY)
    reserved_for = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="Whose own reading it repeats; nobody else claims it.",
    )
    reason = models.TextField(help_text="Why it was queued, in words and numbers; shown after the reveal.")
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    claimed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="claims")
    claimed_at = models.DateTimeField(null=True)  # the newest claim, also one that was given back
    lease_until = models.DateTimeField(null=True)
    lapsed_from = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="Whose claim ran out; they may still answer while nobody else has taken the item.",
    )
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["round", "recording", "copy"], name="item_once"),
            # One reader never holds or answers two copies of a recording, whatever two browser tabs do at once.
            models.UniqueConstraint(fields=["round", "recording", "claimed_by"], name="item_reader_once"),
            models.CheckConstraint(
                condition=models.Q(
                    state__in=["waiting", "withdrawn"], claimed_by__isnull=True, lease_until__isnull=True
                )
                | models.Q(state="claimed", claimed_by__isnull=False, lease_until__isnull=False)
                | models.Q(state="answered", claimed_by__isnull=False, lease_until__isnull=True),
                name="item_claim_fits_state",
            ),
            models.CheckConstraint(
                condition=models.Q(origin="repeat", reserved_for__isnull=False)
                | (~models.Q(origin="repeat") & models.Q(reserved_for__isnull=True)),
                name="item_repeat_is_reserved",
            ),
            models.CheckConstraint(
                condition=models.Q(reserved_for__isnull=True)
                | models.Q(claimed_by__isnull=True)
                | models.Q(claimed_by=models.F("reserved_for")),
                name="item_reserved_claim",
            ),
        )
        indexes = (
            models.Index(
                fields=["round", "rank", "copy"],
                condition=models.Q(state="waiting", reserved_for__isnull=True),
                name="item_waiting",
            ),
            models.Index(
                fields=["round", "reserved_for", "rank"],
                condition=models.Q(state="waiting", reserved_for__isnull=False),
                name="item_reserved",
            ),
            models.Index(fields=["lease_until"], condition=models.Q(state="claimed"), name="item_leases"),
            models.Index(fields=["claimed_by", "state"], name="item_reader"),
        )


class Skip(models.Model):
    """A reader passed an item on, and why; it is not offered to them again."""

    item = models.ForeignKey(QueueItem, models.CASCADE, related_name="skips")
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["item", "reader"], name="skip_once"),)


class KnownAnswer(models.Model):
    """An admin vouches for what holds for a recording, so that it may serve as a control."""

    recording = models.OneToOneField(Recording, models.PROTECT, related_name="known_answer")
    marked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
