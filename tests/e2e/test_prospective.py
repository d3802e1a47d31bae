"""The page of a prospective test in a real browser, from its start to figures that were made by hand."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from annotator.models import ArrivalBatch, ProspectiveTest, Role, Round
from annotator.services import arrivals, job_state, rounds, watching
from annotator.services.prediction_copy import PredictionBatch
from ecgfm_core.datasets.simulated import write_dataset
from tests.annotator.manage_world import admin
from tests.annotator.prospective_world import validated
from tests.annotator.reading_world import AF, SINUS, client, person, read, says

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def boss(page: Page, live_server, settings, tmp_path) -> Page:
    """A page of a signed-in admin; the import folder holds `ward`."""
    settings.IMPORT_DIR, settings.WAVEFORM_DIR = tmp_path / "imports", tmp_path / "waveforms"
    (settings.IMPORT_DIR / "ward").mkdir(parents=True)
    session = Client()
    session.force_login(admin())
    page.context.add_cookies(
        [{"name": "sessionid", "value": session.cookies["sessionid"].value, "url": live_server.url}]
    )
    return page


def score(test: ProspectiveTest, probabilities: list[float]) -> None:
    """Do what a worker does with a batch, with these probabilities for a model."""
    batch = ArrivalBatch.objects.filter(state="queued").get()
    attempt = job_state.take(ArrivalBatch, batch.pk)
    arrivals.gather(batch=batch, attempt=attempt)
    arrivals.read(batch=batch, attempt=attempt)
    rows = arrivals.waiting_recordings(batch)
    said_N = np.array(probabilities)
    arrivals.freeze(
        batch=batch, attempt=attempt,
        rows=PredictionBatch(
            recording_ids=np.array([row.pk for row in rows]), abnormal_probability_N=said_N,
            label_probabilities_NC=said_N[:, None], embedding_ND=np.zeros((len(rows), 4), np.float16),
            details=[{}] * len(rows), texts=[""] * len(rows), scores={"entropy": said_N},
        ),
    )  # fmt: skip
    job_state.finish(batch, attempt)


def copy(header: Path, folder: Path) -> None:
    for file in header.parent.glob(f"{header.stem}.*"):
        shutil.copy(file, folder / file.name)


def test_from_the_start_of_a_test_to_its_figures(boss: Page, settings, tmp_path):
    validated([], [])
    boss.goto(reverse("manage-prospective"))
    boss.get_by_label("Name").fill("Spring")
    boss.get_by_label("Arrivals go into dataset").fill("spring")
    boss.get_by_label("Watch folder").fill("nowhere")
    boss.get_by_role("button", name="Start the test").click()
    expect(boss.get_by_text("nothing of that name")).to_be_visible()
    boss.get_by_label("Watch folder").fill("ward")
    boss.get_by_role("button", name="Start the test").click()
    expect(boss.get_by_text("Spring runs")).to_be_visible()
    expect(boss.get_by_text("The curves appear with the first readings.")).to_be_visible()

    test = ProspectiveTest.objects.get()
    write_dataset(tmp_path / "sent", count=14, seed=2, sampling_rate_hz=100.0, duration_s=5.0)
    headers = sorted((tmp_path / "sent").rglob("*.hea"))
    cart = client(person("cart", Role.SENDER))
    for header in headers[:4]:
        form = {"file": [file.open("rb") for file in header.parent.glob(f"{header.stem}.*")]}
        answer = cart.post(reverse("api-arrivals", kwargs={"pk": test.pk}), form, format="multipart")
        assert answer.status_code == 202
    for header in headers[4:]:
        copy(header, settings.IMPORT_DIR / "ward")
    (settings.IMPORT_DIR / "ward" / "torn.hea").write_text("torn 1 100")
    assert watching.look() == 0, "nothing is taken at the first look"
    assert watching.look() == 11
    assert watching.look() == 0
    expect(boss.get_by_text("15 waiting")).to_be_visible(timeout=15_000)
    score(test, [0.9] * 11 + [0.2] * 3)
    expect(boss.get_by_text("14 scored, 0 of them read")).to_be_visible(timeout=15_000)
    expect(boss.get_by_role("row", name="torn")).to_contain_text("Watch folder")

    boss.locator("details.confirm > summary", has_text="Have 14 read").click()
    boss.get_by_role("button", name="Make the round").click()
    expect(boss.get_by_text("holds 14 arrivals in random order")).to_be_visible()
    turn = Round.objects.get()
    assert turn.reveal == Round.Reveal.NEVER
    rounds.open_round(round=turn, by=admin())
    ann = person("ann")
    # All but one that was called abnormal are; of the three called normal one is abnormal.
    first, *called = test.arrivals.filter(abnormal_probability=0.9).values_list("recording_id", flat=True)
    missed = test.arrivals.filter(abnormal_probability=0.2).values_list("recording_id", flat=True)[0]
    ranked = list(turn.items.order_by("rank").values_list("recording_id", flat=True))
    for pk in ranked:
        assert read(ann, says(AF if pk in (*called, missed) else SINUS)).recording_id == pk
    assert first in ranked

    headline = boss.locator(".headline")
    expect(headline).to_contain_text("0.909", timeout=15_000)  # recall and precision: 10 of 11
    expect(headline).to_contain_text("10 of 11 abnormal")
    expect(headline).to_contain_text("10 of 11 called abnormal")
    expect(headline).to_contain_text("0.623 to 0.984")  # Wilson
    expect(headline).to_contain_text("To beat: 0.9335 · below it, within chance")
    expect(headline).to_contain_text("To beat: 0.9571")
    expect(headline).to_contain_text("To beat: 0.9451")
    charts = boss.locator("#figure-charts figure")
    expect(charts).to_have_count(3)
    expect(charts.first.locator(".annotation-text")).to_have_text("to beat 0.9335")
    expect(charts.first.locator("figcaption")).to_have_text("Recall 0.909 so far (0.623 to 0.984)")
    expect(boss.locator("#score-chart .js-line")).not_to_have_count(0)

    boss.locator("details.confirm > summary", has_text="End the test").click()
    boss.get_by_role("button", name="End it").click()
    expect(boss.get_by_text("Ended", exact=True).first).to_be_visible()
    expect(boss.get_by_role("button", name="End it")).to_have_count(0)
