// The recordings this reader holds: the one on the screen and the next ones, claimed and fetched ahead.

import { ApiError, get, post, url } from "lib/api.js";
import { prefetch } from "lib/waveform.js";

const HELD = 3;
const HEARTBEAT_MS = 60_000;
// Someone who has not touched the desk for so long is gone; their lease may run out.
const AWAY_MS = 15 * 60_000;

/** Claims ahead and keeps the leases alive; `onLost(words)` when the item on the screen is no longer this reader's. */
export class Queue {
  constructor({ onLost = () => {} } = {}) {
    this.items = [];
    this.why = "";
    this.onLost = onLost;
    this.touched = Date.now();
    for (const event of ["pointerdown", "keydown"]) document.addEventListener(event, () => (this.touched = Date.now()), { capture: true, passive: true });
    setInterval(() => this.#beat(), HEARTBEAT_MS);
    window.addEventListener("pagehide", () => this.#giveBackAhead());
  }

  get current() {
    return this.items[0] || null;
  }

  /** Take up what this reader held already (but `without` those on their way), and one more where that is nothing. */
  async start(without = new Set()) {
    const held = await get(url("claims"));
    this.items = (held.items || held).filter((item) => !without.has(item.id));
    this.items.forEach((item) => prefetch(item.recording));
    if (!this.items.length) await this.#claim();
    void this.fill();
  }

  /** Claim and fetch ahead; one filling at a time. */
  fill() {
    this.filling ||= this.#fill().finally(() => (this.filling = null));
    return this.filling;
  }

  async #fill() {
    try {
      while (this.items.length < HELD && (await this.#claim()));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // looked at again with the next submit
    }
  }

  async #claim() {
    const answer = await post(url("claims"));
    if (!answer.item) {
      this.why = answer.why || "";
      return false;
    }
    if (this.items.some(({ id }) => id === answer.item.id)) return false;
    this.items.push(answer.item);
    prefetch(answer.item.recording);
    return true;
  }

  /** The current item is done with; the next one, if it is there already. */
  advance() {
    this.items.shift();
    return this.current;
  }

  async #beat() {
    const item = this.current;
    if (!item || Date.now() - this.touched > AWAY_MS) return;
    try {
      await post(url("claims", item.id, "heartbeat")); // extends all that this reader holds
    } catch (error) {
      if (error instanceof ApiError && !error.temporary && error.status !== 401 && item === this.current) this.onLost(error.message);
    }
  }

  /** Leaving the desk: what was only fetched ahead is for others. */
  #giveBackAhead() {
    for (const { id } of this.items.slice(1)) post(url("claims", id, "give-back"), {}, { keepalive: true }).catch(() => {});
    this.items.length = Math.min(this.items.length, 1);
  }
}
