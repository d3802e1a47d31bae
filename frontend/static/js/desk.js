// The desk: one recording after the other, first read, reveal, final read.

import { ApiError, get, idempotencyKey, post, retrying, url } from "lib/api.js";
import { h } from "lib/dom.js";
import { Draft, dropOldDrafts, forgetDraft } from "lib/drafts.js";
import { bindKeys } from "lib/keys.js";
import { Outbox } from "lib/outbox.js";
import { Queue } from "lib/queue.js";
import { ReadingForm } from "lib/reading_form.js";
import { modelStatements, showReveal } from "lib/reveal.js";
import { watchSession } from "lib/session.js";
import { inWords, indexed } from "lib/statements.js";
import { Stopwatch } from "lib/stopwatch.js";
import { Viewer } from "lib/viewer.js";

const user = document.body.dataset.user;
const part = (name) => document.querySelector(`[data-${name}]`);
const dialogs = Object.fromEntries(Array.from(document.querySelectorAll("[data-dialog]"), (dialog) => [dialog.dataset.dialog, dialog]));

class Desk {
  constructor(scheme) {
    this.scheme = scheme;
    this.viewer = new Viewer(part("viewer"), dialogs);
    this.form = new ReadingForm(part("reading"), scheme, {
      onChange: () => this.changed(),
      onRender: (overall, confidence) => this.summary(overall, confidence),
    });
    this.queue = new Queue({ onLost: (words) => this.notice(words) });
    this.outbox = new Outbox(user, {
      onStored: (entry) => this.stored(entry),
      onRefused: (entry, words) => this.refused(entry, words),
      onWaiting: (words) => words && this.say(words, "error"),
    });
    this.watch = new Stopwatch();
    this.item = null;
    this.busy = false;
    this.actions = {
      submit: () => this.submit(),
      accept: () => this.accept(),
      keep: () => this.keep(),
      skip: () => this.skip(),
      unreadable: () => this.form.choose("unreadable"),
      undo: () => this.form.undo(),
      help: () => this.keys.help(),
      again: () => this.start(),
    };
    this.bind();
  }

  bind() {
    document.addEventListener("click", (event) => {
      const action = event.target.closest("[data-do]")?.dataset.do;
      this.actions[action]?.();
    });
    const reading = () => this.item !== null && !this.busy;
    const final = () => reading() && this.stage === "final" && this.item.reveal;
    this.keys = bindKeys(
      [
        { keys: ["/"], words: "statements: type, Enter adds", group: "Reading", run: () => this.form.focusPicker(), when: reading },
        { keys: ["n"], words: "normal", group: "Reading", run: () => this.form.choose("normal"), when: reading },
        { keys: ["b"], words: "abnormal", group: "Reading", run: () => this.form.choose("abnormal"), when: reading },
        { keys: ["u"], words: "unreadable, with a reason", group: "Reading", run: this.actions.unreadable, when: reading },
        { keys: ["q"], words: "next confidence", group: "Reading", run: () => this.form.nextConfidence(), when: reading },
        { keys: ["t"], words: "text", group: "Reading", run: () => part("text").focus(), when: reading },
        { keys: ["z", "Ctrl+Z"], words: "undo", group: "Reading", run: this.actions.undo, when: reading },
        { keys: ["a"], words: "accept the model (final read)", group: "Reading", run: this.actions.accept, when: () => final() && this.item.reveal.model },
        { keys: ["k"], words: "keep the first read (final read)", group: "Reading", run: this.actions.keep, when: () => final() && this.first },
        { keys: ["Ctrl+Enter"], words: "reveal; submit and next", group: "Reading", run: this.actions.submit, inFields: true, when: reading },
        { keys: ["s"], words: "skip with a reason, or give back", group: "Reading", run: this.actions.skip, when: reading },
        { keys: ["Enter"], words: "look again, where nothing waits", group: "Reading", run: this.actions.again, when: () => !part("empty").hidden },
        ...this.viewer.keys,
      ],
      dialogs.help,
    );
    watchSession(dialogs.session, { onBack: () => this.back() });
    window.addEventListener("beforeunload", (event) => {
      if (this.outbox.entries.length || this.draft?.pending) event.preventDefault();
    });
    window.addEventListener("online", () => void this.outbox.flush());
  }

  say(words, kind = "") {
    const saved = part("saved");
    saved.textContent = words;
    saved.classList.toggle("error", kind === "error");
  }

  notice(words) {
    const box = part("notice");
    box.replaceChildren(...(words ? [h("p", { class: "notice warning", text: words })] : []));
    if (words) part("body").scrollTop = 0;
  }

