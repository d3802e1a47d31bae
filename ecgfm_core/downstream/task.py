"""A task: recordings of one set, split so that no patient is on two sides, and what is known of each class.

N recording, C class.
"""

from dataclasses import dataclass, field

import numpy as np

from ecgfm_core.errors import FormatError
from ecgfm_core.manifest import ManifestEntry


@dataclass(frozen=True)
class Task:
    """What is to be learnt.

    Attributes
    ----------
    name, set_name : for example ``super`` of ``ptb-xl``
    classes : names of the columns
    entries : every usable recording of the set; ``id`` is its row, ``split`` follows the set's protocol, ``group`` is
        its patient with all near-duplicates. They hold no labels: a network pretrained on them has seen none.
    targets_NC : float32 0, 1, or NaN where unknown; a recording that the task leaves out is NaN throughout
    subgroups : name -> one word a recording, empty where unknown
    titles : what a class is called on a page, where that is not its name
    remarks : what a reader of the results must know: recordings left out and why
    """

    name: str
    set_name: str
    classes: tuple[str, ...]
    entries: tuple[ManifestEntry, ...]
    targets_NC: np.ndarray
    subgroups: dict[str, np.ndarray] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.targets_NC.shape != (len(self.entries), len(self.classes)):
            raise FormatError(
                f"Task {self.name}: targets {self.targets_NC.shape} for {len(self.entries)} recordings and "
                f"{len(self.classes)} classes; one row a recording and one column a class are needed"
            )
        if [one.id for one in self.entries] != list(range(len(self.entries))):
            raise FormatError(f"Task {self.name}: each recording's id must be its row")

    def rows(self, split: str) -> np.ndarray:
        """Give the rows of a split of which any class is known."""
        known_N = ~np.isnan(self.targets_NC).all(axis=1)
        return np.flatnonzero(known_N & np.array([one.split == split for one in self.entries], dtype=bool))

    def title(self, name: str) -> str:
        """Give what a class is called on a page."""
        return self.titles.get(name, name)
