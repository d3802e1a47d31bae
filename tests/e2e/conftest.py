"""A real browser for the tests of pages, and what every such test asks of a page."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

# Playwright's sync interface runs an event loop in the test's own thread. Django sees that loop and would refuse every
# query there as unsafe, though no query runs inside of it.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # as root, as in a container, Chromium has no sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# A refused or dropped request is logged by the browser itself; what the page makes of it is the test's matter.
NETWORK = "Failed to load resource"
WAIT_MS = 10_000


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """Give one headless Chromium for the whole run."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, live_server: object) -> Iterator[Page]:
    """Give a page at 1366x768 on the live server; it may end with no script error and no breach of the CSP."""
    context = browser.new_context(viewport={"width": 1366, "height": 768}, base_url=str(live_server))
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on(
        "console",
        lambda message: message.type == "error" and NETWORK not in message.text and faults.append(message.text),
    )
    yield page
    # A page left open would still write drafts while the next test's tables are emptied.
    page.goto("about:blank")
    context.close()
    assert not faults
