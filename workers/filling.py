"""Filling a round's queue: rows to the science, what it chose back to the rules."""

import logging
from functools import partial

from django.db import transaction

from annotator.errors import AnnotatorError
from annotator.models import Round
from annotator.selectors import candidates, reader_checks
from annotator.services import rounds
from ecgfm_core.active.reader_checks import with_reader_checks
from ecgfm_core.active.selection import select
from ecgfm_core.errors import EcgfmError

log = logging.getLogger(__name__)


def fill(row_id: int) -> None:
    """Fill a round that waits for it; a failure puts it back to draft, in words."""
    try:
        with transaction.atomic():
            # Whoever holds the row fills it; a second message finds it locked or filled, and leaves it.
            waiting = Round.objects.filter(pk=row_id, state=Round.State.FILLING)
            round_ = waiting.select_for_update(no_key=True, skip_locked=True).first()
            if round_ is not None:
                _fill(round_)
    except (AnnotatorError, EcgfmError) as error:
        rounds.fail_fill(round=Round.objects.get(pk=row_id), failure=str(error))
    except Exception as error:
        log.exception("Round row %d", row_id)
        words = f"{type(error).__name__}: {error}. The worker's log holds the details; try it again."
        rounds.fail_fill(round=Round.objects.get(pk=row_id), failure=words)


def _fill(round_: Round) -> None:
    chosen = select(
        candidates.columns(round_), round_.budget, round_.strategy, round_.audit_share, round_.seed,
        readers_per_item=round_.readers_per_item, embedding_of=partial(candidates.embeddings, round_),
    )  # fmt: skip
    counts = [int(round_.budget * share + 0.5) for share in (round_.repeat_share, round_.control_share)]
    own = reader_checks.own_readings(round_) if counts[0] else {}
    known = reader_checks.known_answers(round_) if counts[1] else []
    mixed = with_reader_checks(chosen, own, counts[0], known, counts[1], round_.seed)
    rounds.fill(round=round_, chosen=mixed if chosen else [])
