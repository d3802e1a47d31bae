"""What the quality gate found, in a browser: words beside the sheet, before and after the reveal; the admin's list."""

import pytest
from playwright.sync_api import Page, expect

from annotator.models import Role
from annotator.services import quality
from ecgfm_core.datasets.simulated import CLEAN, simulate
from tests.e2e.desk_world import open_desk, open_round, sign_in, store, type_statement

pytestmark = pytest.mark.django_db(transaction=True)
SWAPPED = [0, 2, 1, 4, 3, *range(5, 12)]


def test_findings_stand_beside_the_sheet_and_an_admin_decides(page: Page) -> None:
    waveform = simulate(seed=1, strengths=CLEAN).recording.waveform_mv
    swapped, flat = waveform[SWAPPED], waveform.copy()
    swapped[0] *= -1
    flat[7] = 0
    rows = [store(swapped, quality={}), store(flat, quality={}, centre="Ward 7")]
    assert quality.check_again() == []
    open_round(rows[:1], reveal="after_first_read")
    sign_in(page)
    open_desk(page)
    words = page.locator("[data-head]").get_by_text("arms probably swapped: lead I runs against V6")
    expect(words).to_be_visible()
    type_statement(page, "atrial fib")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-reveal]")).to_be_visible()
    expect(words).to_be_visible()
    page.context.clear_cookies()
    sign_in(page, "admin", Role.ADMIN)
    page.get_by_role("link", name="Unreadable").click()
    row = page.locator("table.unreadable tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("V2: flat")
    assert row.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 640
    page.get_by_role("button", name=f"Put R-{rows[1].pk} back into the pool").click()
    expect(page.get_by_text("is in the pool again")).to_be_visible()
    expect(page.get_by_text("Nothing to decide")).to_be_visible()
