// Submitted readings on their way. The next recording need not wait for the network: a reading stays here, in this browser,
// until the server has acknowledged it, and its idempotency key makes sending it twice the same as once.

import { ApiError, post, retrying } from "lib/api.js";

/** `onStored(entry)`, `onRefused(entry, words)`, `onWaiting(words)` ("" when nothing waits). An entry: {id, name, address, body, words}. */
export class Outbox {
  constructor(user, { onStored, onRefused, onWaiting }) {
    this.key = `ecgfm-outbox:${user}`;
    Object.assign(this, { onStored, onRefused, onWaiting });
  }

  get entries() {
    try {
      return JSON.parse(localStorage.getItem(this.key)) || [];
    } catch {
      return [];
    }
  }

  #keep(entries) {
    if (entries.length) localStorage.setItem(this.key, JSON.stringify(entries));
    else localStorage.removeItem(this.key);
  }

  /** Ids of the queue items that are on their way. */
  get ids() {
    return new Set(this.entries.map(({ id }) => id));
  }

  add(entry) {
    this.#keep([...this.entries, entry]);
    return this.flush();
  }

  drop(entry) {
    this.#keep(this.entries.filter(({ id }) => id !== entry.id));
  }

  /** Send what waits, one after the other; one sending at a time. */
  flush() {
    this.sending ||= this.#send().finally(() => (this.sending = null));
    return this.sending;
  }

  async #send() {
    const tried = new Set();
    for (let entry; (entry = this.entries.find(({ id }) => !tried.has(id))); ) {
      tried.add(entry.id);
      const { address, body } = entry;
      try {
        await retrying(() => post(address, body), {
          onRetry: (_, seconds) => this.onWaiting(`not sent yet, trying again in ${seconds} s; kept in this browser`),
        });
        this.drop(entry);
        this.onWaiting("");
        this.onStored(entry);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (error.temporary || error.status === 401) {
          this.onWaiting("not sent yet; kept in this browser");
          setTimeout(() => this.flush(), 15_000);
          return;
        }
        this.onRefused(entry, error.message);
      }
    }
  }
}
