"""A round's report in words and numbers, each share with its 95 % interval; what was not measured is said so."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One line of a report; the note says what it rests on."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """Lines on one question."""

    title: str
    lines: list[Line]


def report_sections(report: Json, estimate: Json) -> list[Section]:
    """Return a report's sections; none before the round is closed."""
    if not report:
        return []
    parts = (("Labels", _labels(report, estimate)), ("Readers", _readers(report)), ("Reveal", _reveal(report)))
    return [Section(title, lines) for title, found in parts if (lines := list(found))]


def _labels(report: Json, estimate: Json) -> Iterator[Line]:
    yield _before(report, estimate)
    yield _after(report, estimate)
    yield from _shares(
        report,
        (("corrections",), "Corrected", "of the recordings with a result"),
        (("precision",), "Wrong labels among the chosen", "chosen by the strategy"),
    )
    for key, name in (("overall", "Results"), ("sources", "Settled by"), ("adjudications", "Adjudications")):
        if found := report.get(key):
            yield Line(name, ", ".join(f"{value:,} {word}" for word, value in sorted(found.items())))


def _before(report: Json, estimate: Json) -> Line:
    name, audited = "Wrong labels before", report.get("error_rate") or {}
    if not audited.get("of"):
        return Line(name, "Not known", "no recording of an audit share was read")
    if not estimate.get("before"):
        return _share(audited, name, "drawn at random")
    drawn = estimate["audit"]
    note = f"{drawn['corrected']:,} of {drawn['read']:,} drawn at random"
    return Line(name, _percent(estimate["before"]), note)


def _after(report: Json, estimate: Json) -> Line:
    name = "Wrong labels after"
    if not (report.get("error_rate") or {}).get("of"):
        return Line(name, "Not known", "no recording of an audit share was read")
    if not estimate.get("after"):
        return Line(name, "Being estimated", "by a worker, within a minute")
    error = estimate["reader_error"]
    read = "count as right" if error is None else f"count as wrong in {100 * error:.1f} %, as readers are on controls"
    unread = f"{estimate['remaining'][0]:,.0f} of {estimate['unread']:,} unread, by {estimate['by']}"
    return Line(name, _percent(estimate["after"]), f"estimated: {unread}; the {estimate['read']:,} read {read}")


def _readers(report: Json) -> Iterator[Line]:
    for reader in report.get("readers", []):
        time = f"{reader['median_s']:.0f} s a recording (median)"
        yield Line(f"Reader {reader['reader']}", f"{reader['answers']:,} answers", time)
    yield from _shares(
        report,
        (("agreement", "overall"), "Readers agree on normal or abnormal", "pairs of answers on one recording"),
        (("agreement", "statements"), "Readers agree on every statement", "pairs of answers on one recording"),
    )
    pairs = _at(report, ("agreement", "pairs")) or []
    for pair in pairs:
        kappa = "not defined: all say the same" if pair["kappa_overall"] is None else f"{pair['kappa_overall']:.2f}"
        note = f"normal or abnormal, {pair['overall']['of']:,} recordings"
        yield Line(f"Cohen's kappa, {' and '.join(pair['readers'])}", kappa, note)
    alpha = _at(report, ("agreement", "alpha_overall"))
    if len(pairs) > 1 and alpha is not None:
        yield Line("Krippendorff's alpha, all readers", f"{alpha:.2f}", "normal or abnormal")
    yield from _measured(report, "self_agreement", "Readers agree with themselves", "on repeats, normal or abnormal")
    yield from _shares(
        report, (("self_agreement", "blind_overall"), "With themselves, blind", "first reads of the same repeats")
    )
    yield from _measured(report, "control_accuracy", "Right on controls", "normal or abnormal as known")


def _measured(report: Json, key: str, name: str, note: str) -> Iterator[Line]:
    """Yield a share over all readers and a reader each, or that the round held nothing to measure it by."""
    found = report.get(key) or {}
    if not (found.get("overall") or {}).get("of"):
        yield Line(name, "Not measured", "the round held no repeats" if "self" in key else "the round held no controls")
        return
    yield _share(found["overall"], name, note)
    if len(found["readers"]) > 1:
        for one in found["readers"]:
            yield _share(one["overall"], f"{name}: {one['reader']}", "")


def _reveal(report: Json) -> Iterator[Line]:
    yield from _shares(
        report,
        (("anchoring", "overall_changed"), "Normal or abnormal changed", "final reads against the blind first ones"),
        (("anchoring", "to_file"), "Changed to the label on file", "changes"),
        (("anchoring", "to_model"), "Changed to what the model said", "changes"),
        (("anchoring", "statements_changed"), "Statements changed", "final reads against the blind first ones"),
    )


def _at(report: Json, path: tuple[str, ...]) -> Any:
    value: Any = report
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _shares(report: Json, *wanted: tuple[tuple[str, ...], str, str]) -> Iterator[Line]:
    for path, name, note in wanted:
        found = _at(report, path)
        if isinstance(found, dict) and found.get("of"):
            yield _share(found, name, note)


def _share(found: Json, name: str, note: str) -> Line:
    counts = f"{found['count']:,} of {found['of']:,}"
    return Line(name, _percent([found["share"], *found["interval_95"]]), f"{counts} {note}".strip())


def _percent(figure: list[float]) -> str:
    value, low, high = (100 * end for end in figure)
    return f"{value:.1f} % (95 % {low:.1f} to {high:.1f} %)"
