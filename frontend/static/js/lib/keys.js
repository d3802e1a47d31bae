// One table of keys: what it binds is what `?` shows. No shortcut acts while a field has the focus, but those that say so.

const FIELDS = "input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable]";
// A dialog that closed may leave the focus in a field of its own that nobody sees any more.
const inField = (target) => target.closest(FIELDS) !== null && target.closest("dialog:not([open])") === null;

/** "Ctrl+Enter" for Ctrl or Cmd with Enter, else the key as typed, letters in lower case. */
function pressed(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return event.ctrlKey || event.metaKey ? `Ctrl+${key.length === 1 ? key.toUpperCase() : key}` : key;
}

/**
 * Bind a table [{keys: ["s"], words, group, run, inFields?, when?}] to the document and `?` to its help.
 * A dialog that is open keeps its keys to itself.
 */
export function bindKeys(table, helpDialog) {
  const full = [...table, { keys: ["?"], words: "these keys", group: "Help", run: () => openHelp(helpDialog, full) }];
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const name = pressed(event);
    const binding = full.find(({ keys, when }) => keys.includes(name) && (!when || when()));
    if (!binding || (inField(event.target) && !binding.inFields)) return;
    // Enter on a button or a link is that button's.
    if (name === "Enter" && event.target.closest("a, button")) return;
    event.preventDefault();
    binding.run(event);
  });
  return { help: () => openHelp(helpDialog, full) };
}

const NAMES = { ArrowLeft: "←", ArrowRight: "→", " ": "Space", Escape: "Esc" };
const shown = (key) => (key.length === 1 && key !== " " ? key.toUpperCase() : NAMES[key] || key);

function openHelp(dialog, table) {
  const groups = new Map();
  for (const row of table) groups.set(row.group, [...(groups.get(row.group) || []), row]);
  const list = dialog.querySelector("[data-keys]");
  list.replaceChildren(...Array.from(groups, ([name, rows]) => group(name, rows)));
  dialog.showModal();
}

function group(name, rows) {
  const section = document.createElement("section");
  const title = document.createElement("h3");
  title.className = "section-title";
  title.textContent = name;
  const facts = document.createElement("dl");
  for (const { keys, words } of rows) {
    const term = document.createElement("dt");
    keys.forEach((key) => {
      const cap = document.createElement("kbd");
      cap.textContent = shown(key);
      term.append(cap, " ");
    });
    const meaning = document.createElement("dd");
    meaning.textContent = words;
    facts.append(term, meaning);
  }
  section.append(title, facts);
  return section;
}
