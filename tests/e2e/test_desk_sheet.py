"""The sheet measures like paper, to the pixel; what is not recorded is not drawn."""

import base64

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.desk_world import RATE_HZ, TWELVE, beats, open_desk, open_round, sign_in, square_wave, store

pytestmark = pytest.mark.django_db(transaction=True)

DECODE = """async (png) => {
  const bitmap = await createImageBitmap(await (await fetch("data:image/png;base64," + png)).blob());
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  let bits = ""; // paper and grid are far lighter than the trace
  for (let i = 0; i < data.length; i += 4) bits += data[i] + data[i + 1] < 240 ? "1" : "0";
  return [bitmap.width, bitmap.height, bits];
}"""


def ink(page: Page) -> np.ndarray:
    """Return which pixels of the sheet are trace, [row, column]."""
    png = base64.b64encode(page.locator("[data-sheet]").screenshot()).decode()
    blank = page.context.new_page()
    width, height, bits = blank.evaluate(DECODE, png)
    blank.close()
    return (np.frombuffer(bits.encode(), dtype=np.uint8) == ord("1")).reshape(height, width)


def rhythm_row(page: Page, dark: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the ink of the bottom row, the pixels a millimetre and the column of time zero."""
    px_per_mm = page.evaluate("ecgfmDesk.viewer.sheet.pxPerMm")
    return dark[int(dark.shape[0] * 0.76) :], px_per_mm, 7 * px_per_mm


def height_at(row: np.ndarray, column: float) -> float:
    return float(np.flatnonzero(row[:, round(column)]).mean())


def edges(row: np.ndarray, least_px: float, start: float) -> np.ndarray:
    """Return the middles of the upright strokes right of `start`."""
    tall = np.flatnonzero(row.sum(axis=0) >= least_px)
    tall = tall[tall > start]
    groups = np.split(tall, np.flatnonzero(np.diff(tall) > 1) + 1)
    return np.array([group.mean() for group in groups])


@pytest.fixture
def square(page: Page) -> Page:
    """Give a desk on a 1 mV, 1 Hz square wave."""
    open_round([store(square_wave())])
    sign_in(page)
    open_desk(page)
    return page


@pytest.mark.parametrize("true_px_per_mm", [None, 4.3])
def test_one_millivolt_is_10_mm_and_one_second_25_mm(square: Page, true_px_per_mm: float | None) -> None:
    if true_px_per_mm:
        square.evaluate(f"localStorage.setItem('ecgfm-px-per-mm', '{true_px_per_mm}')")
        open_desk(square)
    expect(square.locator("[data-scale]")).to_contain_text("true scale" if true_px_per_mm else "not to scale")
    row, px, zero = rhythm_row(square, ink(square))
    assert px == pytest.approx(true_px_per_mm or row.shape[1] / 257)
    for second in (2, 5):
        high, low = (height_at(row, zero + (second + part) * 25 * px) for part in (0.25, 0.75))
        assert low - high == pytest.approx(10 * px, abs=1)
    found = edges(row, 8 * px, zero + 12 * px)
    assert np.diff(found[:12:2]) == pytest.approx(25 * px, abs=1)
    assert np.diff(found[:12]) == pytest.approx(12.5 * px, abs=1)


def test_the_calibration_pulse_is_10_mm_by_5_mm(square: Page) -> None:
    row, px, _ = rhythm_row(square, ink(square))
    left, right = edges(row[:, : int(6.8 * px)], 8 * px, 0)
    assert right - left == pytest.approx(5 * px, abs=1)
    top, bottom = height_at(row, 3.5 * px), height_at(row, 6.3 * px)
    assert bottom - top == pytest.approx(10 * px, abs=1)


def test_keys_change_gain_speed_and_layout(square: Page) -> None:
    scale = square.locator("[data-scale]")
    square.keyboard.press("-")
    expect(scale).to_contain_text("5 mm/mV")
    row, px, zero = rhythm_row(square, ink(square))
    assert height_at(row, zero + 2.75 * 25 * px) - height_at(row, zero + 2.25 * 25 * px) == pytest.approx(5 * px, abs=1)
    square.keyboard.press("v")
    expect(scale).to_contain_text("50 mm/s")
    row, px, zero = rhythm_row(square, ink(square))
    assert np.diff(edges(row, 4 * px, zero + 10 * px)) == pytest.approx(25 * px, abs=1)
    for words in ("3 × 4 + rhythm V1, II, V5", "6 × 2", "12 × 1", "3 × 4 + rhythm II"):
        square.keyboard.press("l")
        expect(square.locator("[data-layout]")).to_have_text(words)


def test_missing_samples_are_gaps(page: Page) -> None:
    waveform_mv = beats()
    gap = slice(int(3 * RATE_HZ), int(4 * RATE_HZ))
    waveform_mv[:, gap] = np.nan
    open_round([store(waveform_mv)])
    sign_in(page)
    open_desk(page)
    row, px, zero = rhythm_row(page, ink(page))
    inside = row[:, round(zero + 3 * 25 * px) + 1 : round(zero + 4 * 25 * px) - 1]
    assert not inside.any()
    assert row[:, round(zero + 4.2 * 25 * px) :].any(axis=0).mean() > 0.99
    expect(page.get_by_role("img", name="samples missing")).to_be_visible()


def test_a_missing_and_a_flat_lead_are_named(page: Page) -> None:
    waveform_mv = beats(leads=11)
    waveform_mv[4] = 0.02
    open_round([store(waveform_mv, TWELVE[:11])])
    sign_in(page)
    open_desk(page)
    sheet = page.locator("[data-sheet]")
    expect(sheet).to_contain_text("not recorded")
    expect(page.get_by_role("img", name="aVL: flat line. V6: not recorded.")).to_be_visible()


def test_a_long_recording_of_two_leads_fills_the_width_and_pages(page: Page) -> None:
    open_round([store(beats(seconds=65, leads=2), ("MLII", "V5"), calibrated=False)])
    sign_in(page)
    open_desk(page)
    expect(page.locator("[data-head]")).to_contain_text("uncalibrated: heights are not millivolts")
    expect(page.locator("[data-page]")).to_have_text("0–10 s of 65 s")
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    expect(page.locator("[data-page]")).to_have_text("55–65 s of 65 s")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-page]")).to_have_text("50–60 s of 65 s")
    dark = ink(page)
    assert dark[dark.shape[0] // 2 :, round(7 * dark.shape[1] / 257) + 2 :].any(axis=0).all()


def test_every_sample_is_drawn(page: Page) -> None:
    waveform_mv = beats()
    waveform_mv[1, 2001] = 3.0  # a pacing spike of one sample
    open_round([store(waveform_mv)])
    sign_in(page)
    open_desk(page)
    row, px, zero = rhythm_row(page, ink(page))
    column = round(zero + 2001 / RATE_HZ * 25 * px)
    assert row[:, column - 1 : column + 2].any(axis=1).sum() > 20 * px


def test_a_100_hz_recording_says_what_it_can_not_show(page: Page) -> None:
    open_round([store(beats()[:, ::5].copy(), sampling_rate_hz=100.0)])
    sign_in(page)
    open_desk(page)
    expect(page.locator("[data-head]")).to_contain_text("100 Hz: nothing above 50 Hz")
    assert page.evaluate("ecgfmDesk.viewer.sheet.leads.get('I').length") == 1000


def test_a_high_voltage_is_not_cut_off(page: Page) -> None:
    waveform_mv = beats(seed=3)
    waveform_mv[9, 4000] = 5.0  # V4, on the sheet from 7.5 s on, in the top row: 50 mm
    open_round([store(waveform_mv)])
    sign_in(page)
    open_desk(page)
    dark = ink(page)
    px = page.evaluate("ecgfmDesk.viewer.sheet.pxPerMm")
    column = round((7 + 4000 / RATE_HZ * 25) * px)
    tall = np.flatnonzero(dark[:, column - 1 : column + 2].any(axis=1))
    assert tall[0] > 0
    assert tall[0] < dark.shape[0] / 10


def test_heights_without_a_unit_get_a_gain_that_fits(page: Page) -> None:
    open_round([store(beats() * 8, calibrated=False)])
    sign_in(page)
    open_desk(page)
    scale = page.locator("[data-scale]")
    expect(scale).to_contain_text("2.5 mm/unit")
    page.keyboard.press("+")
    expect(scale).to_contain_text("5 mm/unit")
