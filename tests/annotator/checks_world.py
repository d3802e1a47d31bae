"""Builders for tests of repeats and controls: a closed round, and one with such items beside ordinary ones."""

from uuid import uuid4

from annotator.models import QueueItem, Recording, Role, Round, User
from annotator.services import queue, rounds
from annotator.services.annotations import submit_final, submit_first
from annotator.services.answers import Answer
from tests.annotator.reading_world import Chosen, make_round, read, recordings


def boss() -> User:
    return User.objects.get_or_create(username="boss", defaults={"role": Role.ADMIN})[0]


def closed_round(answers: dict[User, list[Answer]], *, copies: int = 1, first: bool = False, **kinds: object) -> Round:
    """A closed round in which each reader gave these answers, with `first` as blind reads too."""
    count = sum(map(len, answers.values())) // copies
    round = make_round(count, copies=copies, reveal="after_first_read" if first else "never", **kinds)
    for reader, given in answers.items():
        for answer in given:
            read(reader, answer, first=answer if first else None)
    return rounds.close_round(round=round, by=boss())


def next_round(
    *,
    repeats: dict[int, User] | None = None,
    controls: list[int] | None = None,
    ordinary: int = 0,
    reveal: str = "never",
    copies: int = 1,
    **kinds: object,
) -> Round:
    """An open round: repeats (recording -> reader) first, then controls, then ordinary items over new recordings."""
    rows = recordings(ordinary, **kinds) if ordinary else []
    dataset = Recording.objects.values_list("dataset", flat=True)[0]
    round = rounds.create_round(
        dataset_ids=[dataset], strategy="random", budget=max(1, ordinary), audit_share=0, readers_per_item=copies,
        reveal=reveal, checkpoint=None, seed=1, by=boss(),
    )  # fmt: skip
    rounds.request_fill(round=round, by=boss())
    items = [Chosen(pk, 0, "repeat", "repeat", reader.pk) for pk, reader in (repeats or {}).items()]
    items += [Chosen(pk, 0, "control", "control") for pk in controls or []]
    items += [Chosen(row.pk, 0) for row in rows]
    for rank, item in enumerate(items):
        item.rank = rank
    rounds.fill(round=round, chosen=items)
    return rounds.open_round(round=round, by=boss())


def answer(item: QueueItem, reader: User, said: Answer, *, first: Answer | None = None) -> None:
    if first:
        submit_first(item=item, reader=reader, answer=first, idempotency_key=uuid4())
    submit_final(item=item, reader=reader, answer=said, idempotency_key=uuid4())


def claimed(reader: User) -> QueueItem:
    item = queue.claim_next(reader=reader)
    assert item is not None
    return item
