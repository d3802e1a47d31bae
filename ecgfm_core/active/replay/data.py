"""What a replay starts from: stored embeddings with labels that are taken for true, and a split by patient.

Axes: N recordings, D embedding width, C labels.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from ecgfm_core import manifest, predict
from ecgfm_core.errors import FormatError

PSEUDO_CENTRES = 8
POSITIVES_MIN = 20  # of a label of a manifest, to be replayed
_ARRAYS = "embedding [N, D], group [N], labels [N] or [N, C] of 0 and 1; optional: names [C], centre [N]"


@dataclass(frozen=True)
class ReplaySet:
    """A clean labelled set.

    Attributes
    ----------
    embedding_ND : any float type, finite
    truth_NC : 0 or 1; one column is a question with two answers, several are a set of labels
    groups_N : patient of each recording
    names : of the labels
    centres_N : where each was recorded; made from a hash of the patient where nobody says
    remarks : what a reader of the results must know

    Raises
    ------
    FormatError
        If the lengths differ, a label is neither 0 nor 1, or there are too few patients.
    """

    embedding_ND: np.ndarray
    truth_NC: np.ndarray
    groups_N: np.ndarray
    names: tuple[str, ...]
    centres_N: np.ndarray
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = {len(self.embedding_ND), len(self.truth_NC), len(self.groups_N), len(self.centres_N)}
        if len(sizes) > 1 or self.truth_NC.ndim != 2 or self.embedding_ND.ndim != 2:
            raise FormatError(
                f"Replay: embeddings {self.embedding_ND.shape}, labels {self.truth_NC.shape}, {len(self.groups_N)} "
                f"patients, {len(self.centres_N)} centres; one row each a recording is needed"
            )
        if not np.isin(self.truth_NC, (0, 1)).all():
            raise FormatError(f"Replay: labels {np.unique(self.truth_NC)[:5]}; a clean set has 0 and 1 alone")
        if len(np.unique(self.groups_N)) < 20:
            raise FormatError(f"Replay: {len(np.unique(self.groups_N))} patients; 20 or more are needed")

    @property
    def is_set(self) -> bool:
        """Whether several labels are given to a recording."""
        return self.truth_NC.shape[1] > 1

    def fingerprint(self) -> str:
        """A hash of everything that decides the results."""
        seen = sha256()
        for array in (self.embedding_ND, self.truth_NC, self.groups_N, self.centres_N):
            seen.update(np.ascontiguousarray(array).tobytes())
        return seen.hexdigest()[:16]


def make(
    embedding_ND: np.ndarray,
    truth_NC: np.ndarray,
    groups_N: Sequence[str] | np.ndarray,
    names: Sequence[str],
    centres_N: Sequence[str] | np.ndarray | None = None,
    remarks: Sequence[str] = (),
) -> ReplaySet:
    """Make a set; without centres each patient is put into one of `PSEUDO_CENTRES` by a hash, and a remark says so."""
    groups_N, remarks = np.asarray(groups_N).astype(str), list(remarks)
    if centres_N is None:
        number = {one: int(sha256(one.encode()).hexdigest(), 16) % PSEUDO_CENTRES for one in np.unique(groups_N)}
        centres_N = [f"pseudo-centre {number[one]}" for one in groups_N]
        remarks.append(
            f"the set names no centres: patients were put into {PSEUDO_CENTRES} pseudo-centres by a hash, so "
            "centre-specific errors follow no real habit of a hospital"
        )
    truth_NC = np.asarray(truth_NC).reshape(len(groups_N), -1).astype(np.int8)
    return ReplaySet(embedding_ND, truth_NC, groups_N, tuple(names), np.asarray(centres_N).astype(str), tuple(remarks))


def read_npz(path: Path) -> ReplaySet:
    """Read a set from one npz file.

    Raises
    ------
    FormatError
        If the file can't be read or an array is missing or bad.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            labels = kept["labels"]
            width = 1 if labels.ndim == 1 else labels.shape[1]
            names = kept["names"].tolist() if "names" in kept else _default_names(width)
            return make(kept["embedding"], labels, kept["group"], names, kept.get("centre"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"Replay: {path} can't be read ({error}); an npz file with {_ARRAYS} is needed") from error


def _default_names(width: int) -> list[str]:
    return ["abnormal"] if width == 1 else [f"label {column}" for column in range(width)]


def read_predictions(parts: Path, manifest_path: Path, codes: Sequence[str] = ()) -> ReplaySet:
    """Read embeddings from a finished scoring run and labels from its manifest.

    Parameters
    ----------
    parts : folder that ``ecgfm predict`` wrote
    manifest_path : its manifest
    codes : labels to replay as a set; empty for normal or abnormal. Recordings of which one is unknown are left out

    Raises
    ------
    FormatError
        If a file can't be read, or nothing is left.
    """
    entries = {entry.id: entry for entry in manifest.read(manifest_path)}
    ids, embeddings = [], []
    for part in predict.read_parts(parts):
        ids += part.ids.tolist()
        embeddings.append(part.embedding)
    if missing := [number for number in ids if number not in entries]:
        raise FormatError(f"Replay: recording {missing[0]} was scored and is not in {manifest_path}; name its manifest")
    answers = [_known(entries[number], codes) for number in ids]
    kept = [row for row, answer in enumerate(answers) if answer is not None]
    if not kept:
        raise FormatError(f"Replay: no recording of {manifest_path} has {', '.join(codes) or 'abnormal'} known")
    groups = [entries[ids[row]].group or f"r{ids[row]}" for row in kept]
    remarks = [] if len(kept) == len(ids) else [f"{len(ids) - len(kept):,} recordings without these labels left out"]
    truth_NC = np.array([answers[row] for row in kept])
    return make(np.concatenate(embeddings)[kept], truth_NC, groups, codes or ("abnormal",), remarks=remarks)


def _known(entry: manifest.ManifestEntry, codes: Sequence[str]) -> list[int] | None:
    answer = [entry.labels.get(code) for code in codes] if codes else [entry.abnormal]
    return None if None in answer else [int(value) for value in answer if value is not None]


def test_patients(groups_N: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Mark the recordings ``[N]`` of patients drawn at random until they make up `share`."""
    patients, patient_N, size = np.unique(groups_N, return_inverse=True, return_counts=True)
    order = np.random.default_rng([seed, 7]).permutation(patients.size)
    drawn = order[np.cumsum(size[order]) <= share * groups_N.size]
    return np.asarray(np.isin(patient_N, drawn))
