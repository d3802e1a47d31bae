"""Re-orderings of an open round's queue after corrections."""

from django.db import models

from annotator.models.jobs import Job
from annotator.models.rounds import Round


class Reranking(Job):
    """One re-ordering: heads refitted on the corrections, the pool judged anew, what waits put into the new order."""

    round = models.ForeignKey(Round, models.PROTECT, related_name="rerankings")
    corrections = models.PositiveIntegerField(default=0, help_text="Of the round, when it was taken.")
    fresh = models.PositiveIntegerField(default=0, help_text="Corrections that came since the one before.")
    waiting = models.PositiveIntegerField(default=0, help_text="Recordings that could be moved.")
    moved = models.PositiveIntegerField(default=0, help_text="Recordings that stand in another place now.")
    replaced = models.PositiveIntegerField(default=0, help_text="Of these, how many came from outside the queue.")
    took_s = models.FloatField(default=0)

    class Meta:
        constraints = (
            # A burst of corrections asks once; one that lost its worker (attempt 1 or more) may wait beside it.
            models.UniqueConstraint(
                fields=["round"], condition=models.Q(state="queued", attempt=0), name="reranking_asked_once"
            ),
            models.UniqueConstraint(
                fields=["round"], condition=models.Q(state="running"), name="reranking_one_at_a_time"
            ),
        )
        indexes = (models.Index(fields=["round", "-id"], name="reranking_newest"),)
