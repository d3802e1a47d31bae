// Claim the next disagreement and go to it.

import { post, url } from "lib/api.js";

const root = document.querySelector("[data-adjudications]");
const start = document.querySelector("[data-start]");

async function next() {
  start.disabled = true;
  try {
    const { adjudication, why } = await post(url("adjudications", "claim"));
    if (adjudication) location.assign(root.dataset.page.replace(/0$/, String(adjudication.id)));
    else root.querySelector("[data-problem]").textContent = why;
  } catch (error) {
    root.querySelector("[data-problem]").textContent = error.message;
  } finally {
    start.disabled = false;
  }
}

start?.addEventListener("click", next);
document.addEventListener("keydown", (event) => {
  if (start && event.key === "Enter" && !event.target.closest("a, button")) void next();
});
