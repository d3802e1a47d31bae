"""What a person decided on whether a recording can be read; it wins over the gate."""

from django.conf import settings
from django.db import models

from annotator.models.recordings import Recording


class QualityDecision(models.Model):
    """An admin's word on one recording; the newest counts, the audit trail keeps all of them."""

    recording = models.OneToOneField(Recording, models.CASCADE, related_name="quality_decision")
    readable = models.BooleanField(help_text="True puts it back into the pool, False keeps it out of it.")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    decided_at = models.DateTimeField()
