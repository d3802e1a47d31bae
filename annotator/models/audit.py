"""Who did what, append-only."""

from django.conf import settings
from django.db import models


class AuditEvent(models.Model):
    """One act that changed what others see."""

    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=100)
    detail = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)
