"""A round's report in words and numbers, each share with its 95 % interval."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Line:
    """One line of a report; the note says what it rests on."""

    name: str
    value: str
    note: str = ""


# Key in the report, its words, and what the figure means.
SHARES = (
    (("corrections",), "Corrected", "of the recordings with a result"),
    (("precision",), "Wrong labels among the chosen", "how well the strategy found errors"),
    (("error_rate",), "Wrong labels in the pool", "estimated from the audit share alone"),
    (("agreement", "overall"), "Readers agree on normal or abnormal", "pairs of answers on one recording"),
    (("agreement", "statements"), "Readers agree on every statement", "pairs of answers on one recording"),
    (("anchoring", "overall_changed"), "Normal or abnormal changed after the reveal", "final against blind first read"),
    (("anchoring", "statements_changed"), "Statements changed after the reveal", "final against blind first read"),
)


def report_lines(report: dict[str, Any]) -> list[Line]:
    """Return the lines of a report; none before the round is closed."""
    if not report:
        return []
    lines = [line for path, name, note in SHARES if (line := _share(_at(report, path), name, note))]
    kappa = _at(report, ("agreement", "kappa_overall"))
    if isinstance(kappa, int | float):
        lines.append(Line("Cohen's kappa, normal or abnormal", f"{kappa:.2f}"))
    for key, name in (("overall", "Results"), ("sources", "Settled by"), ("adjudications", "Adjudications")):
        if found := report.get(key):
            lines.append(Line(name, ", ".join(f"{value:,} {word}" for word, value in sorted(found.items()))))
    for reader in report.get("readers", []):
        time = f"{reader['median_s']:.0f} s a recording (median)"
        lines.append(Line(f"Reader {reader['reader']}", f"{reader['answers']:,} answers", time))
    return lines


def _at(report: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = report
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _share(found: Any, name: str, note: str) -> Line | None:
    if not isinstance(found, dict) or not found.get("of"):
        return None
    low, high = found["interval_95"]
    interval = f"95 % interval {100 * low:.1f} to {100 * high:.1f} %"
    return Line(name, f"{100 * found['share']:.1f} % ({found['count']:,} of {found['of']:,}; {interval})", note)
