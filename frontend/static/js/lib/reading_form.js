// The reading as it is entered: statements by typing, overall that follows from them, confidence, text, undo.

import { clashesOf, overallOf, search } from "lib/statements.js";

const QUALIFIERS = ["possible", "probable", "acute", "old"];
const UNDO_DEPTH = 50;
const EMPTY = { statements: [], chosen: null, unreadable_reason: "", override_reason: "", confidence: "high", text: "" };

/** What a reading lacks, in words; null when it can be submitted. */
function lacking(reading, derived) {
  if (!reading.overall) return "Say normal, abnormal or unreadable, or add a statement that says it.";
  if (reading.overall === "unreadable" && !reading.unreadable_reason.trim()) return "Say what makes it unreadable.";
  if (reading.overall !== "unreadable" && derived && derived !== reading.overall && !reading.override_reason.trim()) {
    return `The statements say ${derived}, you say ${reading.overall}: say why, or choose ${derived}.`;
  }
  return null;
}

/** The form of templates/parts/reading.html; `onChange()` after every change by the person, `onRender(overall, confidence)` after each drawing. */
export class ReadingForm {
  constructor(root, scheme, { onChange = () => {}, onRender = () => {} } = {}) {
    this.root = root;
    this.scheme = scheme;
    this.onChange = onChange;
    this.onRender = onRender;
    this.state = structuredClone(EMPTY);
    this.undoable = [];
    this.part = (name) => root.querySelector(`[data-${name}]`);
    this.found = [];
    this.#bindPicker();
    this.#bindChoices();
    this.#render();
  }

  /** The body of a submit: statements, overall, reasons, confidence, text. */
  get value() {
    const { chosen, statements, unreadable_reason: unreadable, override_reason: override, ...rest } = structuredClone(this.state);
    const derived = overallOf(this.scheme, statements);
    const overall = chosen || derived;
    return {
      ...rest,
      statements: overall === "unreadable" ? [] : statements, // what can't be read says nothing
      overall,
      unreadable_reason: overall === "unreadable" ? unreadable : "",
      override_reason: overall !== "unreadable" && derived && overall !== derived ? override : "",
    };
  }

  /** What is missing before it can be submitted, null for nothing. */
  get problem() {
    return lacking(this.value, overallOf(this.scheme, this.state.statements));
  }

  /** Put in a reading (a draft, a first read, nothing) without telling `onChange`; undo starts anew. */
  load(reading) {
    this.state = { ...structuredClone(EMPTY), ...structuredClone(reading || {}) };
    // A stored answer holds what was chosen as `overall`; a draft holds `chosen`.
    if (reading && !("chosen" in reading) && reading.overall !== overallOf(this.scheme, this.state.statements)) this.state.chosen = reading.overall;
    delete this.state.overall;
    this.undoable = [];
    this.part("picker").value = "";
    this.#suggest();
    this.#render();
  }

  /** Put in a reading as a change of the person's own, which can be undone. */
  restore(reading) {
    const before = this.state;
    const { undoable } = this;
    this.load(reading);
    this.undoable = [...undoable, before];
    this.onChange();
  }

  /** The content of a draft: the state as it is, finished or not. */
  get draft() {
    return structuredClone(this.state);
  }

  /** Change by a function of the state; can be undone. */
  change(action) {
    this.undoable.push(structuredClone(this.state));
    if (this.undoable.length > UNDO_DEPTH) this.undoable.shift();
    action(this.state);
    this.#render();
    this.onChange();
  }

  undo() {
    if (!this.undoable.length) return;
    this.state = this.undoable.pop();
    this.#render();
    this.onChange();
  }

  add(code, qualifier = "") {
    this.change((state) => {
      state.statements = [...state.statements.filter((statement) => statement.code !== code), { code, qualifier }];
    });
  }

  choose(overall) {
    this.change((state) => {
      state.chosen = overall === overallOf(this.scheme, state.statements) ? null : overall;
    });
    if (overall === "unreadable") this.root.querySelector("#unreadable-reason").focus();
    else if (!this.part("override").hidden) this.root.querySelector("#override-reason").focus();
  }

  nextConfidence() {
    const order = ["low", "medium", "high"];
    this.change((state) => (state.confidence = order[(order.indexOf(state.confidence) + 1) % order.length]));
  }

  focusPicker() {
    this.part("picker").focus();
  }

