"""Real recordings on the sheet: to scale where they are calibrated, honest where not, and drawn at once."""

import zipfile
from pathlib import Path

import pytest
from django.core.management import call_command
from playwright.sync_api import Page, expect

from annotator.models import Recording
from tests.e2e.conftest import page as page  # the fixture of the pages' tests
from tests.e2e.desk_world import open_desk, open_round, sign_in

pytestmark = pytest.mark.django_db(transaction=True)

DRAW_MS = 1000  # an order above what a quiet machine takes, for one shared with all other tests


def on_the_desk(page: Page, path: Path) -> None:
    """Import one record and open it on the desk."""
    call_command("import_recordings", str(path), dataset="real")
    open_round([Recording.objects.get(name=path.stem)], reveal="never")
    sign_in(page)
    open_desk(page)
    assert page.evaluate("ecgfmDesk.viewer.sheet.drawMs") < DRAW_MS


@pytest.mark.parametrize(
    ("record", "facts"),
    [
        ("ludb/11", ["54 y · M", "HR 60 /min", "500 Hz 10 s"]),
        ("georgia/E00001", ["age unknown · F", "HR 84 /min", "500 Hz 10 s"]),
        ("ptb/S0001", ["81 y · F", "HR 82 /min", "1000 Hz 38.4 s"]),
    ],
)
def test_twelve_leads_in_millivolts(page: Page, real_data: Path, record: str, facts: list[str]) -> None:
    on_the_desk(page, real_data / f"{record}.hea")
    for fact in facts:
        expect(page.locator("[data-head]")).to_contain_text(fact)
    expect(page.locator("[data-scale]")).to_contain_text("25 mm/s10 mm/mV")
    expect(page.locator("[data-layout]")).to_have_text("3 × 4 + rhythm II")
    expect(page.get_by_role("img", name="ECG sheet, 3 × 4 + rhythm II")).to_be_visible()


def test_heights_without_a_unit_fit_their_rows(page: Page, real_data: Path) -> None:
    on_the_desk(page, min((real_data / "ptb-xl" / "records100" / "00000").glob("*.hea")))
    expect(page.locator("[data-head]")).to_contain_text("uncalibrated: heights are not millivolts")
    expect(page.locator("[data-head]")).to_contain_text("100 Hz: nothing above 50 Hz")
    expect(page.locator("[data-scale]")).to_contain_text("5 mm/unit")
    page.keyboard.press("+")
    expect(page.locator("[data-scale]")).to_contain_text("10 mm/unit")


def test_half_an_hour_of_two_leads_turns_by_pages_and_minutes(page: Page, real_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_data / "mitdb.zip") as archive:
        for name in ("208.hea", "208.dat", "208.atr"):
            (tmp_path / name).write_bytes(archive.read(name))
    on_the_desk(page, tmp_path / "208.hea")
    expect(page.locator("[data-head]")).to_contain_text("360 Hz 30.1 min")
    where = page.locator("[data-page]")
    for key, span in (
        ("ArrowRight", "0:10–0:20"),
        ("PageDown", "1:10–1:20"),
        ("End", "29:56–30:06"),
        ("Home", "0:00–0:10"),
    ):
        page.keyboard.press(key)
        expect(where).to_have_text(f"{span} of 30:06")
