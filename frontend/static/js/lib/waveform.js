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

/** The waveform of a recording; a second call, or one after `prefetch`, costs no fetch. */
export function load(recording) {
  const address = recording.waveform_url;
  let promise = cache.get(address);
  if (!promise) {
    promise = bytes(address).then((buffer) => decode(buffer, recording));
    promise.catch(() => cache.delete(address)); // a failed fetch may be tried again
    cache.set(address, promise);
    if (cache.size > KEPT) cache.delete(cache.keys().next().value);
  }
  return promise;
}

/** Fetch ahead, quietly: a failure shows when the recording is opened. */
export const prefetch = (recording) => void load(recording).catch(() => {});

/** What a reader should know of a lead before reading it: share missing, flat, level far from zero. */
export function leadState(mv) {
  let low = Infinity;
  let high = -Infinity;
  let missing = 0;
  for (const value of mv) {
    if (Number.isNaN(value)) missing += 1;
    else {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const recorded = missing < mv.length;
  return { recorded, missingShare: missing / mv.length, flat: recorded && high - low < 0.01 };
}

/** Median of the samples that are there, in millivolts: where the trace rests. */
export function restingLevel(mv) {
  const step = Math.max(1, Math.floor(mv.length / 2000));
  const some = [];
  for (let i = 0; i < mv.length; i += step) if (!Number.isNaN(mv[i])) some.push(mv[i]);
  if (!some.length) return 0;
  some.sort((a, b) => a - b);
  return some[some.length >> 1];
}
