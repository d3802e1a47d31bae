// The ECG sheet: one Plotly figure on one axis pair in millimetres, so that it measures like paper. Only this module
// and lib/chart.js know Plotly (a global from vendor/plotly-basic.min.js).

import { TRACE_WIDTH_MM, layoutsFor, pageSeconds, pageStarts, segments, zeroLines } from "lib/layout.js";

export const SPEEDS_MM_S = [12.5, 25, 50];
export const GAINS_MM_MV = [2.5, 5, 10, 20];
/** Room for the calibration pulse left of time zero; with the traces it makes the sheet's full width. */
export const PULSE_ROOM_MM = 7;
export const SHEET_WIDTH_MM = TRACE_WIDTH_MM + PULSE_ROOM_MM;

const COLOUR = { paper: "#fffafa", minor: "#f6d9d9", major: "#e39a9a", trace: "#111111", note: "#9a3412" };
const MIN_HEIGHT_MM = 90;
const MIN_PITCH_MM = 12;
// A level further from zero than this would leave its row; the whole lead is moved and the sheet says by how much.
const MAX_LEVEL_MV = 1;

/** Lines every `stepMm` as one path: as gridlines of the axes they are 400 elements, half of the time of a drawing. */
function grid(stepMm, widthMm, heightMm, color) {
  let path = "";
  for (let x = Math.ceil(-PULSE_ROOM_MM / stepMm) * stepMm; x <= widthMm - PULSE_ROOM_MM; x += stepMm) path += `M${x},0V${-heightMm}`;
  for (let y = 0; y >= -heightMm; y -= stepMm) path += `M${-PULSE_ROOM_MM},${y}H${widthMm - PULSE_ROOM_MM}`;
  return { type: "path", path, layer: "below", xref: "x", yref: "y", line: { color, width: 1 } };
}

/** Draws a recording into an element; `view` says how, `onDraw(sheet)` is told after each drawing. */
export class Sheet {
  constructor(element, { onDraw = () => {} } = {}) {
    this.element = element;
    this.onDraw = onDraw;
    this.recording = null;
    this.leads = null;
    // Where a recording is in no known unit, the gain that shows it is found anew for each; millivolts keep theirs.
    this.view = { speed: 25, gain: 10, unitGain: 10, layout: null, page: 0, pxPerMm: null };
    this.drawMs = 0;
    this.fontFamily = getComputedStyle(document.body).fontFamily;
    new ResizeObserver(() => this.resized()).observe(element.parentElement);
  }

  /** Show a recording (as the API describes it) with its waveform (lib/waveform.js): leads in millivolts and their states. */
  show(recording, { leads, states }) {
    this.recording = recording;
    this.leads = leads;
    this.states = states;
    this.layouts = layoutsFor(recording.lead_names);
    this.view.page = 0;
    if (!recording.calibrated) this.view.unitGain = this.fittingGain();
    this.draw();
  }

  /** Take the recording away: an empty sheet. */
  clear() {
    this.recording = null;
    this.leads = null;
    Plotly.purge(this.element);
    this.element.replaceChildren();
  }

  /** Change speed, gain, layout, page or pixels a millimetre, and draw. */
  set(change) {
    Object.assign(this.view, change);
    if (this.recording) this.draw();
  }

  get layout() {
    return this.layouts.find(({ name }) => name === this.view.layout) || this.layouts[0];
  }

  /** Millimetres a millivolt, or a unit. */
  get gain() {
    return this.recording.calibrated ? this.view.gain : this.view.unitGain;
  }

  /** The largest usual gain at which most leads stay within their rows. */
  fittingGain() {
    const ranges = Array.from(this.states.values(), ({ rangeMv }) => rangeMv).sort((a, b) => a - b);
    const pitchMm = this.element.parentElement.clientHeight / this.layout.rows.length / (this.element.parentElement.clientWidth / SHEET_WIDTH_MM);
    const fitting = GAINS_MM_MV.filter((gain) => gain <= 10 && gain * ranges[ranges.length >> 1] <= pitchMm);
    return fitting.at(-1) || GAINS_MM_MV[0];
  }

  get pageCount() {
    return pageStarts(this.recording.duration_s, this.view.speed).length;
  }

  /** Seconds of the recording on the sheet: [from, to]. */
  get span() {
    const start = pageStarts(this.recording.duration_s, this.view.speed)[this.view.page];
    return [start, start + pageSeconds(this.recording.duration_s, this.view.speed)];
  }