  #bindChoices() {
    this.part("overall").addEventListener("change", (event) => this.choose(event.target.value));
    this.part("confidence").addEventListener("change", (event) => this.change((state) => (state.confidence = event.target.value)));
    const texts = { text: this.part("text"), override_reason: this.root.querySelector("#override-reason"), unreadable_reason: this.root.querySelector("#unreadable-reason") };
    for (const [name, field] of Object.entries(texts)) {
      field.addEventListener("input", () => {
        this.state[name] = field.value;
        this.onChange();
      });
    }
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && event.target.matches("input, textarea, select")) event.target.blur();
    });
  }

  #bindPicker() {
    const picker = this.part("picker");
    picker.addEventListener("input", () => this.#suggest());
    picker.addEventListener("blur", () => (this.part("options").hidden = true));
    picker.addEventListener("focus", () => this.#suggest());
    picker.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey) return;
      const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (move && this.found.length) {
        this.active = (this.active + move + this.found.length) % this.found.length;
        this.#options();
      } else if (event.key === "Enter" && this.found.length) {
        this.#take(this.found[this.active]);
      } else if (event.key === "Escape" && picker.value) {
        picker.value = "";
        this.#suggest();
        event.stopPropagation();
      } else return;
      event.preventDefault();
    });
    this.part("options").addEventListener("mousedown", (event) => {
      const option = event.target.closest("[role=option]");
      event.preventDefault();
      if (option) this.#take(this.found[Number(option.dataset.index)]);
    });
  }

  #take({ label, qualifier }) {
    this.part("picker").value = "";
    this.add(label.code, qualifier);
    this.#suggest();
  }

  /** What fits what is typed; a first word that begins a qualifier may be one: "poss afi". */
  #suggest() {
    const typed = this.part("picker").value.trim().toLowerCase();
    this.found = search(this.scheme, typed).map((label) => ({ label, qualifier: "" }));
    const [first, ...rest] = typed.split(/\s+/);
    const qualifier = rest.length && first.length > 2 ? QUALIFIERS.find((word) => word.startsWith(first)) : null;
    if (qualifier) this.found.push(...search(this.scheme, rest.join(" ")).map((label) => ({ label, qualifier })));
    this.found = this.found.slice(0, 8);
    this.active = 0;
    this.#options();
  }

  #options() {
    const picker = this.part("picker");
    const options = this.part("options");
    const typed = picker.value.trim();
    const nothing = Object.assign(document.createElement("li"), { className: "nothing", textContent: "No statement is called so. Put it into the text." });
    options.replaceChildren(...(this.found.length ? this.found.map((found, index) => this.#option(found, index)) : [nothing]));
    options.hidden = !typed || document.activeElement !== picker;
    picker.setAttribute("aria-expanded", String(!options.hidden));
    const active = options.querySelector("[aria-selected=true]");
    if (active && !options.hidden) picker.setAttribute("aria-activedescendant", active.id);
    else picker.removeAttribute("aria-activedescendant");
    active?.scrollIntoView({ block: "nearest" });
  }

  #option({ label, qualifier }, index) {
    const option = document.createElement("li");
    option.id = `statement-option-${index}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", String(index === this.active));
    option.dataset.index = String(index);
    const name = Object.assign(document.createElement("span"), { textContent: (qualifier ? `${qualifier}: ` : "") + label.name });
    const code = Object.assign(document.createElement("span"), { className: "soft small", textContent: label.abbreviation });
    option.append(name, code);
    return option;
  }

  #render() {
    const { state } = this;
    const derived = overallOf(this.scheme, state.statements);
    const overall = state.chosen || derived;
    this.part("statements").classList.toggle("dropped", overall === "unreadable");
    this.part("statements").replaceChildren(...state.statements.map((statement, index) => this.#statement(statement, index)));
    this.part("clashes").replaceChildren(
      ...clashesOf(this.scheme, state.statements).map((words) => Object.assign(document.createElement("p"), { className: "notice warning small", textContent: words })),
    );
    for (const radio of this.part("overall").querySelectorAll("input")) radio.checked = radio.value === overall;
    for (const radio of this.part("confidence").querySelectorAll("input")) radio.checked = radio.value === state.confidence;
    this.part("follows").textContent = derived ? overall === derived ? "as the statements say" : `the statements say ${derived}` : "";
    this.onRender(overall, state.confidence);
    this.part("unreadable").hidden = overall !== "unreadable";
    this.part("override").hidden = overall === "unreadable" || !derived || derived === overall;
    const put = (field, value) => field.value !== value && (field.value = value);
    put(this.part("text"), state.text);
    put(this.root.querySelector("#override-reason"), state.override_reason);
    put(this.root.querySelector("#unreadable-reason"), state.unreadable_reason);
  }

  #statement({ code, qualifier, from }, index) {
    const item = document.createElement("li");
    const label = this.scheme.byCode.get(code);
    const name = Object.assign(document.createElement("span"), { className: "statement-name", textContent: label ? label.name : code, title: `${label ? label.abbreviation : "unknown"} · ${code}` });
    const select = document.createElement("select");
    select.setAttribute("aria-label", `Qualifier of ${name.textContent}`);
    select.append(...["", ...QUALIFIERS].map((word) => new Option(word || "–", word, false, word === qualifier)));
    select.addEventListener("change", () => this.change((state) => (state.statements[index].qualifier = select.value)));
    const remove = Object.assign(document.createElement("button"), { type: "button", className: "remove", textContent: "×" });
    remove.setAttribute("aria-label", `Remove ${name.textContent}`);
    remove.addEventListener("click", () => this.change((state) => state.statements.splice(index, 1)));
    item.append(name, select, remove);
    return item;
  }
}
