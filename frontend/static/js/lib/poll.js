// Regions of a page that the server renders anew while something goes on:
//   <div data-live="ADDRESS" data-live-every="SECONDS">
// Asking pauses while the tab is hidden and ends when the answer holds `data-live-done`.
import { html } from "lib/api.js";

/** Fired on a region after it has changed. */
export const CHANGED = "ecgfm:live-changed";

const SLOWEST_S = 30;

/** Keep one region up to date. */
export function keepLive(region) {
  const every = Number(region.dataset.liveEvery) || 3;
  let timer = 0;
  let wait = every;
  let asking = false;

  const ended = () => region.querySelector("[data-live-done]") !== null;
  const plan = () => {
    window.clearTimeout(timer);
    if (!document.hidden && !ended()) timer = window.setTimeout(ask, wait * 1000);
  };

  async function ask() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      morphInto(region, await html(region.dataset.live));
      tell(region, "");
      wait = every;
      region.dispatchEvent(new CustomEvent(CHANGED, { bubbles: true }));
    } catch (error) {
      tell(region, error.temporary ? `Not up to date: ${error.message} Asking again.` : error.message);
      if (!error.temporary) return; // signed out, or the row is gone: asking again changes nothing
      wait = Math.min(wait * 2, SLOWEST_S);
    } finally {
      asking = false;
    }
    plan();
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) window.clearTimeout(timer);
    else if (!ended()) ask();
  });
  plan();
}

function tell(region, words) {
  let note = region.previousElementSibling;
  if (!note?.matches(".live-problem")) {
    if (!words) return;
    note = document.createElement("p");
    note.className = "notice warning live-problem";
    note.setAttribute("role", "status");
    region.before(note);
  }
  note.textContent = words;
  note.hidden = !words;
}

/** Change `region` into what `text` says, touching only what differs: focus, open details and typed input stay. */
export function morphInto(region, text) {
  const parsed = new DOMParser().parseFromString(text, "text/html");
  morphChildren(region, parsed.body);
}

function morphChildren(into, from) {
  const wanted = [...from.childNodes];
  wanted.forEach((node, place) => {
    const present = into.childNodes[place];
    if (!present) into.append(node);
    else if (alike(present, node)) morph(present, node);
    else present.replaceWith(node);
  });
  while (into.childNodes.length > wanted.length) into.lastChild.remove();
}

const alike = (one, other) => one.nodeName === other.nodeName && one.id === other.id;

function morph(into, from) {
  if (into.nodeType !== Node.ELEMENT_NODE) {
    if (into.nodeValue !== from.nodeValue) into.nodeValue = from.nodeValue;
    return;
  }
  if (into.hasAttribute("data-keep") || into.name === "csrfmiddlewaretoken") return;
  for (const { name, value } of [...from.attributes]) {
    if (into.getAttribute(name) !== value) into.setAttribute(name, value);
  }
  for (const { name } of [...into.attributes]) {
    const persons = name === "open" && into.localName === "details"; // a person opened it
    if (!persons && !from.hasAttribute(name)) into.removeAttribute(name);
  }
  morphChildren(into, from);
}
