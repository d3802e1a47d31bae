// API tokens: create (shown once), list, delete.

import { del, get, post, url } from "lib/api.js";
import { h } from "lib/dom.js";
import { watchSession } from "lib/session.js";

const part = (name) => document.querySelector(`[data-${name}]`);
const problem = (words) => (part("problem").textContent = words || "");

async function list() {
  const answer = await get(url("tokens"));
  const tokens = answer.results || answer;
  part("none").hidden = tokens.length > 0;
  part("tokens").replaceChildren(...tokens.map(row));
}

function row(token) {
  const name = token.name || "unnamed";
  const remove = h("button", { class: "button button-danger", type: "button", text: "Delete", "aria-label": `Delete token ${name}` });
  remove.addEventListener("click", async () => {
    if (remove.dataset.sure) await attempt(async () => (await del(url("tokens", token.id)), list()));
    else Object.assign(remove, { textContent: "Really delete?" }).dataset.sure = "1";
  });
  const created = new Date(token.created_at || token.created);
  return h("tr", {}, h("td", { text: name }), h("td", { class: "mono", text: `${token.begins_with || token.token_key || token.prefix || ""}…` }),
    h("td", { text: created.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) }), h("td", { class: "actions" }, remove));
}

async function attempt(action) {
  problem("");
  try {
    await action();
  } catch (error) {
    problem(error.message);
  }
}

part("create").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  void attempt(async () => {
    const created = await post(url("tokens"), { name: form.elements.name.value });
    part("created-name").textContent = form.elements.name.value;
    part("token").textContent = created.token;
    part("created").hidden = false;
    form.reset();
    await list();
  });
});
part("copy").addEventListener("click", async () => {
  const range = document.createRange();
  range.selectNodeContents(part("token"));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  try {
    await navigator.clipboard.writeText(part("token").textContent);
    part("copy").textContent = "Copied";
  } catch {
    part("copy").textContent = "Selected: press Ctrl+C"; // no clipboard without https
  }
});
watchSession(document.querySelector('[data-dialog="session"]'), { onBack: () => void attempt(list) });
await attempt(list);
