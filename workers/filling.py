"""Filling a round's queue: rows to the science, what it chose back to the rules."""

import logging
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from annotator.errors import AnnotatorError
from annotator.models import Round
from annotator.selectors import candidates
from annotator.services import rounds
from ecgfm_core.active.selection import Candidate, Doubt, select
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
    names = candidates.label_names(round_)
    pool = [Candidate(**{**row, "doubt": _doubt(row.get("doubt"), names)}) for row in candidates.candidates(round_)]
    chosen = select(pool, round_.budget, round_.strategy, round_.audit_share, round_.seed)
    rounds.fill(round=round_, chosen=chosen)


def _doubt(said: Mapping[str, Any] | None, names: Mapping[str, str]) -> Doubt | None:
    return Doubt(names.get(said["code"], said["code"]), said["probability"], bool(said["given"])) if said else None