  /** What was in use, stored with the reading. */
  get display() {
    return { speed_mm_s: this.view.speed, gain_mm_mv: this.gain, layout: this.layout.name, filter: "as recorded", px_per_mm: this.pxPerMm };
  }

  /** Step to the next "layout" or "gain". */
  step(what, direction) {
    if (what === "layout") {
      const names = this.layouts.map(({ name }) => name);
      return this.set({ layout: names[(names.indexOf(this.layout.name) + direction + names.length) % names.length] });
    }
    const at = GAINS_MM_MV.indexOf(this.gain) + direction;
    const gain = GAINS_MM_MV[Math.max(0, Math.min(GAINS_MM_MV.length - 1, at))];
    return this.set(this.recording.calibrated ? { gain } : { unitGain: gain });
  }

  /** Go to another page of a long recording. */
  turn(direction) {
    this.set({ page: Math.max(0, Math.min(this.pageCount - 1, this.view.page + direction)) });
  }

  resized() {
    const { clientWidth, clientHeight } = this.element.parentElement;
    if (!this.recording || (clientWidth === this.drawnWidth && clientHeight === this.drawnHeight)) return;
    this.draw();
  }

  draw() {
    const started = performance.now();
    const room = this.element.parentElement;
    const { clientWidth, clientHeight } = room;
    this.drawnWidth = clientWidth;
    this.drawnHeight = clientHeight;
    this.fitted = !this.view.pxPerMm;
    this.pxPerMm = this.view.pxPerMm || clientWidth / SHEET_WIDTH_MM;
    const widthPx = this.fitted ? clientWidth : Math.round(Math.max(SHEET_WIDTH_MM * this.pxPerMm, clientWidth));
    const leastMm = Math.max(MIN_HEIGHT_MM, this.layout.rows.length * MIN_PITCH_MM);
    const heightPx = Math.max(clientHeight, Math.ceil(leastMm * this.pxPerMm));
    const size = { widthPx, heightPx, widthMm: widthPx / this.pxPerMm, heightMm: heightPx / this.pxPerMm };
    Plotly.react(this.element, this.traces(size.heightMm), this.frame(size), { staticPlot: true, displayModeBar: false });
    this.element.setAttribute("aria-label", this.summary());
    this.drawMs = performance.now() - started;
    this.onDraw(this);
  }

  frame({ widthPx, heightPx, widthMm, heightMm }) {
    const axis = { showgrid: false, showticklabels: false, zeroline: false, fixedrange: true };
    return {
      width: widthPx, height: heightPx, margin: { l: 0, r: 0, t: 0, b: 0, pad: 0 },
      paper_bgcolor: COLOUR.paper, plot_bgcolor: COLOUR.paper, showlegend: false, hovermode: false, dragmode: false,
      uirevision: this.recording.id, font: { family: this.fontFamily, size: 12, color: COLOUR.trace },
      xaxis: { ...axis, range: [-PULSE_ROOM_MM, widthMm - PULSE_ROOM_MM] },
      yaxis: { ...axis, range: [-heightMm, 0], scaleanchor: "x", scaleratio: 1 },
      shapes: [grid(1, widthMm, heightMm, COLOUR.minor), grid(5, widthMm, heightMm, COLOUR.major)],
    };
  }

  /** Traces for Plotly: the recording, the pulses, the ticks at lead changes, the names. */
  traces(heightMm) {
    const [startS] = this.span;
    const rows = segments(this.layout, startS, this.span[1] - startS);
    const above = this.reach(rows[0], Math.max);
    const below = -this.reach(rows[rows.length - 1], Math.min);
    const zeros = zeroLines(rows.length, heightMm, above, below).map((mm) => -mm);
    const pitch = zeros.length > 1 ? zeros[0] - zeros[1] : 40;
    const names = { x: [], y: [], text: [] };
    const notes = { x: [], y: [], text: [] };
    const ticks = { x: [], y: [] };
    const pulses = { x: [], y: [] };
    rows.forEach((row, index) => {
      const zero = zeros[index];
      if (this.recording.calibrated) this.pulse(pulses, zero);
      row.forEach((segment, column) => {
        const x = segment.offsetS * this.view.speed;
        if (column) ticks.x.push(x, x, NaN), ticks.y.push(zero + 1.5, zero + 4.5, NaN);
        names.x.push(x + 1);
        names.y.push(zero + Math.min(pitch * 0.36, 14));
        names.text.push(`<b>${segment.lead}</b>`);
        const note = this.note(segment.lead);
        if (note) notes.x.push(x + 8), notes.y.push(zero + Math.min(pitch * 0.36, 14)), notes.text.push(note);
      });
    });
    const line = { mode: "lines", type: "scatter", connectgaps: false, hoverinfo: "skip" };
    const text = { mode: "text", type: "scatter", textposition: "middle right", hoverinfo: "skip", cliponaxis: true };
    return [
      { ...line, name: "recording", ...this.trace(rows, zeros), line: { color: COLOUR.trace, width: 1.1, shape: "linear", simplify: false } },
      { ...line, name: "pulses", ...pulses, line: { color: COLOUR.trace, width: 1.1 } },
      { ...line, name: "ticks", ...ticks, line: { color: COLOUR.trace, width: 1.1 } },
      { ...text, name: "names", ...names, textfont: { size: 12, color: COLOUR.trace } },
      { ...text, name: "notes", ...notes, textfont: { size: 12, color: COLOUR.note } },
    ];
  }

