"""A bench as one page that needs nothing else: table, bars, classes, and the curve over shares of the labels."""

from html import escape
from typing import Any

import plotly.graph_objects as go

ROW_TITLES = {
    "frozen_attention": "frozen + attention head",
    "frozen_linear": "frozen + linear head",
    "fine_tuned": "fine-tuned",
    "from_scratch": "from scratch",
    "random_frozen": "random frozen + attention head",
}
# Okabe and Ito's colours, told apart by everyone
_COLOURS = {
    "frozen_attention": "#0072B2", "frozen_linear": "#56B4E9", "fine_tuned": "#009E73", "from_scratch": "#E69F00",
    "random_frozen": "#999999",
}  # fmt: skip
_SYMBOLS = {
    "frozen_attention": "circle", "frozen_linear": "square", "fine_tuned": "diamond", "from_scratch": "triangle-up",
    "random_frozen": "x",
}  # fmt: skip
METRICS = {
    "macro_auroc": "macro AUROC", "macro_f1": "macro F1", "micro_f1": "micro F1", "challenge": "challenge metric",
}  # fmt: skip
_CLASSES_SHOWN = 40
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.2rem auto; max-width: 1280px; padding: 0 1rem; color: #1b1b1b }
h1 { font-size: 1.4rem; margin: 0 0 .2rem } h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .22rem .5rem; border-bottom: 1px solid #ddd; white-space: nowrap }
th { white-space: normal; vertical-align: bottom }
th:first-child, td:first-child { text-align: left }
td small { color: #595959 } .key { font-weight: 600 } p, li { max-width: 75rem; margin: .3rem 0 }
.swatch { display: inline-block; width: .7rem; height: .7rem; margin-right: .4rem }
.wide { overflow-x: auto }
"""


def comparison_in_words(one: dict[str, Any]) -> str:
    """Say what is compared."""
    joint = " less " if one["kind"] == "difference" else " over "
    return f"Macro AUROC, {ROW_TITLES[one['first']]}{joint}{ROW_TITLES[one['second']]}"


def render(results: dict[str, Any]) -> str:
    """Write the page, Plotly's code within it."""
    rows = list(dict.fromkeys(line["row"] for line in results["table"]))
    full = [line for line in results["table"] if line["fraction"] == results["largest_fraction"]]
    less = [line for line in results["table"] if line not in full]
    parts = [_head(results), _table(results, full), _comparisons(results)]
    parts.append(figure_html(_bars(results, full), plotly=True))
    if less:
        parts += ["<h2>Macro AUROC over the share of the labels</h2>", figure_html(_curves(results, rows))]
        parts += [_table(results, less)]
    parts += ["<h2>AUROC of each class</h2>", figure_html(_class_figure(results, rows)), _class_table(results, rows)]
    if results["subgroups"]:
        parts += ["<h2>Macro AUROC in parts of the test split</h2>", _subgroup_table(results, rows)]
    title = escape(results["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>"
    )


def figure_html(figure: go.Figure, plotly: bool = False, top: int = 30) -> str:
    """Write a figure in the house's style, its legend on top; the first one of a page brings Plotly's code."""
    figure.update_layout(
        template="plotly_white", font={"size": 13}, margin={"l": 60, "r": 20, "t": top, "b": 45},
        legend={"orientation": "h", "yref": "container", "y": 1.0, "yanchor": "top"},
    )  # fmt: skip
    return figure.to_html(full_html=False, include_plotlyjs=plotly, config={"displaylogo": False, "responsive": True})


def _head(results: dict[str, Any]) -> str:
    sizes = ", ".join(f"{name} {size['recordings']:,}" for name, size in results["splits"].items())
    counted = sum(one["scored"] for one in results["classes"])
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in results["remarks"])
    return (
        f"<h1>{escape(results['title'])}</h1><p>Recordings: {sizes}; no patient and no near-duplicate in two splits. "
        f"{counted} of {len(results['classes'])} classes have {results['positives_min']} or more positives and "
        f"negatives in the test split; macro means are over them. Thresholds from validation. {results['seeds']} "
        f"seeds; 95 % intervals over patients and seeds jointly.</p><ul>{remarks}</ul>"
    )


def _table(results: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    names = results["metrics"]
    head = "".join(f"<th>{METRICS[name]}</th>" for name in names)
    body = "".join(
        f"<tr><td>{_swatch(line['row'])}{ROW_TITLES[line['row']]}</td><td>{line['fraction']:.0%}</td>"
        f"<td>{line['recordings']:,.0f}</td>{''.join(_cell(line[name]) for name in names)}"
        f"<td>{line['seconds']:,.0f} s</td></tr>"
        for line in lines
    )
    return (
        f'<div class="wide"><table><thead><tr><th>row</th><th>labels</th><th>trained on</th>{head}<th>a fit</th></tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _swatch(row: str) -> str:
    return f'<span class="swatch" style="background:{_COLOURS[row]}"></span>'


def _cell(value: dict[str, float | None] | None) -> str:
    if not value or value["value"] is None:
        return "<td>-</td>"
    if value["low"] is None or value["high"] is None:
        return f"<td>{value['value']:.3f}</td>"
    return f"<td>{value['value']:.3f} <small>{value['low']:.3f} to {value['high']:.3f}</small></td>"


def _comparisons(results: dict[str, Any]) -> str:
    lines = "".join(
        f"<tr><td>{comparison_in_words(one)}</td>{_cell(one)}</tr>" for one in results["comparisons"]
    )  # fmt: skip
    return f"<h2>In pairs, on the same resamples</h2><table><tbody>{lines}</tbody></table>" if lines else ""


def _bars(results: dict[str, Any], full: list[dict[str, Any]]) -> go.Figure:
    figure = go.Figure()
    for line in full:
        shown = [name for name in results["metrics"] if line[name]["value"] is not None]
        figure.add_bar(
            name=ROW_TITLES[line["row"]], x=[METRICS[name] for name in shown],
            y=[line[name]["value"] for name in shown], marker_color=_COLOURS[line["row"]],
            error_y=_error([line[name] for name in shown]),
        )  # fmt: skip
    figure.update_layout(barmode="group", height=360, yaxis={"title": "figure, 95 % interval"})
    return figure


def _error(values: list[dict[str, float | None]]) -> dict[str, Any]:
    def reach(end: str) -> list[float]:
        return [abs((one[end] if one[end] is not None else one["value"]) - one["value"]) for one in values]  # type: ignore[operator]

    return {"type": "data", "symmetric": False, "array": reach("high"), "arrayminus": reach("low"), "thickness": 1.2}


def _curves(results: dict[str, Any], rows: list[str]) -> go.Figure:
    figure = go.Figure()
    for place, row in enumerate(rows):
        aside = 1.015 ** (place - len(rows) / 2)  # so that intervals stand side by side
        lines = sorted(
            (one for one in results["table"] if one["row"] == row and one["macro_auroc"]["value"] is not None),
            key=lambda one: one["fraction"],
        )
        figure.add_scatter(
            name=ROW_TITLES[row], x=[line["recordings"] * aside for line in lines],
            y=[line["macro_auroc"]["value"] for line in lines], mode="lines+markers",
            line={"color": _COLOURS[row]}, marker={"symbol": _SYMBOLS[row], "size": 9},
            error_y=_error([line["macro_auroc"] for line in lines]),
            customdata=[(line["fraction"], line["recordings"]) for line in lines],
            hovertemplate="%{customdata[0]:.0%} of the labels, %{customdata[1]:,} recordings: %{y:.3f}",
        )  # fmt: skip
    ticks = sorted({line["recordings"] for line in results["table"]})
    axis = {
        "type": "log",
        "title": "labelled recordings trained on",
        "tickvals": ticks,
        "ticktext": [f"{n:,.0f}" for n in ticks],
    }
    figure.update_layout(height=420, xaxis=axis, yaxis={"title": "macro AUROC"})
    return figure


def _class_figure(results: dict[str, Any], rows: list[str]) -> go.Figure:
    scored = sorted((one for one in results["classes"] if one["scored"]), key=lambda one: -one["positives"])
    shown = scored[:_CLASSES_SHOWN]
    figure = go.Figure()
    for row in rows:
        values = [one["rows"][row]["auroc_interval"] for one in shown]
        figure.add_scatter(
            name=ROW_TITLES[row], x=[f"{one['title']} ({one['positives']})" for one in shown],
            y=[value["value"] for value in values], mode="markers",
            marker={"color": _COLOURS[row], "symbol": _SYMBOLS[row], "size": 9}, error_y=_error(values),
        )  # fmt: skip
    figure.update_layout(height=440, scattermode="group", yaxis={"title": "AUROC"}, xaxis={"automargin": True})
    return figure


def _class_table(results: dict[str, Any], rows: list[str]) -> str:
    first = rows[0]
    body = "".join(
        f"<tr><td>{escape(one['title'])}</td><td>{one['positives']}</td>"
        f"{''.join(_plain(one['rows'][row]['auroc']) for row in rows)}"
        f"{''.join(_plain(one['rows'][first][name]) for name in ('sensitivity', 'precision', 'f1'))}</tr>"
        for one in results["classes"]
    )
    heads = "".join(f"<th>{_swatch(row)}AUROC, {ROW_TITLES[row]}</th>" for row in rows)
    return (
        f"<p>Sensitivity, precision and F1 are of {ROW_TITLES[first]}, at thresholds from validation.</p>"
        f'<div class="wide"><table><thead><tr><th>class</th><th>positives</th>{heads}<th>sensitivity</th>'
        f"<th>precision</th><th>F1</th></tr></thead><tbody>{body}</tbody></table></div>"
    )


def _plain(value: float | None) -> str:
    return f"<td>{'-' if value is None else f'{value:.3f}'}</td>"


def _subgroup_table(results: dict[str, Any], rows: list[str]) -> str:
    head = "".join(f"<th>{_swatch(row)}{ROW_TITLES[row]}</th>" for row in rows)
    body = "".join(
        f"<tr><td>{escape(one['name'])}: {escape(one['word'])}</td><td>{one['recordings']}</td>"
        f"{''.join(_cell(one['rows'][row]) for row in rows)}</tr>"
        for one in results["subgroups"]
    )
    return (
        f'<div class="wide"><table><thead><tr><th>part</th><th>recordings</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
