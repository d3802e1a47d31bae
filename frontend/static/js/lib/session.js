// A session that ended in mid-reading: sign in again on the spot, with the reading untouched behind the dialog.

import { SESSION_ENDED, signInAgain } from "lib/api.js";

/** Watch for ended sessions; resolves waiting work through `onBack`. The dialog is templates/parts/session.html. */
export function watchSession(dialog, { onBack = () => {} } = {}) {
  const form = dialog.querySelector("form");
  const error = dialog.querySelector("[data-error]");
  const password = form.elements.password;
  window.addEventListener(SESSION_ENDED, () => {
    if (dialog.open) return;
    document.querySelectorAll("dialog[open]").forEach((open) => open.close());
    dialog.showModal();
    password.focus();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    error.textContent = "";
    try {
      if (await signInAgain(document.body.dataset.user, password.value)) {
        form.reset();
        dialog.close();
        onBack();
      } else {
        error.textContent = "That is not the password. Try again; capitals count.";
        password.select();
      }
    } catch (problem) {
      error.textContent = problem.message || "The server can't be reached. Try again.";
    }
  });
}
