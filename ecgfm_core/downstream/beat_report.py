"""The MIT-BIH table in words: our rows, our confusion, and published results of the same protocol."""

from collections.abc import Mapping, Sequence
from typing import Any

from ecgfm_core.downstream.beats import CLASSES

TITLES = {
    "frozen": "frozen backbone",
    "from_scratch": "the same network from scratch",
    "random_frozen": "random frozen backbone",
    "rr_only": "RR intervals alone",
}

# DS1 to DS2, no label of the test patients: sensitivity / precision of S and of V, in percent.
PUBLISHED = (
    ("de Chazal et al. 2004, linear discriminants", (75.9, 38.5), (77.7, 81.9)),
    ("Llamedo and Martinez 2011, linear discriminants (F and Q counted as V)", (77, 39), (81, 87)),
    ("Mar et al. 2011, chosen features and a perceptron", (83.2, 33.5), (86.8, 75.9)),
    ("Zhang et al. 2014, one-against-one support vectors", (79.1, 36.0), (85.5, 92.8)),
    ("Mondejar-Guerra et al. 2019, ensemble of support vectors", (78.1, 49.7), (94.7, 93.9)),
)
# de Chazal et al. 2004, rows the truth, columns what was said, N S V F Q.
DE_CHAZAL = (
    (38444, 1904, 303, 3509, 99),
    (173, 1395, 252, 16, 1),
    (117, 321, 2504, 176, 102),
    (33, 1, 7, 347, 0),
)
_SHOWN = (
    *("macro f1", "N f1", "S f1", "V f1", "F f1"),
    *("S sensitivity", "S precision", "V sensitivity", "V precision"),
)


def markdown(results: Mapping[str, Any]) -> str:
    """Write the tables of ``mit-bih.json``."""
    seeds = len(results["seeds"])
    parts = [
        f"Means of {seeds} seeds, 95 % intervals over the records of DS2 drawn with replacement.",
        _figures(results["rows"]),
        "Without record 202, whose patient is that of 201 in DS1:",
        _figures(results["without 202"]),
    ]
    parts += [
        f"Macro F1 of the {TITLES['frozen']} above that of {TITLES[row]}: {mean:+.3f} ({low:+.3f} to {high:+.3f})."
        for row, (mean, low, high) in results["frozen above"].items()
    ]
    for row, table in results["confusion"].items():
        parts += [f"Confusion, {TITLES[row]}, mean of {seeds} seeds:", confusion_table(table)]
    parts += ["Confusion, de Chazal et al. 2004:", confusion_table(DE_CHAZAL), published_table()]
    return "\n\n".join(parts) + "\n"


def _figures(rows: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    lines = [f"| | {' | '.join(_SHOWN)} |", f"|---|{'---|' * len(_SHOWN)}"]
    for row, figures in rows.items():
        cells = [f"{mean:.3f} ({low:.3f}-{high:.3f})" for mean, low, high in (figures[name] for name in _SHOWN)]
        lines.append(f"| {TITLES[row]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def confusion_table(table: Sequence[Sequence[float]]) -> str:
    """Write one confusion: rows the truth, columns what was said."""
    lines = [f"| truth | {' | '.join(f'said {name}' for name in CLASSES)} |", f"|---|{'---|' * len(CLASSES)}"]
    for name, counts in zip(CLASSES, table, strict=False):
        lines.append(f"| {name} | {' | '.join(f'{count:,.0f}' for count in counts)} |")
    return "\n".join(lines)


def f1_of(sensitivity: float, precision: float) -> float:
    """Give the harmonic mean."""
    return 2 * sensitivity * precision / (sensitivity + precision)


def published_table() -> str:
    """Write the published results; F1 is worked out from the rounded figures."""
    lines = ["| published | S se | S +P | S F1 | V se | V +P | V F1 |", "|---|---|---|---|---|---|---|"]
    for title, of_s, of_v in PUBLISHED:
        cells = [*of_s, f1_of(*of_s), *of_v, f1_of(*of_v)]
        lines.append(f"| {title} | {' | '.join(f'{cell / 100:.3f}' for cell in cells)} |")
    return "\n".join(lines)
