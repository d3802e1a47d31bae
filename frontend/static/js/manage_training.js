// The curves of one training run, drawn again whenever the live region brings new figures.
import { drawCurves } from "lib/chart.js";
import { CHANGED } from "lib/poll.js";

// Which figures stand together, in the order of the page; the first fitting group takes a figure.
const chance = { value: 1, words: "chance" };
const GROUPS = [
  { title: "Training losses, in units of chance", fits: /^train_(contrastive|abnormal|labels|text)$/, reference: chance },
  { title: "Validation losses, in units of chance", fits: /^validate_(contrastive|abnormal|labels|text)$/, reference: chance },
  { title: "AUROC on the validation split", fits: /auroc/, range: [0, 1.02], reference: { value: 0.5, words: "chance" } },
  { title: "Retrieval accuracy", fits: /retrieval_accuracy/, range: [0, 1.02] },
  { title: "What context and target share, at least (InfoNCE bound, nats)", fits: /information_nats/ },
  { title: "Recordings a second", fits: /^records_per_s$/ },
  { title: "Most memory of one process, MB", fits: /^peak_(gpu_)?memory_mb$/ },
];

const box = document.getElementById("curves");
const charts = new Map();

function draw() {
  const found = JSON.parse(document.getElementById(box.dataset.source).textContent);
  const names = Object.keys(found).sort();
  if (names.length) box.querySelector(".empty")?.remove();
  for (const group of GROUPS) {
    const members = names.filter((name) => group.fits.test(name));
    if (members.length) drawGroup(group, members.map((name) => ({ name: readable(name, members), ...found[name] })));
  }
}

// "train_text" is "text" where all are of the training split, and stays whole where both splits stand together.
function readable(name, members) {
  const splits = new Set(members.map((member) => member.split("_")[0]));
  return (splits.size > 1 ? name : name.replace(/^(train|validate)_/, "")).replaceAll("_", " ").replace("auroc", "AUROC");
}

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