  /** What a submit would say, beside its button: the choices may be scrolled out of sight. */
  summary(overall, confidence) {
    const words = overall ? `${overall[0].toUpperCase()}${overall.slice(1)}` : "";
    part("summary").replaceChildren(...(words ? [h("strong", { text: words }), h("span", { class: "soft", text: `${confidence} confidence` })] : []));
  }

  problem(words) {
    part("problem").textContent = words || "";
  }

  /** Signed in again after the session had ended. */
  back() {
    this.say("signed in again");
    void this.outbox.flush();
    void this.draft?.flush();
    if (!this.item) void this.start();
    else void this.queue.fill();
  }

  async start() {
    part("empty").hidden = true;
    try {
      await this.outbox.flush();
      await this.queue.start(this.outbox.ids);
      await this.open(this.queue.current);
    } catch (error) {
      this.empty("The desk can't start", error.message);
    }
  }

  /** Put an item on the screen; null shows why there is none. */
  async open(item) {
    this.item = item;
    this.problem("");
    this.notice("");
    part("column").hidden = !item;
    if (!item) {
      this.viewer.clear();
      this.empty("Nothing waits for you", this.queue.why || "Every recording of the open rounds is read or held by others.");
      return;
    }
    part("empty").hidden = true;
    this.draft = new Draft(item, user, { say: (words, kind) => this.say(words, kind) });
    this.submitKeys = { ...(this.draft.content?.keys || {}) };
    this.first = this.draft.content?.first || item.first_read || null;
    this.form.load(this.draft.content?.reading || this.first);
    this.stageShown(item.stage);
    this.progress(item.round);
    if (document.activeElement) document.activeElement.blur();
    this.watch.start(this.draft.content?.duration_ms);
    try {
      await this.viewer.show(item.recording);
    } catch (error) {
      this.viewer.clear();
      this.notice(`${error.message} Skip it with S, or look again by reloading the page.`);
    }
  }

  progress({ number, read, total }) {
    part("round").textContent = `Round ${number}`;
    part("progress").textContent = `${read} of ${total} read`;
    part("progress-bar").hidden = !total;
    part("progress-bar").firstElementChild.style.width = `${total ? (100 * read) / total : 0}%`;
  }

  stageShown(stage) {
    this.stage = stage;
    const { item } = this;
    const final = stage === "final";
    const blind = item.round.reveal === "after_first_read";
    const revealed = final && Boolean(item.reveal);
    for (const step of document.querySelectorAll("[data-step]")) {
      const here = step.dataset.step === (final ? "final" : "first");
      step.classList.toggle("done", final && !here);
      step.toggleAttribute("hidden", !blind && (step.dataset.step === "first" || (step.dataset.step === "reveal" && !revealed)));
      if (here) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    }
    part("reveal").hidden = !revealed;
    if (revealed) {
      showReveal(part("reveal"), item.reveal, this.first?.statements || [], {
        onUseText: (text) => this.form.change((state) => (state.text = text)),
      });
    } else part("reveal").replaceChildren(); // nothing of an earlier recording stays, not even hidden
    for (const button of document.querySelectorAll("[data-final]")) button.hidden = !revealed;
    document.querySelector("[data-do=accept]").hidden = !revealed || !item.reveal.model;
    document.querySelector("[data-do=keep]").hidden = !revealed || !this.first;
    for (const button of document.querySelectorAll("[data-first]")) button.hidden = revealed;
    part("statements-title").textContent = final ? "Final statements" : "Statements";
    part("submit-words").textContent = final ? "Submit and next" : "Reveal";
    part("body").scrollTop = 0;
  }

  changed() {
    this.problem("");
    this.draft.save({ reading: this.form.draft, first: this.first, keys: this.submitKeys, duration_ms: this.watch.ms });
  }

  /** The body of a submit; its key stays the same however often it is sent. */
  body(stage) {
    this.submitKeys[stage] ||= idempotencyKey();
    const answer = this.form.value;
    return { ...answer, recording: this.item.recording.id, idempotency_key: this.submitKeys[stage], display: this.viewer.sheet.display, duration_ms: this.watch.ms, marks: [] };
  }

  async submit() {
    if (!this.item || this.busy) return;
    const { problem } = this.form;
    this.problem(problem);
    if (problem) return;
    if (this.stage === "first") await this.submitFirst();
    else this.submitFinal();
  }

