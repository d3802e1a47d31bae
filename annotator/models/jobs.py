"""What every long piece of work done by a worker has in common."""

from django.conf import settings
from django.db import models


class JobState(models.TextChoices):
    """A job moves only forwards, but for running -> queued when its worker died."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    CANCELLING = "cancelling", "Cancelling"
    CANCELLED = "cancelled", "Cancelled"
    FINISHED = "finished", "Finished"
    FAILED = "failed", "Failed"


class Job(models.Model):
    """A job's own state decides who runs it, not the broker: `attempt` fences off a worker thought dead."""

    state = models.CharField(max_length=10, choices=JobState, default=JobState.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="Raised by each worker that takes the job.")
    progress = models.JSONField(default=dict, help_text="done, total, unit and a message for the interface.")
    failure = models.TextField(blank=True, help_text="What went wrong and how to go on, in words.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
