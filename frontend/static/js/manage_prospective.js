// The charts of a prospective test, drawn again whenever the live region brings new figures.
import { drawByDay } from "lib/chart.js";
import { h } from "lib/dom.js";
import { CHANGED } from "lib/poll.js";

const NAMES = { recall: "Recall", precision: "Precision", f1: "F1" };
const charts = new Map();

function draw() {
  const found = JSON.parse(document.getElementById("charts-data").textContent);
  if (!found.days.length) return;
  const read = Object.values(found.figures)[0].read.some(Boolean);
  if (read) for (const [key, figure] of Object.entries(found.figures)) drawFigure(found.days, key, figure);
  drawScores(found);
}

function drawFigure(days, key, { value, low, high, day, read, goal }) {
  const { plot, summary } = place("figure-charts", NAMES[key]);
  const settled = value.slice(-Math.ceil(days.length / 2)).filter((one) => one !== null);
  const lowest = Math.min(goal, low.at(-1) ?? 1, ...settled);
  drawByDay(plot, {
    days,
    bands: [{ low, high, words: "95 % interval" }],
    line: { value, words: "so far" },
    points: { value: day, size: read, words: "that day" },
    levels: [{ value: goal, words: `to beat ${goal}` }],
    range: [Math.max(0, Math.floor((lowest - 0.03) * 20) / 20), 1.01],
  });
  summary.textContent = value.at(-1) === null ? "" : `${NAMES[key]} ${value.at(-1).toFixed(3)} so far (${low.at(-1).toFixed(3)} to ${high.at(-1).toFixed(3)})`;
}

function drawScores({ days, scores, alarms, reference, threshold }) {
  const { plot, summary } = place("score-chart", "Probability of abnormal");
  const levels = [{ value: threshold, words: "abnormal from here" }];
  if ("0.5" in reference) levels.push({ value: reference["0.5"], words: "median of the reference" });
  drawByDay(plot, {
    days,
    bands: [
      { low: scores["0.1"], high: scores["0.9"], words: "middle 80 %" },
      { low: scores["0.25"], high: scores["0.75"], words: "middle 50 %" },
    ],
    line: { value: scores["0.5"], words: "median" },
    marks: { days: alarms, value: alarms.map((day) => scores["0.5"][days.indexOf(day)]), words: "drift alarm" },
    levels,
    range: [-0.02, 1.02],
  });
  summary.textContent = alarms.length ? `Drift alarm on ${alarms.join(", ")}` : "No day with a drift alarm";
}

// A figure in its place, made once.
function place(id, title) {
  if (!charts.has(title)) {
    const box = document.getElementById(id);
    box.querySelector(".empty")?.remove();
    const plot = h("div", { class: "curve", "aria-hidden": "true" });
    const summary = h("figcaption", { class: "visually-hidden" });
    box.append(h("figure", {}, h("h3", { text: title }), plot, summary));
    charts.set(title, { plot, summary });
  }
  return charts.get(title);
}

draw();
document.addEventListener(CHANGED, draw);
