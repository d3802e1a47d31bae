// What every admin page does: live regions, sortable tables, an upload with a bar, confirmations that close.
import { upload } from "lib/api.js";
import { keepLive } from "lib/poll.js";
import { makeSortable } from "lib/table.js";

document.querySelectorAll("[data-live]").forEach(keepLive);
document.querySelectorAll("table[data-sortable]").forEach(makeSortable);
document.querySelectorAll("form[data-upload]").forEach(uploadWithBar);

/** Send the form by script, so that the bytes can be counted; without script it is sent as any form. */
function uploadWithBar(form) {
  const button = form.querySelector("button");
  const box = form.querySelector(".upload-progress");
  const bar = box.querySelector("progress");
  const words = form.querySelector(".upload-words");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    box.hidden = false;
    words.classList.remove("error");
    try {
      const answer = await upload(form.action, form, { onProgress: (sent, total) => show(bar, words, sent, total) });
      window.location.assign(answer.url);
    } catch (error) {
      words.textContent = error.message;
      words.classList.add("error");
      box.hidden = true;
      button.disabled = false;
    }
  });
}

function show(bar, words, sent, total) {
  bar.value = total ? (100 * sent) / total : 0;
  const megabytes = (bytes) => (bytes / 2 ** 20).toFixed(1);
  words.textContent = sent < total ? `${megabytes(sent)} of ${megabytes(total)} MB sent` : "Sent; the server stores it.";
}

// One confirmation at a time; Escape or a click elsewhere closes it.
document.addEventListener("click", ({ target }) => closeConfirmations(target.closest("details.confirm")));
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  const open = document.querySelector("details.confirm[open]");
  closeConfirmations(null);
  open?.querySelector("summary").focus();
});

function closeConfirmations(except) {
  document.querySelectorAll("details.confirm[open]").forEach((box) => {
    if (box !== except) box.open = false;
  });
}
