// The sheet with what stands around it: header of facts, footer of scale and tools, keys, true scale on this screen.

import { GAINS_MM_MV, SPEEDS_MM_S, Sheet } from "lib/sheet.js";
import { load } from "lib/waveform.js";

const CARD_MM = 85.6;
const SCALE_KEY = "ecgfm-px-per-mm";
// Where a millimetre of CSS is taken for one of the screen until a card was held against it.
const CSS_PX_PER_MM = 96 / 25.4;

function fact(name, value) {
  const span = document.createElement("span");
  span.className = "fact";
  if (name) {
    const label = document.createElement("span");
    label.className = "soft";
    label.textContent = `${name} `;
    span.append(label);
  }
  span.append(value);
  return span;
}

const rounded = (value, unit) => (Number.isFinite(value) ? `${Math.round(value)}${unit}` : "not measurable");

/** "10–20 s of 65 s", "29:50–30:06 of 30:06". */
function stretch(from, to, of) {
  if (of < 120) return `${from.toFixed(0)}–${to.toFixed(0)} s of ${of.toFixed(0)} s`;
  const clock = (s) => `${Math.floor(Math.round(s) / 60)}:${String(Math.round(s) % 60).padStart(2, "0")}`;
  return `${clock(from)}–${clock(to)} of ${clock(of)}`;
}

function measured(m) {
  if (!m || !Object.keys(m).length) return [];
  const facts = [["HR", rounded(m.heart_rate_bpm, " /min")]];
  const others = [["PR", m.pr_ms, " ms"], ["QRS", m.qrs_ms, " ms"], ["QT", m.qt_ms, " ms"], ["axis", m.axis_deg, "°"]];
  for (const [name, value, unit] of others) if (Number.isFinite(value)) facts.push([name, rounded(value, unit)]);
  return facts;
}

