// Statements of the label scheme: finding them by typing, what they say together, and which don't go together. No page, no fetch.

/** Rank of a label for what was typed; null where it doesn't fit. Lower is better. */
function rank(label, typed) {
  const names = [label.abbreviation, label.name, ...(label.synonyms || [])].filter(Boolean).map((name) => name.toLowerCase());
  let best = null;
  names.forEach((name, index) => {
    const found = fit(name, typed);
    // A synonym counts a little less than the name itself.
    if (found !== null && (best === null || found + (index > 1 ? 0.5 : 0) < best)) best = found + (index > 1 ? 0.5 : 0);
  });
  if (best === null && label.code.startsWith(typed) && typed.length > 2) best = 8;
  return best;
}

function fit(name, typed) {
  if (name === typed) return 0;
  if (name.startsWith(typed)) return 1;
  const words = name.split(/[^a-z0-9]+/).filter(Boolean);
  if (typed.includes(" ")) {
    // Each word typed begins a word of the name, in any order.
    return typed.split(/\s+/).every((part) => words.some((word) => word.startsWith(part))) ? 2 : null;
  }
  const starts = beginnings(words, typed);
  if (starts !== null) return 3 + starts;
  if (words.some((word) => word.startsWith(typed))) return 4;
  return typed.length > 2 && name.includes(typed) ? 6 : null;
}

/** "afi" = A(trial) FI(brillation): typed letters split over beginnings of words in order. Words passed over cost. */
function beginnings(words, typed, from = 0) {
  if (!typed) return 0;
  for (let w = from; w < words.length; w += 1) {
    let length = 0;
    while (length < typed.length && words[w][length] === typed[length]) length += 1;
    for (; length > 0; length -= 1) {
      const rest = beginnings(words, typed.slice(length), w + 1);
      if (rest !== null) return rest + (w - from) * 0.2;
    }
  }
  return null;
}

/** Labels for what was typed, best first; ties by scored ones first, then by name. */
export function search(scheme, typed, limit = 8) {
  const wanted = typed.trim().toLowerCase().replace(/\s+/g, " ");
  if (!wanted) return [];
  return scheme.labels
    .map((label) => ({ label, rank: rank(label, wanted) }))
    .filter(({ rank: found }) => found !== null)
    .sort((a, b) => a.rank - b.rank || Number(b.label.scored || 0) - Number(a.label.scored || 0) || a.label.name.localeCompare(b.label.name))
    .slice(0, limit)
    .map(({ label }) => label);
}

/** What the statements say together: "abnormal" with any abnormal one, "normal" with normal ones alone, null for none. */
export function overallOf(scheme, statements) {
  const labels = statements.map(({ code }) => scheme.byCode.get(code)).filter(Boolean);
  if (!labels.length) return null;
  if (labels.some(({ normal }) => normal === false)) return "abnormal";
  return labels.every(({ normal }) => normal) ? "normal" : null;
}

/** Warnings for statements that don't go together. */
export function clashesOf(scheme, statements) {
  const codes = new Set(statements.map(({ code }) => code));
  return (scheme.clashes || []).filter((clash) => clash.codes.every((code) => codes.has(code))).map(({ message }) => message);
}

/** Make the API's scheme quick to ask. */
export function indexed(scheme) {
  // A normal ECG beside an abnormal statement and the like come as pairs of codes.
  const name = (code) => scheme.labels.find((label) => label.code === code)?.name || code;
  const clashes = (scheme.clashes || []).map((clash) => (Array.isArray(clash) ? { codes: clash, message: `${name(clash[0])} and ${name(clash[1])} can't both hold.` } : clash));
  return { ...scheme, clashes, byCode: new Map(scheme.labels.map((label) => [label.code, label])) };
}

/** Statements in words: "Atrial fibrillation, possible T wave abnormality". */
export const inWords = (scheme, statements) =>
  statements.map(({ code, qualifier }) => `${qualifier ? `${qualifier} ` : ""}${scheme.byCode.get(code)?.name || code}`).join(", ");
