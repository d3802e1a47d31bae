"""Recordings as acquired, where they came from and what they were called there."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from annotator.models.jobs import Job
from ecgfm_core.signal.quality import VERSION


class Dataset(models.Model):
    """A named collection of imported recordings."""

    name = models.CharField(max_length=60, unique=True)
    layout = models.CharField(max_length=30, blank=True, help_text="Official layout it was recognised as.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class ImportRun(Job):
    """One import of a folder or zip file into a dataset."""

    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="import_runs")
    source_path = models.CharField(max_length=1000)
    added_count = models.PositiveIntegerField(default=0)
    unchanged_count = models.PositiveIntegerField(default=0)
    refused_count = models.PositiveIntegerField(default=0)


class ImportIssue(models.Model):
    """A record that was refused, or taken with a remark, and why."""

    run = models.ForeignKey(ImportRun, models.CASCADE, related_name="issues")
    record_name = models.CharField(max_length=500)
    refused = models.BooleanField()
    reason = models.TextField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["run", "record_name", "reason"], name="issue_once_a_run"),)


class Waveform(models.Model):
    """Samples stored once: a file of little-endian int16 `[lead, sample]` named by the sha256 of header and samples."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    lead_names = ArrayField(models.CharField(max_length=40))
    sampling_rate_hz = models.FloatField()
    sample_count = models.PositiveIntegerField()
    scale_mv = models.FloatField(help_text="Millivolt an int16 step; -32768 stands for a missing sample.")
    calibrated = models.BooleanField(help_text="False where the file's unit is not a voltage.")
    scale_note = models.CharField(max_length=300, blank=True, help_text="Why the step is above 1 uV, where it is.")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(sampling_rate_hz__gt=0), name="waveform_rate_positive"),
            models.CheckConstraint(condition=models.Q(sample_count__gt=0), name="waveform_not_empty"),
            models.CheckConstraint(condition=models.Q(scale_mv__gt=0), name="waveform_scale_positive"),
        )

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.sample_count / self.sampling_rate_hz


class Recording(models.Model):
    """One ECG as acquired; never changed after import."""

    class Split(models.TextChoices):
        """Decided by patient, for ever."""

        TRAIN = "train", "Train"
        VALIDATE = "validate", "Validate"
        TEST = "test", "Test"

    class Sex(models.TextChoices):
        FEMALE = "F", "Female"
        MALE = "M", "Male"

    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="recordings")
    name = models.CharField(max_length=500)
    waveform = models.ForeignKey(Waveform, models.PROTECT, related_name="recordings")
    patient_hash = models.CharField(max_length=64, blank=True, db_index=True, help_text="Keyed hash, blank if unknown.")
    split = models.CharField(max_length=8, choices=Split, default=Split.TRAIN)
    age_years = models.FloatField(null=True)
    sex = models.CharField(max_length=1, choices=Sex, blank=True)
    acquired_at = models.DateTimeField(null=True)
    centre = models.CharField(max_length=60, blank=True)
    report_text = models.TextField(blank=True)
    quality = models.JSONField(default=dict, help_text="Findings of ecgfm_core.signal.quality.")
    source_abnormal = models.BooleanField(null=True, help_text="Derived from the source labels by rule; null unknown.")
    imported_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["dataset", "name"], name="recording_once_a_dataset"),
            models.CheckConstraint(
                condition=models.Q(age_years__isnull=True) | models.Q(age_years__range=(0, 150)), name="recording_age"
            ),
        )
        indexes = (
            models.Index(
                fields=["id"], condition=models.Q(quality__contains={"readable": False}), name="recording_unreadable"
            ),
            # Of what an older gate has checked, most of the time nothing; a new version makes a migration.
            models.Index(
                fields=["id"], condition=~models.Q(quality__contains={"version": VERSION}), name="recording_older_gate"
            ),
            models.Index(fields=["dataset", "centre"], name="recording_centre"),
        )

    def __str__(self) -> str:
        return f"R-{self.pk}"


class SourceLabel(models.Model):
    """A coded statement that came with the recording; kept for ever, mapped to the scheme where it can be."""

    recording = models.ForeignKey(Recording, models.CASCADE, related_name="source_labels")
    system = models.CharField(max_length=20, help_text="Code system of the source: snomed, scp, aami, text.")
    source_code = models.CharField(max_length=60)
    code = models.CharField(max_length=20, blank=True, help_text="Code in the label scheme; blank if it has none.")
    likelihood = models.FloatField(null=True, help_text="Stated by the source, 0 to 1; null not stated.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["recording", "system", "source_code"], name="source_label_once"),
        )
