// A draft is kept twice: in this browser at once, on the server a moment later. Neither is dropped before the submit is acknowledged.

import { ApiError, put, url } from "lib/api.js";

const PAUSE_MS = 800;
const RETRY_MS = 5000;
const PREFIX = "ecgfm-draft";
const STALE_DAYS = 14;

const time = (date) => date.toLocaleTimeString("en-GB");

/** Keeps the draft of one item for one reader. `say(words, kind)` tells the person; kind is "", "saving" or "error". */
export class Draft {
  constructor(item, user, { say = () => {} } = {}) {
    this.item = item;
    this.key = `${PREFIX}:${user}:${item.id}`;
    this.say = say;
    this.version = item.draft ? item.draft.version : 0;
    this.pending = false;
    this.closed = false;
    const local = this.#local();
    // This browser's copy wins where it holds something the server never got.
    this.content = local && (!item.draft || local.unsent) ? local.content : item.draft ? item.draft.content : null;
    if (local?.unsent && this.content) this.#later(0);
  }

  #local() {
    try {
      return JSON.parse(localStorage.getItem(this.key));
    } catch {
      return null;
    }
  }

  #store(unsent) {
    try {
      localStorage.setItem(this.key, JSON.stringify({ content: this.content, unsent, at: Date.now() }));
    } catch {
      this.say("this browser keeps no copy: its storage is full or closed", "error");
    }
  }

  /** Keep new content. */
  save(content) {
    if (this.closed) return;
    this.content = content;
    this.pending = true;
    this.#store(true);
    this.#later(PAUSE_MS);
  }

  #later(ms) {
    clearTimeout(this.timer);
    this.pending = true;
    this.timer = setTimeout(() => this.flush(), ms);
  }

  /** Send what is pending now; resolves when it stands on the server or could not be sent. */
  async flush() {
    clearTimeout(this.timer);
    if (!this.pending || this.closed) return;
    const sent = this.content;
    try {
      const draft = await put(url("claims", this.item.id, "draft"), { content: sent, version: this.version, recording: this.item.recording.id });
      this.version = draft.version;
      if (this.closed || this.content !== sent) return;
      this.pending = false;
      this.#store(false);
      this.say(`saved ${time(new Date())}`, "");
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error) {
    if (!(error instanceof ApiError)) throw error;
    if (this.closed) return;
    if (error.status === 409 && error.detail.draft) {
      // Another window of the same reader saved meanwhile; what is on this screen counts from here on.
      this.version = error.detail.draft.version;
      this.say("saved in another window too; this one counts", "error");
      this.#later(PAUSE_MS);
    } else if (error.temporary || error.status === 401) {
      this.say("kept in this browser, not on the server yet", "error");
      this.#later(RETRY_MS);
    } else {
      this.say(error.message, "error");
    }
  }

  /** Submitted or passed on: save no more. The copy in this browser stays until `forgetDraft`. */
  stop() {
    this.closed = true;
    this.pending = false;
    clearTimeout(this.timer);
  }
}

/** The server has the reading: the copy in this browser goes. */
export const forgetDraft = (user, itemId) => localStorage.removeItem(`${PREFIX}:${user}:${itemId}`);

/** Drop copies of readings that nobody came back to. */
export function dropOldDrafts() {
  const oldest = Date.now() - STALE_DAYS * 86_400_000;
  Object.keys(localStorage)
    .filter((key) => key.startsWith(`${PREFIX}:`))
    .forEach((key) => {
      try {
        if (JSON.parse(localStorage.getItem(key)).at < oldest) localStorage.removeItem(key);
      } catch {
        localStorage.removeItem(key);
      }
    });
}
