// What was known before: why the recording is here, the labels it came with, what the model says.

import { h } from "lib/dom.js";

const BARS = 5;
const LIKELY = 0.5;

const section = (title, plain, ...content) =>
  h("section", { class: "block" }, h("h2", { class: "section-title", text: title }, ...(plain ? [" ", h("span", { class: "plain", text: plain })] : [])), ...content);

/** Statements that the model finds likely and the scheme knows. */
export const modelStatements = (model, scheme) =>
  (model?.labels || []).filter(({ code, probability }) => probability >= LIKELY && scheme.byCode.has(code)).map(({ code }) => ({ code, qualifier: "" }));

const statement = (name, ...from) =>
  h("li", {}, h("span", { class: "statement-name", text: name }), h("span", { class: "soft small", text: from.filter(Boolean).join(", ") }));

/** Labels that became the same statement stand together: two source codes, one line. */
function sourceLabels(labels) {
  const lines = new Map();
  for (const { name, system, likelihood } of labels) {
    const share = likelihood === null || likelihood === undefined ? "" : `${Math.round(likelihood * 100)} %`;
    if (!lines.has(name)) lines.set(name, statement(name, system, share));
  }
  return [...lines.values()];
}

function onFile({ source_labels: labels = [], source_abnormal: abnormal, report_text: text, consensus }) {
  const list = h("ul", { class: "statements" }, ...sourceLabels(labels));
  if (!labels.length) list.append(h("li", { class: "soft", text: "no labels came with it" }));
  const parts = [section("On file", { true: "abnormal", false: "normal" }[abnormal] || "", list)];
  if (text) parts[0].append(h("p", { class: "report", text }));
  if (consensus) {
    const held = h("ul", { class: "statements" }, ...consensus.statements.map(({ name, qualifier }) => statement(name, qualifier)));
    parts.push(section("Earlier consensus", consensus.overall, held, ...(consensus.text ? [h("p", { class: "report", text: consensus.text })] : [])));
  }
  return parts;
}

function bar({ name, probability }, differs) {
  const fill = h("span", { class: "bar-fill" });
  fill.style.width = `${Math.round(probability * 100)}%`;
  const value = `${differs ? "≠ " : ""}${probability.toFixed(2)}`;
  return h(
    "li",
    { class: differs ? "bar differs" : "bar", title: `${name}: ${probability.toFixed(2)}${differs ? ", not as in your first read" : ""}` },
    h("span", { class: "bar-name", text: name }),
    h("span", { class: "bar-track" }, fill),
    h("span", { class: "bar-value", text: value }),
  );
}

function model({ checkpoint, abnormal_probability: abnormal, labels, text }, first, onUseText) {
  const mine = new Set(first.map(({ code }) => code));
  const shown = [...labels].sort((a, b) => b.probability - a.probability).filter(({ code }, index) => index < BARS || mine.has(code));
  const differs = shown.map(({ code, probability }) => first.length > 0 && probability >= LIKELY !== mine.has(code));
  const list = h("ul", { class: "bars" }, bar({ name: "Abnormal", probability: abnormal }, false), ...shown.map((label, index) => bar(label, differs[index])));
  const made = section("Model", `checkpoint ${checkpoint}`, list);
  if (differs.some(Boolean)) made.append(h("p", { class: "hint", text: "≠ not as in your first read" }));
  if (text) {
    const use = h("button", { class: "tool", type: "button", text: "use this text" });
    use.addEventListener("click", () => onUseText(text));
    made.append(h("p", { class: "report", text }), use);
  }
  return made;
}

/** The scores behind the reason, folded away: a name, a figure, and what it means. */
function scores(all) {
  const rows = all.map(({ title, value, meaning, method, range, read_first: first }) =>
    h(
      "li",
      { class: "score", title: `${method}, ${[range, first].filter(Boolean).join("; ")}` },
      h("span", { class: "score-name", text: title }),
      h("span", { class: "score-value", text: value.toFixed(Math.abs(value) < 0.1 ? 3 : 2).replace("-", "−") }),
      h("span", { class: "score-meaning soft small", text: meaning }),
    ),
  );
  return h("details", { class: "scores" }, h("summary", { text: "Scores" }), h("ul", {}, ...rows));
}

/** Fill `root` with a reveal (as the API gives it) for someone whose first read held the statements `first`. */
export function showReveal(root, reveal, first, { onUseText }) {
  const said = reveal.model?.scores || [];
  const behind = said.length ? [scores(said)] : [];
  const why = reveal.reason
    ? [h("section", { class: "why" }, h("h2", { text: "Why this one" }), h("p", { text: reveal.reason }), ...behind)]
    : [];
  const modelSaid = reveal.model ? model(reveal.model, first, onUseText) : section("Model", "", h("p", { class: "soft", text: "no checkpoint has scored this recording" }));
  root.replaceChildren(...why, ...onFile(reveal), modelSaid);
}
