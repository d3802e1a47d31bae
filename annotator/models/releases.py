"""Frozen, numbered sets for researchers."""

from django.db import models

from annotator.models.jobs import Job
from annotator.models.recordings import Dataset


class CuratedRelease(Job):
    """A frozen set of recordings, consensus, annotations and provenance; files never change once it is finished."""

    number = models.PositiveIntegerField(unique=True)
    title = models.CharField(max_length=120)
    notes = models.TextField(blank=True)
    datasets = models.ManyToManyField(Dataset, related_name="releases")
    only_consensus = models.BooleanField(default=False, help_text="Leave out recordings that no one has read.")
    recording_count = models.PositiveIntegerField(default=0)
    consensus_count = models.PositiveIntegerField(default=0)
    manifest_sha256 = models.CharField(max_length=64, blank=True)
    path = models.CharField(max_length=500, blank=True, help_text="Folder relative to the release storage.")

    def __str__(self) -> str:
        return f"Release {self.number}"
