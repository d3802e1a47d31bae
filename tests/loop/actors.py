"""The people of the loop, each in a browser context of their own, doing what a person does on the pages."""

import re
from collections.abc import Callable

from playwright.sync_api import Browser, Locator, Page, expect

from ecgfm_core import labels
from tests.e2e.desk_world import until

PAGE_TIMEOUT_MS = 15_000
LONG_MS = 300_000
# Whether a recording other than the last one is shown and waits for its first read, or nothing waits.
SHOWN = """last => {
  const name = document.querySelector('[data-head]')?.textContent.match(/R-(\\d+)/)?.[1];
  const first = document.querySelector('[aria-current=step]')?.dataset.step === 'first';
  return document.querySelector('[data-empty]')?.hidden === false || Boolean(name && Number(name) !== last && first);
}"""


class Person:
    """Someone signed in."""

    def __init__(self, browser: Browser, address: str, name: str, password: str) -> None:
        self.address, self.name = address, name
        self.errors: list[str] = []
        self.page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
        self.page.set_default_timeout(PAGE_TIMEOUT_MS)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        self.go("/sign-in")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/sign-in" not in url)

    def go(self, path: str) -> Page:
        """Open a page of the system."""
        self.page.goto(f"{self.address}{path}")
        return self.page

    def close(self) -> None:
        """Sign off; nothing on any page may have failed on the way."""
        self.page.context.close()
        assert self.errors == [], f"errors in {self.name}'s browser: {self.errors}"


class Admin(Person):
    """Imports, trains, makes rounds, promotes, releases."""

    def create_person(self, name: str, role: str) -> str:
        """Create a login; return the password that is shown once."""
        page = self.go("/manage/people")
        page.locator("#id_username").fill(name)
        page.locator("#id_role").select_option(role)
        page.get_by_role("button", name="Create").click()
        return page.locator(".shown-once .secret").inner_text()

    def import_folder(self, path: str, dataset: str) -> Locator:
        """Import a folder of the server's import folder; return the report's figures when it has ended."""
        page = self.go("/manage/datasets")
        page.locator("#id_path").fill(path)
        page.locator("#id_dataset_name").fill(dataset)
        page.get_by_role("button", name="Import", exact=True).click()
        page.wait_for_url(re.compile(r"/manage/imports/\d+"))
        self._ended(page)
        return page.locator(".figures")

    def train(self, changes: dict[str, object]) -> int:
        """Train tiny_cpu with changes on every dataset; return the run's number when it has finished."""
        page = self.go("/manage/training")
        page.locator("input[name=config_name][value=tiny_cpu]").check()
        for tick in page.locator("input[name=dataset_ids]").all():
            tick.check()
        page.locator("#id_config").fill("\n".join(f"{name}={value}" for name, value in changes.items()))
        page.get_by_role("button", name="Start training").click()
        page.wait_for_url(re.compile(r"/manage/training/\d+"))
        run = int(page.url.rstrip("/").split("/")[-1])
        self._ended(page)
        expect(page.locator("#curves .js-plotly-plot").first).to_be_visible()
        return run

    def _ended(self, page: Page) -> None:
        """Wait until the live part of a page says that its job has ended, and well."""
        page.locator("[data-live-done]").wait_for(timeout=LONG_MS, state="attached")
        expect(page.locator("[data-live] .badge").first).to_have_text("Finished")

    def wait_for_scores(self) -> None:
        """Wait on the checkpoints page until the newest checkpoint is scored."""
        page = self.go("/manage/checkpoints")
        expect(page.locator("[data-live] tbody tr").first).to_contain_text("Finished", timeout=LONG_MS)

    def promote(self, checkpoint: int) -> None:
        """Make a candidate the current checkpoint."""
        page = self.go("/manage/checkpoints")
        row = page.locator(f"#checkpoint-{checkpoint}")
        row.locator("summary", has_text="Promote").click()
        row.get_by_role("button", name="Promote").click()
        expect(page.locator(f"#checkpoint-{checkpoint} .badge").first).to_have_text("Current")

    def open_round(self, *, budget: int, readers: int, seed: int) -> int:
        """Plan, fill and open a round; return its row's number."""
        page = self.go("/manage/rounds")
        for tick in page.locator("input[name=dataset_ids]").all():
            tick.check()
        page.locator("#id_budget").fill(str(budget))
        page.locator("#id_readers_per_item").fill(str(readers))
        page.locator("#id_seed").fill(str(seed))
        page.get_by_role("button", name="Plan the round").click()
        page.get_by_role("button", name="Fill the queue").click()
        page.get_by_role("button", name="Open the round").click(timeout=LONG_MS)
        expect(page.locator("[data-live] .badge").first).to_have_text("Open")
        return int(page.url.rstrip("/").split("/")[-1])

    def close_round(self, row: int) -> None:
        """Close a round; its report stands on the page."""
        page = self.go(f"/manage/rounds/{row}")
        page.locator("summary", has_text="Close the round").click()
        page.get_by_role("button", name="Close it").click()
        expect(page.locator("#report-title")).to_be_visible()

    def release(self, title: str) -> int:
        """Have a curated release built of every dataset; return its number when it stands."""
        page = self.go("/manage/releases")
        page.locator("#id_title").fill(title)
        for tick in page.locator("input[name=dataset_ids]").all():
            tick.check()
        page.get_by_role("button", name=re.compile("release", re.IGNORECASE)).first.click()
        page.wait_for_url(re.compile(r"/manage/releases/\d+"))
        self._ended(page)
        return int(page.url.rstrip("/").split("/")[-1])


