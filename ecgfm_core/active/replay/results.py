"""Figures of a replay with intervals over seeds: JSON, Markdown, and one page.

Axes: N seeds, K places on the budget axis.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ecgfm_core.active.replay import page
from ecgfm_core.active.replay.data import ReplaySet
from ecgfm_core.active.replay.play import ReplayOptions
from ecgfm_core.training.run_folder import write_json

FIRST = (20, 50, 100, 200)
GAIN_SHARE = 0.95
RESAMPLES = 2000
GAINS = ("accuracy", "auroc", "f1")
GAINED = ("auroc", "f1")  # shown as what is gained over the labels on file: the test part of each seed is another
CURVES = ("precision", "recall", *GAINS)
PLACES = 41  # on the budget axis from 0 to the whole pool
Played = dict[str, Any]


def collect(
    title: str, one: ReplaySet, options: ReplayOptions, source_name: str, played: Sequence[Played]
) -> dict[str, Any]:
    """Give every figure that the pages show."""
    groups: dict[tuple[str, float], dict[str, list[Played]]] = {}
    for cell in played:
        groups.setdefault((cell["kind"], cell["rate"]), {}).setdefault(cell["strategy"], []).append(cell)
    return {
        "title": title, "names": one.names, "recordings": len(one.truth_NC), "source": source_name,
        "pool": played[0]["pool"], "test": played[0]["test"], "options": options.to_dict(),
        "remarks": list(one.remarks), "gain_share": GAIN_SHARE, "first": [k for k in FIRST if k <= played[0]["pool"]],
        "parts": [_part(kind, rate, by_strategy) for (kind, rate), by_strategy in groups.items()],
        "stopping": list(calibration([line for cell in played for line in cell["stopping"]])),
        "stopping_lines": [
            {"kind": cell["kind"], "rate": cell["rate"], **_flat(line)} for cell in played for line in cell["stopping"]
        ],
    }  # fmt: skip


def _part(kind: str, rate: float, by_strategy: dict[str, list[Played]]) -> dict[str, Any]:
    lines, axis_K = [], np.linspace(0, 1, PLACES)
    for strategy, seeds in by_strategy.items():
        curves = {name: _over(seeds, name, axis_K) for name in CURVES}
        lines.append({
            "strategy": strategy, "seeds": len(seeds), "curves": curves,
            "precision_first": {str(k): _mean([_share_found(one, k) for one in seeds], True) for k in FIRST},
            "at_rate": {
                "corrections": _mean([_share_found(one, one["wrong"]) * one["wrong"] for one in seeds]),
                "times_random": _mean([_share_found(one, one["wrong"]) / _rate(one) for one in seeds]),
                "accuracy": _mean([_at(one, "accuracy", one["wrong"]) for one in seeds], True),
                "auroc": _mean([_at(one, "auroc", one["wrong"]) for one in seeds]),
                "f1": _mean([_at(one, "f1", one["wrong"]) for one in seeds]),
            },
            "budget_to_gain": {gain: budget_to_gain(seeds, by_strategy.get("random", []), gain) for gain in GAINS},
        })  # fmt: skip
    first = next(iter(by_strategy.values()))
    full = {
        gain: {
            "start": _mean([one["standing"][0][gain] for one in first]),
            "gain": _mean([_difference(one, gain) for one in first]),
        }
        for gain in GAINS
    }
    return {"kind": kind, "rate": rate, "axis": axis_K.tolist(), "strategies": lines, "full": full}


def _over(seeds: Sequence[Played], name: str, axis_K: np.ndarray) -> dict[str, list[float | None]]:
    return over_seeds(np.stack([curve(one, name, axis_K) for one in seeds]), name not in GAINED)


def _rate(one: Played) -> float:
    return float(one["wrong"] / one["pool"])


def _share_found(one: Played, first: int) -> float:
    """Share of the first reads that met a wrong label."""
    return float(np.mean(one["found"][:first])) if one["found"][:first] else float("nan")


def curve(one: Played, name: str, axis_K: np.ndarray) -> np.ndarray:
    """Value ``[K]`` at shares of the pool read, of `GAINED` less that before any; NaN beyond what was read."""
    read_K, done = np.round(axis_K * one["pool"]).astype(int), len(one["found"])
    if name in ("precision", "recall"):
        met = np.concatenate([[0], np.cumsum(one["found"])])
        value_K = met[np.minimum(read_K, done)].astype(float)
        value_K = value_K / np.maximum(read_K, 1) if name == "precision" else value_K / max(1, one["wrong"])
        value_K[(read_K == 0) & (name == "precision")] = np.nan
        return np.where(read_K <= done, value_K, np.nan)
    values = np.array([np.nan if line[name] is None else line[name] for line in one["standing"]], dtype=float)
    values -= values[0] if name in GAINED else 0.0
    return np.interp(read_K, [line["read"] for line in one["standing"]], values, right=np.nan)


def _at(one: Played, name: str, read: int) -> float:
    return float(curve(one, name, np.array([read / one["pool"]]))[0])


def over_seeds(value_NK: np.ndarray, is_share: bool) -> dict[str, list[float | None]]:
    """Mean over seeds with its 95 % interval (Student's t) at each place; a share stays within 0 and 1."""
    each = [_mean(value_N, is_share) for value_N in value_NK.T]
    return {end: [one[end] for one in each] for end in ("value", "low", "high")}


def _mean(values: Sequence[float | None] | np.ndarray, is_share: bool = False) -> dict[str, float | None]:
    known = np.array([value for value in values if value is not None and not np.isnan(value)], dtype=float)
    if not known.size:
        return {"value": None, "low": None, "high": None}
    mean = float(known.mean())
    if known.size < 2:
        return {"value": mean, "low": None, "high": None}
    half = float(stats.t.ppf(0.975, known.size - 1) * known.std(ddof=1) / np.sqrt(known.size))
    low, high = (max(0.0, mean - half), min(1.0, mean + half)) if is_share else (mean - half, mean + half)
    return {"value": mean, "low": low, "high": high}


def budget_to_gain(seeds: Sequence[Played], random: Sequence[Played], gain: str) -> dict[str, Any] | None:
    """Share of the pool to read for 95 % of the gain of re-reading everything, and its ratio to random's.

    Taken from the mean curves, where they first get there; intervals by drawing seeds again, alike for both. None
    where the mean gain of re-reading everything is not above 0 beyond chance, or some curve never gets there.
    """
    gains = _mean([_difference(one, gain) for one in seeds])
    if gains["value"] is None or gains["low"] is None or gains["low"] <= 0:
        return None
    own = _curves(seeds, gain)
    value = _reached(own)
    if value is None:
        return None
    drawn = np.random.default_rng(0).integers(len(seeds), size=(RESAMPLES, len(seeds)))
    budgets = [_reached(own[rows]) for rows in drawn]
    result: dict[str, Any] = {"share": {"value": value, **_ends(budgets)}, "ratio": None}
    if len(random) != len(seeds):  # random reading was not replayed
        return result
    others = _curves(random, gain)
    if by_chance := _reached(others):
        bases = [_reached(others[rows]) for rows in drawn]
        ratios = [a / b if a is not None and b else None for a, b in zip(budgets, bases, strict=True)]
        result["ratio"] = {"value": value / by_chance, **_ends(ratios)}
    return result


def _difference(one: Played, gain: str) -> float | None:
    start, full = one["standing"][0][gain], one["full"][gain]
    return None if start is None or full is None else full - start


def _curves(seeds: Sequence[Played], gain: str) -> np.ndarray:
    """Curves ``[N, K + 1]`` on a fine axis; the last place holds the value after re-reading everything."""
    axis_K = np.linspace(0, 1, 201)
    ends = [_difference(one, gain) if gain in GAINED else one["full"][gain] for one in seeds]
    rows = [[*curve(one, gain, axis_K), end] for one, end in zip(seeds, ends, strict=True)]
    return np.array(rows, dtype=float).reshape(len(seeds), -1)


def _reached(curve_NK: np.ndarray) -> float | None:
    """Where the mean curve first gets to the share of the gain; None if never."""
    mean_K = curve_NK.mean(axis=0)
    aim = mean_K[0] + GAIN_SHARE * (mean_K[-1] - mean_K[0])
    there = np.flatnonzero(mean_K[:-1] >= aim)
    if not there.size or mean_K[-1] <= mean_K[0]:
        return None
    return float(there[0]) / (mean_K.size - 2)


def _ends(values: Sequence[float | None]) -> dict[str, float | None]:
    """Ends of the 95 % interval of resamples; None where a tenth or more are not defined."""
    known = [value for value in values if value is not None]
    if len(known) < 0.9 * len(values):
        return {"low": None, "high": None}
    low, high = np.percentile(known, [2.5, 97.5])
    return {"low": float(low), "high": float(high)}


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    return {key: line[key] for key in ("round", "unread", "next", "wrong", "corrected", "estimates")}


def calibration(lines: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """How the estimates of when to stop held: coverage of the 95 % interval, bias and error, an estimate each."""
    for name in ("audit", "model", "combined", "yield"):
        truth = "corrected" if name == "yield" else "wrong"
        told = [(line["estimates"][name], line[truth]) for line in lines if name in line["estimates"]]
        if told:
            off = np.array([one["value"] - came for one, came in told])
            inside = [one["low"] - 1e-9 <= came <= one["high"] + 1e-9 for one, came in told]
            yield {
                "name": name, "told": len(told), "covered": float(np.mean(inside)), "bias": float(off.mean()),
                "error": float(np.sqrt(np.mean(off**2))), "truth": float(np.mean([came for _, came in told])),
                "width": float(np.mean([one["high"] - one["low"] for one, _ in told])),
            }  # fmt: skip


def write(out: Path, collected: dict[str, Any]) -> Path:
    """Write ``results.json``, ``results.md`` and ``results.html``; returns the page's path."""
    write_json(out / "results.json", collected)
    (out / "results.md").write_text(markdown(collected), encoding="utf-8")
    path = out / "results.html"
    path.write_text(page.render(collected), encoding="utf-8")
    return path


def markdown(collected: dict[str, Any]) -> str:
    """Write the tables for a document."""
    lines = [f"# {collected['title']}", "", page.setting_in_words(collected), ""]
    lines += [f"- {remark}" for remark in collected["remarks"]]
    for part in collected["parts"]:
        lines += ["", f"## {page.KINDS[part['kind']]}, {part['rate']:.0%} wrong", ""]
        lines += ["| " + " | ".join(page.HEADS) + " |", "|---" * len(page.HEADS) + "|"]
        lines += ["| " + " | ".join(page.row(line)) + " |" for line in part["strategies"]]
        lines += ["", page.full_in_words(part)]
    if collected["stopping"]:
        lines += ["", "## When to stop", "", page.STOPPING_WORDS, ""]
        lines += ["| " + " | ".join(page.STOPPING_HEADS) + " |", "|---" * len(page.STOPPING_HEADS) + "|"]
        lines += ["| " + " | ".join(page.stopping_row(line)) + " |" for line in collected["stopping"]]
    return "\n".join(lines) + "\n"
