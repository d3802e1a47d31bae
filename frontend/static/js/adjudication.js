// One disagreement: both answers beside one sheet, then a decision with its reason.

import { get, idempotencyKey, post, retrying, url } from "lib/api.js";
import { h } from "lib/dom.js";
import { bindKeys } from "lib/keys.js";
import { ReadingForm } from "lib/reading_form.js";
import { showReveal } from "lib/reveal.js";
import { watchSession } from "lib/session.js";
import { inWords, indexed } from "lib/statements.js";
import { Viewer } from "lib/viewer.js";

const HEARTBEAT_MS = 60_000;
const part = (name) => document.querySelector(`[data-${name}]`);
const dialogs = Object.fromEntries(Array.from(document.querySelectorAll("[data-dialog]"), (dialog) => [dialog.dataset.dialog, dialog]));
const root = part("adjudication");
const id = Number(root.dataset.adjudication);
const draftKey = `ecgfm-adjudication:${document.body.dataset.user}:${id}`;

class AdjudicationPage {
  constructor(scheme, found) {
    Object.assign(this, { scheme, found, key: idempotencyKey(), busy: false });
    this.viewer = new Viewer(part("viewer"), dialogs);
    this.form = new ReadingForm(part("reading"), scheme, { onChange: () => this.keep() });
    part("confidence-block").hidden = true;
    part("reason").addEventListener("input", () => this.keep());
    this.open = found.adjudication.state !== "settled";
    this.actions = { settle: () => this.settle(), "give-back": () => this.giveBack(), undo: () => this.form.undo(), help: () => this.keys.help() };
    document.addEventListener("click", (event) => {
      const { do: action, take } = event.target.closest("[data-do], [data-take]")?.dataset || {};
      if (take !== undefined) this.take(Number(take));
      else this.actions[action]?.();
    });
    this.bind();
    watchSession(dialogs.session, { onBack: () => this.say("signed in again") });
    window.addEventListener("beforeunload", (event) => this.dirty && event.preventDefault());
  }

  bind() {
    const open = () => this.open && !this.busy;
    const group = "Decision";
    this.keys = bindKeys(
      [
        ...this.found.answers.map((answer, index) => ({ keys: [String(index + 1)], words: `start from ${answer.reader}`, group, run: () => this.take(index), when: open })),
        { keys: ["/"], words: "statements: type, Enter adds", group, run: () => this.form.focusPicker(), when: open },
        { keys: ["n"], words: "normal", group, run: () => this.form.choose("normal"), when: open },
        { keys: ["b"], words: "abnormal", group, run: () => this.form.choose("abnormal"), when: open },
        { keys: ["u"], words: "unreadable, with a reason", group, run: () => this.form.choose("unreadable"), when: open },
        { keys: ["r"], words: "reason of the decision", group, run: () => part("reason").focus(), when: open },
        { keys: ["z", "Ctrl+Z"], words: "undo", group, run: this.actions.undo, when: open },
        { keys: ["Ctrl+Enter"], words: "settle and next", group, run: this.actions.settle, inFields: true, when: open },
        { keys: ["g"], words: "give back", group, run: this.actions["give-back"], when: open },
        ...this.viewer.keys,
      ],
      dialogs.help,
    );
  }

  say(words) {
    part("saved").textContent = words;
  }

  problem(words) {
    part("problem").textContent = words || "";
  }

  async show() {
    const { adjudication, recording, answers, on_file: onFile, consensus } = this.found;
    part("round").textContent = `Round ${adjudication.round}`;
    part("disagreement").textContent = part("disagreement").title = adjudication.disagreement;
    part("answers").replaceChildren(...answers.map((answer, index) => this.answer(answer, index)));
    showReveal(part("on-file"), onFile, [], { onUseText: (text) => this.open && this.form.change((state) => (state.text = text)) });
    part("decision").hidden = part("foot").hidden = !this.open;
    if (!this.open) this.settled(adjudication, consensus);
    else if (adjudication.claimed_by !== document.body.dataset.user) this.notHeld(adjudication);
    else this.hold();
    try {
      const draft = this.open && JSON.parse(localStorage.getItem(draftKey));
      if (draft) {
        this.form.load(draft.reading);
        part("reason").value = draft.reason;
        this.key = draft.key || this.key;
      }
    } catch {
      localStorage.removeItem(draftKey);
    }
    await this.viewer.show(recording);
  }

