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


PAYS_MIN = 5  # corrections in 100 reads; with fewer the hint says that reading hardly pays


@dataclass(frozen=True)
class StopWords:
    """What is left to find, for the chief of cardiology, and a hint where reading on pays no more."""

    words: str
    hint: str = ""


def stop_words(estimate: dict[str, Any]) -> StopWords | None:
    """Say what is left to find and what the next reads will yield; None before anything was estimated."""
    if not estimate:
        return None
    return StopWords(" ".join(filter(None, (_left(estimate), _coming(estimate)))), _hint(estimate))


def _left(estimate: dict[str, Any]) -> str:
    if not estimate["audit"]["read"]:
        return "No recording of the audit share was read: how many labels are still wrong is not known."
    value, low, high = estimate["remaining"]
    unread = f"{estimate['unread']:,} unread labels"
    return f"About {value:,.0f} of {unread} are still wrong (95 % {low:,.0f} to {high:,.0f})."


def _coming(estimate: dict[str, Any]) -> str:
    random = f"random reading {estimate['random'][0]:,.0f}" if estimate["random"] else ""
    if not estimate["next"]:
        return f"The next 100 reads at random would correct about {estimate['random'][0]:,.0f}." if random else ""
    value, low, high = estimate["next"]
    words = f"The next {estimate['next_reads']} reads would correct about {value:,.0f} ({low:,.0f} to {high:,.0f})"
    return f"{words}; {random}." if random else f"{words}."


def _hint(estimate: dict[str, Any]) -> str:
    if not estimate["next"]:
        return ""
    rate = 100 / estimate["next_reads"]
    value = rate * estimate["next"][0]
    if value < PAYS_MIN:
        return f"Reading on hardly pays: fewer than {PAYS_MIN} of 100 reads would correct a label."
    if estimate["random"] and value <= 1.2 * estimate["random"][0]:
        return "The scores find no more than random reading does: train and score anew before the next round."
    return ""
