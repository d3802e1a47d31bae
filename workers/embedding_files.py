"""A checkpoint's embeddings as files beside its weights: written when it has scored, again where they are amiss.

They go when the checkpoint is retired and no round needs it: they can be written again at any time.
"""

import shutil
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction

from annotator.models import Checkpoint, ScoringRun
from annotator.selectors import embeddings
from ecgfm_core.active import crossfit, embedding_store
from ecgfm_core.active.embedding_store import EmbeddingStore
from ecgfm_core.errors import StoreError
from workers import views

WRITE_LOCK = 0x5E77  # first half of the advisory lock that writers of one checkpoint's files queue up on


def folder_of(checkpoint_id: int) -> Path:
    """Return where the files of a checkpoint lie; all hosts share it."""
    return settings.CHECKPOINT_DIR / f"embeddings-{checkpoint_id}"


@transaction.atomic
def write(checkpoint_id: int, *, again: bool = False, ending: ScoringRun | None = None) -> None:
    """Write the files from the predictions, unless another worker just has, and drop those nobody needs any more.

    `again` writes them in any case, and so does a scoring run that is `ending`: an attempt of it that was cut off may
    have written them from predictions that this one has replaced.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [WRITE_LOCK, checkpoint_id])
    folder, now = folder_of(checkpoint_id), embeddings.stamp(checkpoint_id, ending)
    if again or ending or embedding_store.stamp_of(folder) != now:
        untaught = views.untaught(Checkpoint.objects.select_related("run").get(pk=checkpoint_id))
        blocks = embeddings.blocks(checkpoint_id)
        embedding_store.write(folder, blocks, lambda embedding_ND: crossfit.reduce(embedding_ND[:, untaught]), now)
        _drop_disused(checkpoint_id)


def _drop_disused(but: int) -> None:
    """Remove the files of checkpoints that nothing uses, except where another worker is writing them."""
    for pk in embeddings.disused():
        if pk != but and folder_of(pk).exists():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [WRITE_LOCK, pk])
                free = cursor.fetchone() == (True,)
            if free:
                shutil.rmtree(folder_of(pk), ignore_errors=True)


def opened(checkpoint_id: int) -> EmbeddingStore:
    """Open the files; where they are missing, damaged or older than the newest scoring run, write them first."""
    write(checkpoint_id)
    try:
        return embedding_store.load(folder_of(checkpoint_id))
    except StoreError:
        write(checkpoint_id, again=True)
        return embedding_store.load(folder_of(checkpoint_id))