  answer({ reader, final, first }, index) {
    const others = new Set(this.found.answers.filter((_, other) => other !== index).flatMap((answer) => answer.final.statements.map(({ code }) => code)));
    const list = h("ul", {}, ...final.statements.map(({ code, name, qualifier }) =>
      h("li", { class: others.has(code) ? "" : "alone", text: `${name}${qualifier ? `, ${qualifier}` : ""}` })));
    const overall = { normal: "Normal", abnormal: "Abnormal", unreadable: "Unreadable" }[final.overall];
    const card = h("section", { class: "answer" }, h("h2", { text: reader }), h("p", {}, h("span", { class: "overall", text: overall }), h("span", { class: "soft small", text: `, ${final.confidence} confidence` })), list);
    for (const words of [final.unreadable_reason, final.override_reason && `although: ${final.override_reason}`, final.text]) {
      if (words) card.append(h("p", { class: "text small", text: words }));
    }
    if (first && JSON.stringify(first.statements) !== JSON.stringify(final.statements)) {
      card.append(h("p", { class: "soft small", text: `first read: ${inWords(this.scheme, first.statements) || first.overall}` }));
    }
    if (this.open) card.append(h("button", { class: "tool", type: "button", data: { take: String(index) } }, h("kbd", { text: String(index + 1) }), " start from this"));
    return card;
  }

  settled(adjudication, consensus) {
    part("settled").replaceChildren(h("section", { class: "notice" }, h("h2", { text: "Settled" }),
      h("p", { text: `${consensus.overall}${consensus.statements.length ? `: ${inWords(this.scheme, consensus.statements)}` : ""}` }),
      h("p", { text: `Reason: ${adjudication.reason}` })));
  }

  notHeld({ claimed_by: holder }) {
    const words = holder ? "Another adjudicator holds this one." : "You do not hold this one: it waits for whoever claims the next.";
    part("notice").replaceChildren(h("p", { class: "notice warning", text: words }));
    this.open = false;
    part("decision").hidden = part("foot").hidden = true;
  }

  hold() {
    setInterval(async () => {
      if (document.hidden) return;
      try {
        await post(url("adjudications", id, "heartbeat"));
      } catch (error) {
        if (!error.temporary && error.status !== 401) this.problem(error.message);
      }
    }, HEARTBEAT_MS);
  }

  take(index) {
    if (this.open) this.form.restore(this.found.answers[index].final);
  }

  keep() {
    this.dirty = true;
    this.problem("");
    localStorage.setItem(draftKey, JSON.stringify({ reading: this.form.draft, reason: part("reason").value, key: this.key }));
    this.say("kept in this browser");
  }

  done() {
    this.dirty = false;
    localStorage.removeItem(draftKey);
  }

  async settle() {
    if (!this.open || this.busy) return;
    const reason = part("reason").value.trim();
    const problem = this.form.problem || (reason ? null : "Say why you decide so.");
    this.problem(problem);
    if (problem) {
      if (!this.form.problem) part("reason").focus();
      return;
    }
    const { confidence, ...answer } = this.form.value;
    await this.attempt(async () => {
      const body = { ...answer, reason, idempotency_key: this.key };
      await retrying(() => post(url("adjudications", id, "settle"), body), { onRetry: (error, s) => this.problem(`${error.message} Trying again in ${s} s.`) });
      this.done();
      await this.next();
    });
  }

  async giveBack() {
    await this.attempt(async () => {
      await post(url("adjudications", id, "give-back"));
      this.done();
      location.assign(root.dataset.listUrl);
    });
  }

  async next() {
    const { adjudication } = await post(url("adjudications", "claim"));
    location.assign(adjudication ? root.dataset.page.replace(/0$/, String(adjudication.id)) : root.dataset.listUrl);
  }

  async attempt(action) {
    this.busy = true;
    try {
      await action();
    } catch (error) {
      this.problem(error.message);
    } finally {
      this.busy = false;
    }
  }
}

try {
  const [scheme, found] = await Promise.all([get(url("scheme")), get(url("adjudications", id))]);
  await new AdjudicationPage(indexed(scheme), found).show();
} catch (error) {
  part("notice").replaceChildren(h("p", { class: "notice error", text: error.message }));
}
