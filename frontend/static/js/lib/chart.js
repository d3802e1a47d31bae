// Curves over training steps and over days. With lib/sheet.js the only module that knows Plotly (a global, the basic bundle).

// Each curve differs in colour and in dash, so that colour alone never tells.
const LINES = [
  { color: "#0f5e63", dash: "solid" },
  { color: "#9a3412", dash: "dash" },
  { color: "#1c2430", dash: "dot" },
  { color: "#5b6675", dash: "dashdot" },
  { color: "#2c6e49", dash: "longdash" },
];
const FONT = { family: "system-ui, sans-serif", size: 12, color: "#1c2430" };
const AXIS = { gridcolor: "#d9dee5", linecolor: "#b9c1cc", zeroline: false, automargin: true, fixedrange: true };

/**
 * Draw curves into `element`, or change those drawn there.
 * `curves`: [{name, step: [...], value: [...]}]; `reference`: {value, words} draws a level line.
 */
export function drawCurves(element, { curves, reference = null, range = null }) {
  const traces = curves.map(({ name, step, value }, index) => ({
    type: "scatter",
    mode: step.length > 1 ? "lines" : "markers",
    name,
    x: step,
    y: value,
    line: { ...LINES[index % LINES.length], width: 2 },
    hovertemplate: "%{y:.4g}",
  }));
  const layout = {
    ...frame(),
    xaxis: { ...AXIS, title: { text: "step", standoff: 4 }, rangemode: "tozero" },
    yaxis: range ? { ...AXIS, range: [...range] } : { ...AXIS, rangemode: "tozero" },
    shapes: reference ? [level(reference.value)] : [],
    annotations: reference ? [levelWords(reference)] : [],
  };
  fit(element);
  return window.Plotly.react(element, traces, layout, { displayModeBar: false });
}

// What all charts look like; Plotly writes into a layout, so that each gets one of its own.
const frame = () => ({
  font: FONT,
  margin: { l: 44, r: 12, t: 8, b: 36 },
  height: 260,
  paper_bgcolor: "#ffffff",
  plot_bgcolor: "#ffffff",
  hovermode: "x unified",
  showlegend: true,
  legend: { orientation: "h", y: -0.22, x: 0 },
  uirevision: "same",
});

const fitted = new WeakSet();

/** Keep a chart as wide as its place, which changes with the window and with the charts beside it. */
function fit(element) {
  if (fitted.has(element)) return;
  fitted.add(element);
  new ResizeObserver(() => element.clientWidth && window.Plotly.Plots.resize(element)).observe(element);
}

const level = (value) => ({
  type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line: { color: "#5b6675", width: 1, dash: "dot" },
});

const levelWords = ({ value, words }) => ({
  xref: "paper", x: 1, xanchor: "right", y: value, yanchor: "bottom", text: words, showarrow: false, font: { ...FONT, color: "#5b6675", size: 11 },
});

const BAND = ["rgb(15 94 99 / 12%)", "rgb(15 94 99 / 22%)"];

/**
 * Draw a quantity over days into `element`, or change what is drawn there. All lists are of the length of `days`.
 * `bands`: [{low, high, words}], the widest first; `line`: {value, words}; `points`: {value, size, words}, one a day;
 * `marks`: {days, value, words}, days that stand out; `levels`: [{value, words}] are level lines.
 */
export function drawByDay(element, { days, bands, line, points = null, marks = null, levels = [], range }) {
  const edge = { type: "scatter", mode: "lines", x: days, line: { width: 0 }, hoverinfo: "skip" };
  const traces = bands.flatMap(({ low, high, words }, index) => [
    { ...edge, y: low, showlegend: false },
    { ...edge, y: high, name: words, fill: "tonexty", fillcolor: BAND[index % BAND.length] },
  ]);
  if (points) traces.push({
    type: "scatter", mode: "markers", name: points.words, x: days, y: points.value, customdata: points.size,
    marker: { color: "#9a3412", opacity: 0.55, size: points.size.map((count) => 4 + 1.4 * Math.sqrt(count)) },
    hovertemplate: "%{y:.3f} of %{customdata} read",
  });
  traces.push({
    type: "scatter", mode: days.length > 1 ? "lines" : "markers", name: line.words, x: days, y: line.value,
    line: { ...LINES[0], width: 2 }, hovertemplate: "%{y:.3f}",
  });
  if (marks?.days.length) traces.push({
    type: "scatter", mode: "markers", name: marks.words, x: marks.days, y: marks.value,
    marker: { color: "#9a3412", size: 11, symbol: "x" }, hovertemplate: "%{y:.3f}",
  });
  const layout = {
    ...frame(),
    xaxis: { ...AXIS, type: "date", tickformat: "%-d %b", nticks: 8 },
    yaxis: { ...AXIS, range: [...range] },
    shapes: levels.map(({ value }) => level(value)),
    annotations: levels.map(levelWords),
  };
  fit(element);
  return window.Plotly.react(element, traces, layout, { displayModeBar: false });
}
