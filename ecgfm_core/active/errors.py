"""Label errors made on purpose, of four kinds, to measure how well they are found again.

Items have one class of several (`inject`), or a set of labels of which any may hold (`inject_sets`).

Axes: N items, C classes or labels, F features, V the two values of a label.
"""

from collections.abc import Sequence

import numpy as np

from ecgfm_core.errors import ConfigError

KINDS = ("uniform", "class_conditional", "instance_dependent", "centre_specific")


def inject(
    classes_N: np.ndarray,
    class_count: int,
    *,
    rate: float,
    kind: str,
    seed: int,
    confusion_CC: np.ndarray | None = None,
    probability_NC: np.ndarray | None = None,
    centres_N: Sequence[str] | np.ndarray | None = None,
) -> np.ndarray:
    """Return the classes as given by somebody who errs in ``round(rate * N)`` items.

    Parameters
    ----------
    classes_N : true class of each item, 0 to `class_count` - 1
    rate : share of wrong items, 0 to 0.5
    kind : ``uniform``: any item, any other class. ``class_conditional``: items and wrong classes by `confusion_CC`.
        ``instance_dependent``: items that a weak model gets wrong (`probability_NC`), and what it takes them for.
        ``centre_specific``: all errors in half of the centres, each with its own wrong class for each true class.
    confusion_CC : weight of calling true class (row) by another one (column); the diagonal is ignored
    probability_NC : out-of-sample class probabilities of a weak model, see `weak_probabilities`
    centres_N : centre of each item

    Raises
    ------
    ConfigError
        If the kind is unknown, the rate is out of bounds, or what the kind needs is missing.
    """
    classes_N = np.asarray(classes_N, dtype=np.int64)
    _check(classes_N, class_count, rate, kind)
    rng, count = np.random.default_rng(seed), round(rate * classes_N.size)
    if count == 0:
        return classes_N.copy()
    if kind == "uniform":
        weight_NC = np.ones((classes_N.size, class_count))
    elif kind == "class_conditional":
        weight_NC = _needed(confusion_CC, "confusion_CC", kind, (class_count, class_count))[classes_N].astype(float)
    elif kind == "instance_dependent":
        probability = _needed(probability_NC, "probability_NC", kind, (classes_N.size, class_count)).astype(float)
        doubt_N = 1.0 - probability[np.arange(classes_N.size), classes_N]
        weight_NC = probability * doubt_N[:, None] ** 3  # the least certain items go first
    else:
        given_centres = None if centres_N is None else np.asarray(centres_N)
        weight_NC = _centre_weights(
            classes_N, class_count, _needed(given_centres, "centres_N", kind, classes_N.shape), rng
        )
    weight_NC[np.arange(classes_N.size), classes_N] = 0.0
    wrong, column = _draw(weight_NC, count, kind, rng)
    given_N = classes_N.copy()
    given_N[wrong] = column
    return given_N


def inject_sets(
    labels_NC: np.ndarray,
    *,
    rate: float,
    kind: str,
    seed: int,
    confusion_VC: np.ndarray | None = None,
    probability_NC: np.ndarray | None = None,
    centres_N: Sequence[str] | np.ndarray | None = None,
) -> np.ndarray:
    """Return label sets as given by somebody who errs in one label of each of ``round(rate * N)`` sets.

    Parameters
    ----------
    labels_NC : true labels, 0 absent or 1 present
    rate : share of wrong sets, 0 to 0.5
    kind : as in `inject`. ``uniform``: any label of the set. ``class_conditional``: by `confusion_VC`.
        ``instance_dependent``: labels that a weak model gets wrong (`probability_NC`). ``centre_specific``: all errors
        in half of the centres, each of which has one label that it forgets and one that it adds.
    confusion_VC : weight of adding an absent label (row 0) and of forgetting a present one (row 1)
    probability_NC : out-of-sample probability of each label by a weak model
    centres_N : centre of each item

    Raises
    ------
    ConfigError
        If the kind is unknown, the rate is out of bounds, or what the kind needs is missing.
    """
    labels_NC = np.asarray(labels_NC, dtype=np.int64)
    _check(labels_NC, 2, rate, kind)
    rng, count = np.random.default_rng(seed), round(rate * len(labels_NC))
    if count == 0:
        return labels_NC.copy()
    column_C = np.arange(labels_NC.shape[1])
    if kind == "uniform":
        weight_NC = np.ones(labels_NC.shape)
    elif kind == "class_conditional":
        weight_NC = _needed(confusion_VC, "confusion_VC", kind, (2, column_C.size))[labels_NC, column_C].astype(float)
    elif kind == "instance_dependent":
        probability = _needed(probability_NC, "probability_NC", kind, labels_NC.shape).astype(float)
        weight_NC = np.abs(labels_NC - probability) ** 4  # what `inject` comes to with two classes
    else:
        given_centres = None if centres_N is None else np.asarray(centres_N)
        centres = _needed(given_centres, "centres_N", kind, labels_NC.shape[:1])
        weight_NC = np.zeros(labels_NC.shape)
        for centre in _erring(centres, rng):
            added, forgotten = rng.integers(column_C.size, size=2)
            rows = centres == centre
            weight_NC[rows, added] += labels_NC[rows, added] == 0
            weight_NC[rows, forgotten] += labels_NC[rows, forgotten] == 1
    wrong, column = _draw(weight_NC, count, kind, rng)
    given_NC = labels_NC.copy()
    given_NC[wrong, column] = 1 - given_NC[wrong, column]
    return given_NC


