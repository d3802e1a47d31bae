// Enter starts; where nothing waits the page looks again now and then.

const REFRESH_MS = 30_000;

document.addEventListener("keydown", (event) => {
  const start = document.querySelector("[data-start]");
  if (start && event.key === "Enter" && !event.target.closest("a, button")) start.click();
});

if (document.querySelector("[data-worklist]").dataset.refresh) {
  setInterval(() => document.hidden || location.reload(), REFRESH_MS);
}