  async submitFirst() {
    const { item } = this;
    const body = this.body("first");
    this.busy = true;
    try {
      await this.draft.flush();
      const answer = await retrying(() => post(url("claims", item.id, "first-read"), body), {
        onRetry: (error, seconds) => this.problem(`${error.message} Trying again in ${seconds} s.`),
      });
      this.reveal(answer.reveal);
    } catch (error) {
      await this.firstRefused(error, item);
    } finally {
      this.busy = false;
    }
  }

  reveal(reveal) {
    this.first = this.form.value;
    this.item.reveal = reveal;
    this.item.stage = "final";
    this.problem("");
    this.stageShown("final");
    this.draft.save({ reading: this.form.draft, first: this.first, keys: this.submitKeys, duration_ms: this.watch.ms });
    if (document.activeElement) document.activeElement.blur();
  }

  /** Perhaps the first read stands there already, from another window: then go on with the reveal. */
  async firstRefused(error, item) {
    if (!(error instanceof ApiError)) throw error;
    this.problem(error.message);
    if (error.status !== 409) return;
    const held = await get(url("claims")).catch(() => null);
    const now = (held?.items || held || []).find(({ id }) => id === item.id);
    if (now?.stage === "final") this.reveal(now.reveal);
  }

  submitFinal() {
    const { item } = this;
    const body = this.body("final");
    const words = `${item.recording.pseudonym}: ${body.overall}${body.statements.length ? `; ${inWords(this.scheme, body.statements)}` : ""}${body.text ? `. ${body.text}` : ""}`;
    this.draft.stop();
    this.say("sending …");
    void this.outbox.add({ id: item.id, name: item.recording.pseudonym, address: url("claims", item.id, "final-read"), body, words });
    void this.next(item.round);
  }

  async next(round) {
    const started = performance.now();
    const following = this.queue.advance();
    if (following) {
      if (round && following.round.number === round.number) following.round.read = Math.max(following.round.read, round.read + 1);
      await this.open(following);
      performance.measure("ecgfm-next", { start: started });
      return;
    }
    this.item = null;
    if (round) this.progress({ ...round, read: Math.min(round.read + 1, round.total) });
    await this.start();
  }

  stored(entry) {
    forgetDraft(user, entry.id);
    this.say(`saved ${new Date().toLocaleTimeString("en-GB")}`);
    void this.queue.fill();
  }

  /** A reading that the server would not take is not thrown away: the reader decides. */
  refused(entry, words) {
    const dialog = dialogs.refused;
    dialog.querySelector("[data-refused-words]").textContent = words;
    dialog.querySelector("[data-refused-reading]").textContent = entry.words;
    this.say(`${entry.name} not stored`, "error");
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue === "drop") this.outbox.drop(entry);
      if (dialog.returnValue === "again") void this.outbox.flush();
    };
    if (!dialog.open) dialog.showModal();
  }

  accept() {
    const model = this.item?.reveal?.model;
    if (this.stage !== "final" || !model) return;
    this.form.change((state) => {
      state.statements = modelStatements(model, this.scheme);
      state.chosen = null;
      if (!state.text && model.text) state.text = model.text;
    });
  }

  keep() {
    if (this.stage !== "final" || !this.first) return;
    const { statements, overall, unreadable_reason, override_reason, confidence, text } = this.first;
    this.form.restore({ statements, overall, unreadable_reason, override_reason, confidence, text });
  }

  skip() {
    const dialog = dialogs.skip;
    const { item } = this;
    const reason = dialog.querySelector("#skip-reason");
    reason.value = "";
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue === "skip") void this.pass(item, "skip", { reason: reason.value });
      if (dialog.returnValue === "give-back") void this.pass(item, "give-back", {});
    };
    dialog.showModal();
    reason.focus();
  }

  async pass(item, how, body) {
    this.busy = true;
    try {
      await post(url("claims", item.id, how), body);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 409) return this.problem(error.message);
    } finally {
      this.busy = false;
    }
    this.draft.stop();
    forgetDraft(user, item.id);
    this.say(how === "skip" ? "skipped" : "given back");
    if (how === "give-back" && !this.queue.items[1]) location.assign(part("desk").dataset.worklistUrl);
    else await this.next();
    return undefined;
  }

  empty(title, words) {
    part("column").hidden = true;
    part("viewer").hidden = true;
    part("empty-title").textContent = title;
    part("empty-words").textContent = words;
    part("empty").hidden = false;
  }
}

dropOldDrafts();
try {
  const desk = new Desk(indexed(await get(url("scheme"))));
  window.ecgfmDesk = desk; // for measuring, from the browser's console and from tests
  await desk.start();
} catch (error) {
  part("notice").textContent = error.message;
  part("column").hidden = false;
}