  /** The calibration pulse: 1 mV high (10 mm at the usual gain), 5 mm wide. */
  pulse({ x, y }, zero) {
    const high = zero + this.gain;
    x.push(-6.5, -6, -6, -1, -1, -0.5, NaN);
    y.push(zero, zero, high, high, zero, zero, NaN);
  }

  /** Every sample of every segment, joined by gaps into one line: one path is drawn many times faster than sixteen. */
  trace(rows, zeros) {
    const { gain } = this;
    const { speed } = this.view;
    const rate = this.recording.sampling_rate_hz;
    const parts = rows.flatMap((row, index) => row.map((segment) => ({ ...this.stretch(segment), segment, zero: zeros[index] })));
    const count = parts.reduce((sum, { from, to }) => sum + Math.max(0, to - from) + 1, 0);
    const x = new Float64Array(count);
    const y = new Float64Array(count);
    let at = 0;
    for (const { mv, from, to, segment, zero, level } of parts) {
      const left = (segment.offsetS - segment.startS) * speed;
      for (let i = from; i < to; i += 1, at += 1) {
        x[at] = left + (i / rate) * speed;
        y[at] = zero + (mv[i] - level) * gain;
      }
      x[at] = y[at] = NaN;
      at += 1;
    }
    return { x, y };
  }

  /** The samples of a segment: those of `mv` in [from, to), and the level that is taken off. */
  stretch({ lead, startS, endS }) {
    const mv = this.leads.get(lead);
    if (!mv) return { mv: [], from: 0, to: 0, level: 0 };
    const rate = this.recording.sampling_rate_hz;
    const from = Math.max(0, Math.ceil(startS * rate - 1e-6));
    const to = Math.min(mv.length, Math.floor(endS * rate + 1e-6) + 1); // the sample at the seam belongs to both
    return { mv, from, to, level: this.shift(lead) };
  }

  /** How far a row's traces reach from its zero line, in millimetres. */
  reach(row, furthest) {
    let mm = 0;
    for (const { mv, from, to, level } of row.map((segment) => this.stretch(segment))) {
      for (let i = from; i < to; i += 1) if (mv[i] === mv[i]) mm = furthest(mm, (mv[i] - level) * this.gain);
    }
    return mm;
  }

  /** Millivolts by which a lead is moved as a whole to stay in its row; 0 for all but odd recordings. */
  shift(lead) {
    const { levelMv } = this.states.get(lead);
    return Math.abs(levelMv) > MAX_LEVEL_MV ? levelMv : 0;
  }

  /** What stands beside a lead's name when it is not as it should be. */
  note(lead) {
    const state = this.states.get(lead);
    if (!state || !state.recorded) return "not recorded";
    const words = [];
    if (state.flat) words.push("flat line");
    if (state.missingShare > 0) words.push("samples missing");
    if (this.shift(lead)) words.push(`moved by ${(-this.shift(lead)).toFixed(1)} mV`);
    return words.join(", ");
  }

  /** The sheet in words, for a screen reader. */
  summary() {
    const odd = [...new Set(this.layout.rows.flat())].map((lead) => [lead, this.note(lead)]).filter(([, note]) => note);
    const [from, to] = this.span;
    return [
      `ECG sheet, ${this.layout.words}, ${from.toFixed(1)} to ${to.toFixed(1)} s of ${this.recording.duration_s.toFixed(1)} s,`,
      `${this.view.speed} mm/s, ${this.gain} mm/${this.recording.calibrated ? "mV" : "unit"}.`,
      ...odd.map(([lead, note]) => `${lead}: ${note}.`),
    ].join(" ");
  }
}
