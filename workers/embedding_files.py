"""A checkpoint's embeddings as files beside its weights: written when it has scored, again where they are amiss."""

from pathlib import Path

from django.conf import settings
from django.db import connection, transaction

from annotator.selectors import embeddings
from ecgfm_core.active import crossfit, embedding_store
from ecgfm_core.active.embedding_store import EmbeddingStore
from ecgfm_core.errors import StoreError

WRITE_LOCK = 0x5E77  # first half of the advisory lock that writers of one checkpoint's files queue up on


def folder_of(checkpoint_id: int) -> Path:
    """Return where the files of a checkpoint lie; all hosts share it."""
    return settings.CHECKPOINT_DIR / f"embeddings-{checkpoint_id}"


@transaction.atomic
def write(checkpoint_id: int, *, again: bool = False) -> None:
    """Write the files from the predictions, unless another worker just has; `again` writes them in any case."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [WRITE_LOCK, checkpoint_id])
    folder, now = folder_of(checkpoint_id), embeddings.stamp(checkpoint_id)
    if again or embedding_store.stamp_of(folder) != now:
        embedding_store.write(folder, embeddings.blocks(checkpoint_id), crossfit.reduce, now)


def opened(checkpoint_id: int) -> EmbeddingStore:
    """Open the files; where they are missing, damaged or older than the newest scoring run, write them first."""
    write(checkpoint_id)
    try:
        return embedding_store.load(folder_of(checkpoint_id))
    except StoreError:
        write(checkpoint_id, again=True)
        return embedding_store.load(folder_of(checkpoint_id))