/** The sheet of a page; `keys` go into its table of keys. */
export class Viewer {
  constructor(root, dialogs) {
    this.root = root;
    this.part = (name) => root.querySelector(`[data-${name}]`);
    const stored = Number(localStorage.getItem(SCALE_KEY));
    this.sheet = new Sheet(this.part("sheet"), { onDraw: () => this.#foot() });
    if (stored > 0) this.sheet.set({ pxPerMm: stored });
    this.calibrateDialog = dialogs.calibrate;
    this.actions = {
      layout: () => this.sheet.step("layout", 1),
      "gain+": () => this.sheet.step("gain", 1),
      "gain-": () => this.sheet.step("gain", -1),
      speed: () => this.sheet.set({ speed: SPEEDS_MM_S[(SPEEDS_MM_S.indexOf(this.sheet.view.speed) + 1) % SPEEDS_MM_S.length], page: 0 }),
      calibrate: () => this.calibrate(),
      back: () => this.sheet.turn(-1),
      on: () => this.sheet.turn(1),
      minute: (direction) => this.sheet.turn(direction * Math.max(1, Math.round(60 / (this.sheet.span[1] - this.sheet.span[0])))),
    };
    root.addEventListener("click", (event) => {
      const action = event.target.closest("[data-do]")?.dataset.do;
      if (this.actions[action] && this.sheet.recording) this.actions[action]();
    });
    const drawn = () => this.sheet.recording !== null;
    this.keys = [
      { keys: ["l"], words: "next layout", run: this.actions.layout },
      { keys: ["+", "="], words: `more gain (${GAINS_MM_MV.join(", ")} mm/mV)`, run: this.actions["gain+"] },
      { keys: ["-"], words: "less gain", run: this.actions["gain-"] },
      { keys: ["v"], words: `next speed (${SPEEDS_MM_S.join(", ")} mm/s)`, run: this.actions.speed },
      { keys: ["ArrowLeft"], words: "earlier, in a long recording", run: this.actions.back },
      { keys: ["ArrowRight"], words: "later, in a long recording", run: this.actions.on },
      { keys: ["PageUp"], words: "a minute earlier", run: () => this.actions.minute(-1) },
      { keys: ["PageDown"], words: "a minute later", run: () => this.actions.minute(1) },
      { keys: ["Home"], words: "first page", run: () => this.sheet.turn(-Infinity) },
      { keys: ["End"], words: "last page", run: () => this.sheet.turn(Infinity) },
      { keys: ["m"], words: "true scale on this screen", run: this.actions.calibrate },
    ].map((key) => ({ ...key, group: "Sheet", when: drawn }));
  }

  /** Show a recording; resolves when it is drawn. A newer call wins over an older one that is still loading. */
  async show(recording) {
    this.wanted = recording.waveform_url;
    const waveform = await load(recording);
    if (this.wanted !== recording.waveform_url) return;
    this.#head(recording);
    this.root.hidden = false;
    this.sheet.show(recording, waveform);
  }

  clear() {
    this.wanted = null;
    this.sheet.clear();
    this.part("head").replaceChildren();
  }

  #head(recording) {
    const sex = { F: "F", M: "M" }[recording.sex] || "sex unknown";
    const age = Number.isFinite(recording.age_years) ? `${Math.floor(recording.age_years)} y` : "age unknown";
    const rate = recording.sampling_rate_hz;
    const name = document.createElement("strong");
    name.textContent = `${recording.pseudonym} · ${age} · ${sex}`;
    const note = (recording.quality?.findings || []).map((words) => fact("", warning(words)));
    const facts = measured(recording.measurements).map(([label, value]) => fact(label, value));
    const seconds = recording.duration_s;
    facts.push(fact(`${+rate.toFixed(1)} Hz`, seconds < 120 ? `${+seconds.toFixed(1)} s` : `${+(seconds / 60).toFixed(1)} min`));
    if (rate < 250) facts.push(fact("", `${+rate.toFixed(0)} Hz: nothing above ${+(rate / 2).toFixed(0)} Hz`));
    if (!recording.calibrated) facts.push(fact("", warning("uncalibrated: heights are not millivolts")));
    const unjudged = (recording.quality?.not_judged || []).map((words) => words.split(":")[0]);
    if (unjudged.length) facts.push(fact("not judged", unjudged.join(", ")));
    this.part("head").replaceChildren(name, ...facts, ...note);
  }

  #foot() {
    const { sheet } = this;
    const { speed } = sheet.view;
    const scale = document.createElement("span");
    scale.className = "soft";
    scale.textContent = `as recorded, no filter · ${sheet.fitted ? "not to scale" : "true scale"}`;
    const strong = (words) => Object.assign(document.createElement("strong"), { textContent: words });
    this.part("scale").replaceChildren(strong(`${speed} mm/s`), strong(`${sheet.gain} mm/${sheet.recording.calibrated ? "mV" : "unit"}`), scale);
    this.part("layout").textContent = sheet.layout.words;
    const [from, to] = sheet.span;
    this.part("pages").hidden = sheet.pageCount < 2;
    this.part("page").textContent = stretch(from, to, sheet.recording.duration_s);
  }

  calibrate() {
    const dialog = this.calibrateDialog;
    const bar = dialog.querySelector("[data-bar]");
    const slider = dialog.querySelector("input");
    const show = () => (bar.style.width = `${slider.value}px`);
    slider.value = String(Math.round((Number(localStorage.getItem(SCALE_KEY)) || CSS_PX_PER_MM) * CARD_MM));
    slider.oninput = show;
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue === "true") {
        localStorage.setItem(SCALE_KEY, String(slider.value / CARD_MM));
        this.sheet.set({ pxPerMm: slider.value / CARD_MM });
      } else if (dialog.returnValue === "fit") {
        localStorage.removeItem(SCALE_KEY);
        this.sheet.set({ pxPerMm: null });
      }
    };
    dialog.showModal();
    show();
  }
}

function warning(words) {
  const span = document.createElement("span");
  span.className = "badge badge-warning";
  span.textContent = words;
  return span;
}
