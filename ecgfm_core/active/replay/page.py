"""A replay as one page that needs nothing else: curves of each strategy, tables, and how the estimates held."""

from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ecgfm_core.active.replay.strategies import TITLES
from ecgfm_core.downstream.page import STYLE, figure_html

KINDS = {
    "uniform": "uniform", "class_conditional": "class-conditional", "instance_dependent": "instance-dependent",
    "centre_specific": "centre-specific",
}  # fmt: skip
# Okabe and Ito's colours, told apart by everyone
_COLOURS = {
    "relabel": "#0072B2", "aum": "#56B4E9", "uncertainty": "#E69F00", "bald": "#CC79A7", "kcentre": "#009E73",
    "random": "#777777", "oracle": "#000000",
}  # fmt: skip
_DASHES = {"random": "dot", "oracle": "dash"}
CURVE_TITLES = {
    "recall": "Wrong labels read", "precision": "Share of reads that met a wrong label",
    "accuracy": "Right labels in the pool", "auroc": "Macro AUROC gained on the clean test part",
    "f1": "Macro F1 gained on the clean test part",
}  # fmt: skip
_TOP = 62  # above the panels: legend, then the panels' names
_SHARES = ("recall", "precision", "accuracy")
HEADS = (
    "strategy", "precision, first 50", "wrong labels met *", "times random *", "right labels *",
    "macro AUROC gained *", "macro F1 gained *", "pool to read for 95 % of the gain in right labels",
    "over random's", "in macro AUROC", "over random's",
)  # fmt: skip
BELOW = "* at a budget equal to the share of wrong labels."
ESTIMATES = {
    "audit": "wrong labels left, audit share alone", "model": "wrong labels left, calibrated scores alone",
    "combined": "wrong labels left, both", "yield": "corrections in the next round's reads",
}  # fmt: skip
STOPPING_HEADS = (
    "estimate",
    "told",
    "95 % interval held",
    "mean truth",
    "bias",
    "root mean square error",
    "mean width",
)
STOPPING_WORDS = (
    "Before each round but the first of the strategy relabel, over all kinds, rates and seeds. What is left is counted "
    "in truly wrong labels, the yield in corrections that the reader made, slips among them."
)


def setting_in_words(collected: dict[str, Any]) -> str:
    """Say what was replayed."""
    options = collected["options"]
    what = ", ".join(collected["names"])
    return (
        f"{collected['recordings']:,} recordings ({what}); of each seed about {collected['pool']:,} in the pool and "
        f"{collected['test']:,} kept clean to judge heads, no patient in both. Probabilities: {collected['source']}. A "
        f"round reads {options['budget']:.0%} of the pool, {options['audit_share']:.0%} of it at random; the reader "
        f"errs in {options['reader_error']:.0%}. {options['seeds']} seeds of errors, reader and split; 95 % intervals "
        "over them."
    )


def render(collected: dict[str, Any]) -> str:
    """Write the page, Plotly's code within it."""
    parts = [f"<h1>{escape(collected['title'])}</h1><p>{escape(setting_in_words(collected))}</p>"]
    parts.append("<ul>" + "".join(f"<li>{escape(remark)}</li>" for remark in collected["remarks"]) + "</ul>")
    for place, (name, title) in enumerate(CURVE_TITLES.items()):
        parts += [f"<h2>{title}</h2>", figure_html(_curves(collected, name), place == 0, _TOP)]
    if collected["stopping"]:
        parts += [f"<h2>When to stop</h2><p>{STOPPING_WORDS}</p>", figure_html(_told(collected), top=_TOP)]
        parts.append(_table(STOPPING_HEADS, [stopping_row(line) for line in collected["stopping"]]))
    parts.append("<h2>In numbers</h2>")
    for part in collected["parts"]:
        parts.append(f"<h3>{KINDS[part['kind']]}, {part['rate']:.0%} wrong</h3>")
        parts.append(_table(HEADS, [row(line) for line in part["strategies"]]))
        parts.append(f"<p>{escape(full_in_words(part))}</p>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(collected["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>"
    )


