// Time on the sheet: runs while the page is visible.

/** Counts milliseconds from `start`, but not those in which the page was hidden. */
export class Stopwatch {
  constructor() {
    this.start();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#pause() : (this.since = performance.now())));
  }

  start(ms = 0) {
    this.counted = ms || 0;
    this.since = document.hidden ? null : performance.now();
  }

  #pause() {
    this.counted = this.ms;
    this.since = null;
  }

  get ms() {
    return Math.round(this.counted + (this.since === null ? 0 : performance.now() - this.since));
  }
}
