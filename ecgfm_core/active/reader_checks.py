"""Readings that judge readers instead of labels, mixed into a round's order: repeats and controls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ecgfm_core.active.reasons import CONTROL, REPEAT
from ecgfm_core.active.selection import Chosen


def with_reader_checks(
    chosen: Sequence[Chosen],
    own: Mapping[int, Sequence[int]],
    repeats: int,
    known: Sequence[int],
    controls: int,
    seed: int = 0,
) -> list[Chosen]:
    """Add repeats and controls to what was chosen, at random places in its order.

    Repeats are dealt out to the readers in turns, so that each repeats as many, drawn from what each has read. A
    recording that is chosen already, or dealt out, is not taken again: in a round it has one origin. Where there is
    too little to draw from, there are fewer.

    Parameters
    ----------
    chosen : in order
    own : recordings that each reader has read before
    repeats : how many repeats, over all readers
    known : recordings with a known answer
    controls : how many controls
    seed : of every draw; the same arguments give the same list
    """
    rng = np.random.default_rng([seed, len("reader checks")])  # not the stream that drew the round
    taken = {one.id for one in chosen}
    added: list[Chosen] = []
    for reader, pk in _in_turns({reader: _shuffled(own[reader], rng) for reader in sorted(own)}, rng):
        if len(added) < repeats and pk not in taken:
            added.append(Chosen(pk, 0, "repeat", REPEAT, reader))
            taken.add(pk)
    free = [pk for pk in _shuffled(known, rng) if pk not in taken]
    added += [Chosen(pk, 0, "control", CONTROL) for pk in free[:controls]]
    places = np.zeros(len(chosen) + len(added), dtype=bool)
    places[rng.permutation(places.size)[: len(added)]] = True
    of_added, of_chosen = iter([added[number] for number in rng.permutation(len(added))]), iter(chosen)
    return [replace(next(of_added if place else of_chosen), rank=rank) for rank, place in enumerate(places.tolist())]


def _shuffled(ids: Sequence[int], rng: np.random.Generator) -> list[int]:
    """The ids, each once, in an order that depends on the generator alone."""
    return [int(pk) for pk in rng.permutation(np.array(sorted(set(ids)), dtype=np.int64))]


def _in_turns(own: Mapping[int, Sequence[int]], rng: np.random.Generator) -> list[tuple[int, int]]:
    """Pairs of reader and recording, one a reader and turn; chance says who begins."""
    readers = [list(own)[number] for number in rng.permutation(len(own))]
    longest = max((len(ids) for ids in own.values()), default=0)
    return [(reader, own[reader][turn]) for turn in range(longest) for reader in readers if turn < len(own[reader])]