def _table(heads: tuple[str, ...], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{_small(cell)}</td>" for cell in line) + "</tr>" for line in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _small(cell: str) -> str:
    """An interval stands small below its figure."""
    value, bracket, ends = escape(cell).partition(" (") if " to " in cell else (escape(cell), "", "")
    return f"{value}<br><small>{ends.removesuffix(')')}</small>" if bracket else value


def _curves(collected: dict[str, Any], name: str) -> go.Figure:
    """One panel a kind and rate, one line a strategy, its interval behind it."""
    rates = list(dict.fromkeys(part["rate"] for part in collected["parts"]))
    kinds = list(dict.fromkeys(part["kind"] for part in collected["parts"]))
    titles = [f"{KINDS[kind]}, {rate:.0%}" for rate in rates for kind in kinds]
    figure = make_subplots(
        len(rates), len(kinds), shared_xaxes=True, shared_yaxes="rows", subplot_titles=titles,
        horizontal_spacing=0.03, vertical_spacing=0.09,
    )  # fmt: skip
    for part in collected["parts"]:
        place = {"row": rates.index(part["rate"]) + 1, "col": kinds.index(part["kind"]) + 1}
        for line in part["strategies"]:
            _draw(figure, line, part["axis"], name, place)
    figure.update_xaxes(title="share of the pool read", tickformat=".0%", row=len(rates))
    if name in _SHARES:
        figure.update_yaxes(tickformat=".0%")
    figure.update_layout(height=120 + 240 * len(rates), hovermode="x unified")
    return figure


def _draw(figure: go.Figure, line: dict[str, Any], axis: list[float], name: str, place: dict[str, int]) -> None:
    strategy, curve = line["strategy"], line["curves"][name]
    colour, first = _COLOURS[strategy], place == {"row": 1, "col": 1}
    known = [index for index, low in enumerate(curve["low"]) if low is not None]
    if known:
        around = [axis[index] for index in known]
        band = [curve["high"][index] for index in known] + [curve["low"][index] for index in reversed(known)]
        figure.add_scatter(
            x=around + around[::-1], y=band, fill="toself", fillcolor=colour, opacity=0.15, line={"width": 0},
            mode="lines", hoverinfo="skip", showlegend=False, legendgroup=strategy, **place,
        )  # fmt: skip
    figure.add_scatter(
        x=axis, y=curve["value"], mode="lines", name=TITLES[strategy], legendgroup=strategy, showlegend=first,
        line={"color": colour, "width": 2, "dash": _DASHES.get(strategy, "solid")},
        hovertemplate="%{y:.3f}", **place,
    )  # fmt: skip


def _told(collected: dict[str, Any]) -> go.Figure:
    """What was told against what came, a point a round."""
    figure = make_subplots(1, len(ESTIMATES), subplot_titles=list(ESTIMATES.values()), horizontal_spacing=0.05)
    for column, name in enumerate(ESTIMATES, start=1):
        lines = [line for line in collected["stopping_lines"] if name in line["estimates"]]
        truth = [line["corrected" if name == "yield" else "wrong"] for line in lines]
        told = [line["estimates"][name]["value"] for line in lines]
        figure.add_scattergl(
            x=told, y=truth, mode="markers", marker={"size": 4, "color": "#0072B2", "opacity": 0.35}, showlegend=False,
            text=[f"{KINDS[line['kind']]}, {line['rate']:.0%}, round {line['round'] + 1}" for line in lines],
            hovertemplate="told %{x:.1f}, came %{y}<br>%{text}<extra></extra>", row=1, col=column,
        )  # fmt: skip
        most = max([*truth, 1])
        figure.add_scatter(
            x=[0, most], y=[0, most], mode="lines", line={"color": "#000", "width": 1, "dash": "dot"}, showlegend=False,
            hoverinfo="skip", row=1, col=column,
        )  # fmt: skip
        figure.update_xaxes(title="told", range=[0, most * 1.5], row=1, col=column)
    figure.update_yaxes(title="came", row=1, col=1)
    figure.update_layout(height=380)
    return figure


def row(line: dict[str, Any]) -> list[str]:
    """One strategy's cells, see `HEADS`."""
    then, gain = line["at_rate"], line["budget_to_gain"]
    budgets = []
    for name in ("accuracy", "auroc"):
        found = gain[name]
        budgets += [in_words(found["share"], "{:.1%}") if found else "-", in_words(found and found["ratio"], "{:.2f}")]
    forms = {
        "corrections": "{:.0f}", "times_random": "{:.1f}", "accuracy": "{:.1%}", "auroc": "{:+.3f}", "f1": "{:+.3f}",
    }  # fmt: skip
    at_rate = [in_words(then[name], form) for name, form in forms.items()]
    return [TITLES[line["strategy"]], in_words(line["precision_first"]["50"], "{:.2f}"), *at_rate, *budgets]


def full_in_words(part: dict[str, Any]) -> str:
    """Say what re-reading everything gains."""
    words = {"accuracy": ("right labels", "{:.1%}"), "auroc": ("macro AUROC", "{:.3f}"), "f1": ("macro F1", "{:.3f}")}
    said = []
    for name, (title, form) in words.items():
        start, gain = part["full"][name]["start"]["value"], part["full"][name]["gain"]
        began = "-" if start is None else form.format(start)
        said.append(f"{title} {began} and {in_words(gain, form.replace(':', ':+'))}")
    return f"{BELOW} Before any reading, and what re-reading everything gains: {'; '.join(said)}."


def stopping_row(line: dict[str, Any]) -> list[str]:
    """One estimate's cells, see `STOPPING_HEADS`."""
    return [
        ESTIMATES[line["name"]], f"{line['told']:,}", f"{line['covered']:.1%}", f"{line['truth']:.1f}",
        f"{line['bias']:+.1f}", f"{line['error']:.1f}", f"{line['width']:.1f}",
    ]  # fmt: skip


def in_words(value: dict[str, float | None] | None, form: str) -> str:
    """Write ``0.93 (0.92 to 0.94)``; a dash where a figure is not defined."""
    if not value or value["value"] is None:
        return "-"
    if value["low"] is None or value["high"] is None:
        return form.format(value["value"])
    return f"{form.format(value['value'])} ({form.format(value['low'])} to {form.format(value['high'])})"
