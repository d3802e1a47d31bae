// Samples as they travel: little-endian int16 [lead, sample], one fetch a recording, kept for the next few.

import { bytes } from "lib/api.js";

const MISSING = -32768;
const KEPT = 6;
const cache = new Map();

/**
 * Millivolts a lead; a missing sample is NaN, which the sheet draws as a gap.
 * @returns {Map<string, Float32Array>}
 */
export function decode(buffer, recording) {
  const { lead_names: leadNames, sample_count: sampleCount, scale_mv: scaleMv } = recording;
  const expected = leadNames.length * sampleCount * 2;
  if (buffer.byteLength !== expected) {
    throw new Error(
      `Recording ${recording.pseudonym}: ${buffer.byteLength} bytes of samples, expected ${expected} ` +
        `(${leadNames.length} leads of ${sampleCount}). Nothing is drawn; skip it and tell your administrator.`,
    );
  }
  const view = new DataView(buffer);
  const leads = new Map();
  leadNames.forEach((lead, row) => {
    const mv = new Float32Array(sampleCount);
    for (let i = 0, at = row * sampleCount * 2; i < sampleCount; i += 1, at += 2) {
      const sample = view.getInt16(at, true);
      mv[i] = sample === MISSING ? NaN : sample * scaleMv;
    }
    leads.set(lead, mv);
  });
  return leads;
}

/** The waveform of a recording, {leads, states}; a second call, or one after `prefetch`, costs nothing. */
export function load(recording) {
  const address = recording.waveform_url;
  let promise = cache.get(address);
  if (!promise) {
    promise = bytes(address).then((buffer) => {
      const leads = decode(buffer, recording);
      return { leads, states: statesOf(leads) };
    });
    promise.catch(() => cache.delete(address)); // a failed fetch may be tried again
    cache.set(address, promise);
    if (cache.size > KEPT) cache.delete(cache.keys().next().value);
  }
  return promise;
}

/** Fetch ahead, quietly: a failure shows when the recording is opened. */
export const prefetch = (recording) => void load(recording).catch(() => {});

/**
 * What a reader should know of each lead before reading it: share missing, flat, and the level it rests at (the median,
 * in millivolts). Every sample is looked at, which takes long enough to be done ahead, with the fetching.
 */
export const statesOf = (leads) => new Map(Array.from(leads, ([lead, mv]) => [lead, { ...leadState(mv), levelMv: restingLevel(mv) }]));

function leadState(mv) {
  let low = Infinity;
  let high = -Infinity;
  let missing = 0;
  for (let i = 0; i < mv.length; i += 1) {
    const value = mv[i];
    if (value < low) low = value;
    if (value > high) high = value;
    if (value !== value) missing += 1; // NaN
  }
  const recorded = missing < mv.length;
  return { recorded, missingShare: missing / mv.length, flat: recorded && high - low < 0.01, rangeMv: recorded ? high - low : 0 };
}

function restingLevel(mv) {
  const step = Math.max(1, Math.floor(mv.length / 2000));
  const some = Float32Array.from({ length: Math.floor(mv.length / step) }, (_, i) => mv[i * step]).filter((value) => value === value);
  return some.length ? some.sort()[some.length >> 1] : 0;
}