class Reader(Person):
    """Reads by keyboard alone; `knows(recording id)` gives the codes this reader sees on a sheet."""

    def __init__(self, *args: object, knows: Callable[[int], list[str]]) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.knows = knows
        self.read: list[int] = []

    def read_all(self) -> None:
        """Read until nothing waits."""
        page = self.go("/")
        if not page.locator("[data-start]").count():
            return
        page.keyboard.press("Enter")
        page.wait_for_url("**/desk*")
        while (recording := self._shown()) is not None:
            self._answer(recording)

    def _shown(self) -> int | None:
        """Wait for the next recording on the sheet; None when the desk says that nothing waits."""
        until(self.page, f"({SHOWN})({self.read[-1] if self.read else 0})")
        if self.page.locator("[data-empty]").is_visible():
            return None
        return int(re.search(r"R-(\d+)", self.page.locator("[data-head]").inner_text()).group(1))  # type: ignore[union-attr]

    def _answer(self, recording: int) -> None:
        page = self.page
        assert not page.locator("[data-reveal]").inner_text(), "the old label stands there before the first read"
        self._state(self.knows(recording))
        page.keyboard.press("Control+Enter")
        expect(page.locator("[data-reveal]")).to_be_visible()
        page.keyboard.press("k")
        page.keyboard.press("Control+Enter")
        self.read.append(recording)

    def _state(self, codes: list[str]) -> None:
        """Say the statements by typing."""
        self.page.keyboard.press("/")
        for code in codes:  # the field keeps the focus for the next one
            self.page.keyboard.type(code)
            self.page.keyboard.press("Enter")
        self.page.keyboard.press("Escape")
        expected = "abnormal" if labels.abnormal(codes) else "normal"
        expect(self.page.locator(f"input[name=overall][value={expected}]")).to_be_checked()


class Adjudicator(Reader):
    """Settles disagreements."""

    def settle_all(self) -> int:
        """Settle until no disagreement waits; return how many."""
        settled = 0
        page = self.go("/adjudications")
        while page.locator("[data-start]").count():
            page.locator("[data-start]").click()
            page.wait_for_url(re.compile(r"/adjudications/\d+"))
            expect(page.locator("[data-answers] .answer")).to_have_count(2)
            expect(page.locator("[data-head]")).to_contain_text("R-")
            recording = int(re.search(r"R-(\d+)", page.locator("[data-head]").inner_text()).group(1))  # type: ignore[union-attr]
            self._state(self.knows(recording))
            page.keyboard.press("r")
            page.keyboard.type("Seen on the sheet.")
            here = page.url
            page.keyboard.press("Control+Enter")
            page.wait_for_url(lambda url, here=here: url != here)
            settled += 1
            page = self.go("/adjudications")
        return settled
