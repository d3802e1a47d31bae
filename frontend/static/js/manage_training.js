// The curves of one training run, drawn again whenever the live region brings new figures.
import { drawCurves } from "lib/chart.js";
import { CHANGED } from "lib/poll.js";

// Which figures stand together, in the order of the page; the first fitting group takes a figure.
const GROUPS = [
  { title: "Losses, in units of chance", fits: /loss/, reference: { value: 1, words: "chance" } },
  { title: "Retrieval accuracy", fits: /retrieval|top1|contrastive.*accuracy/, range: [0, 1] },
  { title: "Validation", fits: /auroc|auc|f1|accuracy/, range: [0, 1] },
  { title: "Others", fits: /(?:)/ },
];

const box = document.getElementById("curves");
const charts = new Map();

function draw() {
  const found = JSON.parse(document.getElementById(box.dataset.source).textContent);
  const names = Object.keys(found).sort();
  if (!names.length) return;
  box.querySelector(".empty")?.remove();
  let left = names;
  for (const group of GROUPS) {
    const members = left.filter((name) => group.fits.test(name));
    left = left.filter((name) => !members.includes(name));
    if (members.length) drawGroup(group, members.map((name) => ({ name: readable(name), ...found[name] })));
  }
}

const readable = (name) => name.replaceAll(/[_/.]+/g, " ");

function drawGroup(group, curves) {
  if (!charts.has(group.title)) charts.set(group.title, addFigure(group.title));
  const { plot, summary } = charts.get(group.title);
  drawCurves(plot, { curves, reference: group.reference, range: group.range });
  const last = curves.map(({ name, step, value }) => `${name} ${value.at(-1).toPrecision(3)} at step ${step.at(-1)}`);
  summary.textContent = last.join("; ");
}

function addFigure(title) {
  const figure = document.createElement("figure");
  const head = document.createElement("h3");
  head.textContent = title;
  const plot = document.createElement("div");
  plot.className = "curve";
  plot.setAttribute("aria-hidden", "true");
  const summary = document.createElement("figcaption");
  summary.className = "small soft";
  figure.append(head, plot, summary);
  box.append(figure);
  return { plot, summary };
}

draw();
document.addEventListener(CHANGED, draw);
