"""The versioned list of coded statements."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class LabelScheme(models.Model):
    """One version of the scheme, written from `ecgfm_core.labels` and never changed after."""

    version = models.CharField(max_length=40, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.version


class Label(models.Model):
    """One coded statement of a scheme."""

    scheme = models.ForeignKey(LabelScheme, models.PROTECT, related_name="labels")
    code = models.CharField(max_length=20, help_text="SNOMED CT code.")
    abbreviation = models.CharField(max_length=20)
    name = models.CharField(max_length=120)
    group = models.CharField(max_length=40)
    synonyms = ArrayField(models.CharField(max_length=120), default=list)
    scored = models.BooleanField(help_text="Whether CinC 2020 scores it.")
    normal = models.BooleanField(help_text="Whether a recording with only such statements is normal.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["scheme", "code"], name="label_code_once_a_scheme"),)

    def __str__(self) -> str:
        return self.name
