"""Builders for tests of the desk: recordings with real samples in the waveform store, an open round, signing in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect

from annotator.models import Dataset, Recording, Role, Round, SourceLabel, User, Waveform
from annotator.services import rounds
from ecgfm_core import waveform
from ecgfm_core.recording import Recording as CoreRecording
from tests.annotator.reading_world import SINUS, Chosen, person, scheme

TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RATE_HZ = 500.0


def square_wave(seconds: float = 10.0, leads: int = 12) -> np.ndarray:
    """Return 1 mV, 1 Hz, half a second up and half a second down, on every lead."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.tile((time_s % 1 < 0.5).astype(np.float32), (leads, 1))


def beats(seconds: float = 10.0, leads: int = 12, seed: int = 0) -> np.ndarray:
    """Return something that looks like an ECG."""
    rng = np.random.default_rng(seed)
    phase = (np.arange(int(seconds * RATE_HZ)) / RATE_HZ) % 0.8
    waves = ((0.12, 0.16, 0.025), (-0.1, 0.285, 0.008), (1.1, 0.31, 0.011), (-0.25, 0.335, 0.01), (0.28, 0.56, 0.05))
    beat = sum(high * np.exp(-(((phase - at) / wide) ** 2)) for high, at, wide in waves)
    gains = rng.uniform(-0.8, 1.2, (leads, 1))
    return (gains * beat + rng.normal(0, 0.008, (leads, phase.size))).astype(np.float32)


def store(waveform_mv: np.ndarray, lead_names: Sequence[str] = TWELVE, **fields: Any) -> Recording:
    """Store samples and a recording of them."""
    number = Recording.objects.count()
    calibrated = fields.pop("calibrated", True)
    rate_hz = fields.pop("sampling_rate_hz", RATE_HZ)
    name = fields.pop("name", f"made{number}")
    core = CoreRecording(name, tuple(lead_names), waveform_mv, rate_hz, calibrated=calibrated)
    packed = waveform.pack(core)
    waveform.store(packed, settings.WAVEFORM_DIR)
    row, _ = Waveform.objects.get_or_create(
        sha256=packed.sha256,
        defaults={
            "lead_names": list(lead_names),
            "sampling_rate_hz": rate_hz,
            "sample_count": waveform_mv.shape[1],
            "scale_mv": packed.scale_mv,
            "calibrated": calibrated,
        },
    )
    dataset, _ = Dataset.objects.get_or_create(name="made")
    values = {"report_text": "sinus rhythm, normal ecg", "age_years": 68, "sex": "F", "source_abnormal": False} | fields
    recording = Recording.objects.create(dataset=dataset, name=name, waveform=row, **values)
    SourceLabel.objects.create(recording=recording, system="snomed", source_code=SINUS, code=SINUS)
    return recording


def open_round(recordings: Sequence[Recording], *, copies: int = 1, reveal: str = "after_first_read") -> Round:
    """Open a round over recordings, in their order."""
    scheme()
    boss, _ = User.objects.get_or_create(username="boss", defaults={"role": Role.ADMIN})
    round_ = rounds.create_round(
        dataset_ids=[recordings[0].dataset_id], strategy="random", budget=len(recordings), audit_share=0,
        readers_per_item=copies, reveal=reveal, checkpoint=None, seed=1, by=boss,
    )  # fmt: skip
    rounds.request_fill(round=round_, by=boss)
    rounds.fill(round=round_, chosen=[Chosen(row.pk, rank) for rank, row in enumerate(recordings)])
    return rounds.open_round(round=round_, by=boss)


def sign_in(page: Page, name: str = "reader", role: Role = Role.READER) -> User:
    """Make a person and give the browser their session; they stand on the page they start from."""
    user = person(name, role)
    client = Client()
    client.force_login(user, backend="annotator.sign_in.Backend")
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    page.goto("/sign-in")
    page.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": page.url}])
    page.goto("/")
    return user


def until(page: Page, expression: str, seconds: float = 10.0) -> None:
    """Wait until a script's expression holds; Playwright's own wait needs the eval that the CSP forbids."""
    for _ in range(int(seconds * 20)):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not true within {seconds} s: {expression}")


def open_desk(page: Page) -> None:
    """Go to the desk and wait until a recording is drawn."""
    page.goto("/desk")
    expect(page.locator("[data-head] strong")).to_contain_text("R-")
    until(page, "Boolean(window.ecgfmDesk?.viewer.sheet.recording && document.querySelector('.js-line'))")


def type_statement(page: Page, typed: str) -> None:
    """Add the statement that `typed` finds first, by keys alone."""
    page.keyboard.press("/")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
