"""A page of the live server, and what every test asks of a page."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

# A refused or dropped request is logged by the browser itself; what the page makes of it is the test's matter.
NETWORK = "Failed to load resource"
WAIT_MS = 10_000


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