def _check(classes_N: np.ndarray, class_count: int, rate: float, kind: str) -> None:
    if kind not in KINDS:
        raise ConfigError(f"label error kind {kind!r} is unknown; known are {', '.join(KINDS)}")
    if not 0 <= rate <= 0.5:
        raise ConfigError(f"label error rate {rate:g}; 0 to 0.5 are allowed")
    if class_count < 2 or (classes_N.size and not (classes_N.min() >= 0 and classes_N.max() < class_count)):
        raise ConfigError(
            f"classes must lie in 0 to {class_count - 1} and be at least two; found {np.unique(classes_N)}"
        )


def _needed(array: np.ndarray | None, name: str, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    if array is None or array.shape != shape:
        found = "none" if array is None else str(array.shape)
        raise ConfigError(f"label errors of kind {kind} need {name} of shape {shape}; found {found}")
    return array


def _centre_weights(
    classes_N: np.ndarray, class_count: int, centres_N: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Half of the centres err, each with one habit a class."""
    weight_NC = np.zeros((classes_N.size, class_count))
    for centre in _erring(centres_N, rng):
        habit_C = (np.arange(class_count) + rng.integers(1, class_count, class_count)) % class_count
        rows = np.flatnonzero(centres_N == centre)
        weight_NC[rows, habit_C[classes_N[rows]]] = 1.0
    return weight_NC


def _erring(centres_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    centres = np.unique(centres_N)
    return np.asarray(rng.permutation(centres)[: max(1, centres.size // 2)])


def _draw(weight_NC: np.ndarray, count: int, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` items by their total weight without replacement, then a column for each."""
    total_N = weight_NC.sum(axis=1)
    able = np.flatnonzero(total_N > 0)
    if able.size < count:
        raise ConfigError(
            f"{count} label errors of kind {kind} are wanted and {able.size} items can be wrong that way; "
            "lower the rate or allow more confusions"
        )
    wrong = rng.choice(able, size=count, replace=False, p=total_N[able] / total_N[able].sum())
    columns = [rng.choice(weight_NC.shape[1], p=weight_NC[item] / total_N[item]) for item in wrong]
    return wrong, np.array(columns, dtype=np.int64)


def weak_probabilities(features_NF: np.ndarray, classes_N: np.ndarray, class_count: int) -> np.ndarray:
    """Class probabilities ``[N, C]`` of a weak model: distance to each class's mean, the item itself left out."""
    spread_F = features_NF.std(axis=0)
    scaled_NF = (features_NF - features_NF.mean(axis=0)) / np.where(spread_F > 0, spread_F, 1.0)
    distance_NC = np.full((classes_N.size, class_count), np.inf)
    for label in np.unique(classes_N):
        inside = classes_N == label
        mean_NF = np.broadcast_to(scaled_NF[inside].mean(axis=0), scaled_NF.shape).copy()
        if inside.sum() > 1:
            mean_NF[inside] = (inside.sum() * mean_NF[inside] - scaled_NF[inside]) / (inside.sum() - 1)
        distance_NC[:, label] = ((scaled_NF - mean_NF) ** 2).mean(axis=1)
    weight_NC = np.exp(-2.0 * (distance_NC - distance_NC.min(axis=1, keepdims=True)))
    return np.asarray(weight_NC / weight_NC.sum(axis=1, keepdims=True))
