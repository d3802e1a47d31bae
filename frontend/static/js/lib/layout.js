// Where on the sheet each stretch of each lead stands. Pure: seconds and lead names in, rows of segments out.

export const STANDARD_LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];

/** Millimetres of trace on a sheet: 10 s at 25 mm/s. */
export const TRACE_WIDTH_MM = 250;

const THREE_BY_FOUR = [
  ["I", "aVR", "V1", "V4"],
  ["II", "aVL", "V2", "V5"],
  ["III", "aVF", "V3", "V6"],
];

const CLINICAL = {
  "3x4+1": { words: "3 × 4 + rhythm II", rows: [...THREE_BY_FOUR, ["II"]] },
  "3x4+3": { words: "3 × 4 + rhythm V1, II, V5", rows: [...THREE_BY_FOUR, ["V1"], ["II"], ["V5"]] },
  "6x2": { words: "6 × 2", rows: ["I", "II", "III", "aVR", "aVL", "aVF"].map((lead, i) => [lead, `V${i + 1}`]) },
  "12x1": { words: "12 × 1", rows: STANDARD_LEADS.map((lead) => [lead]) },
};

/** Whether enough of the twelve leads are there for the clinical layouts. */
const isTwelveLead = (leadNames) => STANDARD_LEADS.filter((lead) => leadNames.includes(lead)).length >= 6;

/** The layouts that make sense for a recording, first one by default: [{name, words, rows: [[lead]]}]. */
export function layoutsFor(leadNames) {
  const all = { name: "all", words: "all recorded leads", rows: leadNames.map((lead) => [lead]) };
  if (!isTwelveLead(leadNames)) return [all];
  const clinical = Object.entries(CLINICAL).map(([name, { words, rows }]) => ({ name, words, rows }));
  const hasMore = leadNames.some((lead) => !STANDARD_LEADS.includes(lead));
  return hasMore ? [...clinical, all] : clinical;
}

/** Seconds on one page. A recording shorter than the page fills as much of it as it lasts. */
export const pageSeconds = (durationS, speedMmS) => Math.min(TRACE_WIDTH_MM / speedMmS, durationS);

/** Start of each page; the last one is moved back so that it is full. */
export function pageStarts(durationS, speedMmS) {
  const pageS = pageSeconds(durationS, speedMmS);
  const count = Math.max(1, Math.ceil(durationS / pageS - 1e-6));
  return Array.from({ length: count }, (_, page) => Math.max(0, Math.min(page * pageS, durationS - pageS)));
}

/**
 * Rows of segments for one page. Time runs on across the columns of a row: the second column starts where the first ended.
 * @returns {{lead: string, startS: number, endS: number, offsetS: number}[][]} offsetS counts from the left edge of the trace.
 */
export function segments(layout, startS, pageS) {
  return layout.rows.map((leads) => {
    const columnS = pageS / leads.length;
    return leads.map((lead, column) => ({
      lead,
      startS: startS + column * columnS,
      endS: startS + (column + 1) * columnS,
      offsetS: column * columnS,
    }));
  });
}

/**
 * Zero lines of the rows in millimetres from the top; they share the height, on bold lines of the grid where there is room.
 * Where the first row rises by `above` or the last one falls by `below` out of the sheet, the rows move closer together.
 */
export function zeroLines(rowCount, heightMm, above = 0, below = 0) {
  const free = heightMm / rowCount;
  const usual = free >= 20 ? Math.floor(free / 5) * 5 : Math.max(Math.floor(free), 8);
  const grid = usual % 5 === 0 ? 5 : 1;
  const most = Math.min(2 * usual, 0.4 * heightMm); // an artefact may be metres high
  const usualTop = Math.round(((heightMm - usual * rowCount) / 2 + usual * 0.55) / grid) * grid;
  const top = Math.max(usualTop, Math.ceil((Math.min(above, most) + 1) / grid) * grid);
  const room = heightMm - top - Math.max(heightMm - usualTop - usual * (rowCount - 1), Math.min(below, most) + 1);
  const pitch = rowCount > 1 ? Math.max(Math.min(usual, Math.floor(room / (rowCount - 1) / grid) * grid), grid) : usual;
  return Array.from({ length: rowCount }, (_, row) => top + row * pitch);
}
