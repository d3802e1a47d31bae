"""Training runs, the weights they left and what those weights said."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from pgvector.django import HalfVectorField

from annotator.models.jobs import Job
from annotator.models.labels import LabelScheme
from annotator.models.recordings import Dataset, Recording
from ecgfm_core.active import meanings


class TrainingRun(Job):
    """One execution of a config on the labels that held when it started."""

    config_name = models.CharField(max_length=40)
    config = models.JSONField(default=dict, help_text="Fields that differ from the named config.")
    seed = models.PositiveBigIntegerField(default=0)
    datasets = models.ManyToManyField(Dataset, related_name="training_runs")
    scheme = models.ForeignKey(LabelScheme, models.PROTECT)
    trigger = models.CharField(max_length=200, default="started by hand", help_text="Who or what started it, in words.")
    log = models.TextField(blank=True, help_text="Last lines of the process, kept when it ends.")


class TrainingMetric(models.Model):
    """One value of one curve."""

    run = models.ForeignKey(TrainingRun, models.CASCADE, related_name="metrics")
    step = models.PositiveIntegerField()
    name = models.CharField(max_length=60)
    value = models.FloatField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["run", "name", "step"], name="metric_once_a_step"),)


class Checkpoint(models.Model):
    """Weights with provenance. At most one is current."""

    class State(models.TextChoices):
        CANDIDATE = "candidate", "Candidate"
        CURRENT = "current", "Current"
        RETIRED = "retired", "Retired"

    run = models.OneToOneField(TrainingRun, models.PROTECT, related_name="checkpoint")
    state = models.CharField(max_length=9, choices=State, default=State.CANDIDATE)
    path = models.CharField(max_length=500, help_text="Folder relative to the checkpoint storage.")
    sha256 = models.CharField(max_length=64)
    label_codes = ArrayField(models.CharField(max_length=20), help_text="Order of label_probabilities.")
    provenance = models.JSONField(
        help_text="Config, seed, code version, recordings, labels and corrections trained on."
    )
    metrics = models.JSONField(default=dict)
    test_metrics = models.JSONField(default=dict, help_text="On the test split; see selectors.model_metrics.")
    gate = models.JSONField(default=dict, help_text="Held against the current checkpoint; see selectors.gate.")
    override_reason = models.CharField(max_length=500, blank=True, help_text="Why it was promoted against the gate.")
    created_at = models.DateTimeField(auto_now_add=True)
    promoted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["state"], condition=models.Q(state="current"), name="one_current_checkpoint"
            ),
        )

    def __str__(self) -> str:
        return f"Checkpoint {self.pk}"


class ScoringRun(Job):
    """One pass of a checkpoint over datasets."""

    checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, related_name="scoring_runs")
    datasets = models.ManyToManyField(Dataset, related_name="scoring_runs")


def _score(name: str) -> "models.FloatField[float | None, float | None]":
    return models.FloatField(null=True, help_text=meanings.BY_NAME[name].help)


class Prediction(models.Model):
    """What one checkpoint said of one recording. Scores say who would gain from a reader: see `active.meanings`."""

    checkpoint = models.ForeignKey(Checkpoint, models.CASCADE, related_name="predictions")
    recording = models.ForeignKey(Recording, models.CASCADE, related_name="predictions")
    abnormal_probability = models.FloatField()
    label_probabilities = ArrayField(models.FloatField(), help_text="In the order of the checkpoint's label_codes.")
    crossfit_abnormal_probability = _score("crossfit_abnormal_probability")
    label_error = _score("label_error")
    label_set_error = _score("label_set_error")
    aum = _score("aum")
    entropy = models.FloatField(help_text=meanings.BY_NAME["entropy"].help)
    margin = _score("margin")
    epistemic = _score("epistemic")
    vote_entropy = _score("vote_entropy")
    kl_disagreement = _score("kl_disagreement")
    novelty = _score("novelty")
    quality = _score("quality")
    label_error_detail = models.JSONField(default=dict, help_text="Votes and the label most in doubt, for the reason.")
    generated_text = models.TextField(blank=True)
    embedding = HalfVectorField(help_text="The network's summary, its width the model's, then that of random kernels.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["checkpoint", "recording"], name="prediction_once"),)
