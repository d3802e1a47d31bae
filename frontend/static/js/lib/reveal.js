// What was known before: why the recording is here, the labels it came with, what the model says.

const BARS = 5;
const LIKELY = 0.5;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function section(title, plain, ...content) {
  const made = element("section", "block");
  const heading = element("h2", "section-title", title);
  if (plain) heading.append(" ", element("span", "plain", plain));
  made.append(heading, ...content);
  return made;
}

/** Statements that the model finds likely and the scheme knows. */
export const modelStatements = (model, scheme) =>
  (model?.labels || []).filter(({ code, probability }) => probability >= LIKELY && scheme.byCode.has(code)).map(({ code }) => ({ code, qualifier: "" }));

function onFile({ source_labels: labels = [], report_text: text }) {
  const list = element("ul", "statements");
  for (const label of labels) {
    const item = element("li");
    item.append(element("span", "statement-name", label.name || label.source_code || label.code));
    const from = [label.system, label.likelihood !== null && label.likelihood !== undefined ? `${Math.round(label.likelihood * 100)} %` : ""];
    item.append(element("span", "soft small", from.filter(Boolean).join(", ")));
    list.append(item);
  }
  if (!labels.length) list.append(element("li", "soft", "no labels on file"));
  return section("On file", "", list, ...(text ? [element("p", "report", text)] : []));
}

function bar({ name, probability }, differs) {
  const row = element("li", differs ? "bar differs" : "bar");
  const track = element("span", "bar-track");
  const fill = element("span", "bar-fill");
  fill.style.width = `${Math.round(probability * 100)}%`;
  track.append(fill);
  row.append(element("span", "bar-name", name), track, element("span", "bar-value", `${differs ? "≠ " : ""}${probability.toFixed(2)}`));
  row.title = `${name}: ${probability.toFixed(2)}${differs ? ", not as in your first read" : ""}`;
  return row;
}

function bars(model, first) {
  const mine = new Set(first.map(({ code }) => code));
  const sorted = [...(model.labels || [])].sort((a, b) => b.probability - a.probability);
  const shown = sorted.filter(({ code }, index) => index < BARS || mine.has(code));
  const list = element("ul", "bars");
  const differing = shown.map((label) => first.length > 0 && label.probability >= LIKELY !== mine.has(label.code));
  if (Number.isFinite(model.abnormal_probability)) list.append(bar({ name: "Abnormal", probability: model.abnormal_probability }, false));
  list.append(...shown.map((label, index) => bar(label, differing[index])));
  return differing.some(Boolean) ? [list, element("p", "hint", "≠ not as in your first read")] : [list];
}

/** Fill `root` with a reveal (as the API gives it) for someone whose first read held the statements `first`. */
export function showReveal(root, reveal, first, { onUseText }) {
  const parts = [];
  if (reveal.reason) {
    const why = element("section", "why");
    why.append(element("h2", "", reveal.origin === "audit" ? "Why this one: audit share" : "Why this one"), element("p", "", reveal.reason));
    parts.push(why);
  }
  parts.push(onFile(reveal));
  const { model } = reveal;
  if (model) {
    const content = bars(model, first);
    if (model.text) {
      const use = element("button", "tool", "use this text");
      use.type = "button";
      use.addEventListener("click", () => onUseText(model.text));
      content.push(element("p", "report", model.text), use);
    }
    parts.push(section("Model", `checkpoint ${model.checkpoint}`, ...content));
  } else parts.push(section("Model", "", element("p", "soft", "no checkpoint has scored this recording")));
  root.replaceChildren(...parts);
}
