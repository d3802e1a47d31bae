"""The admin pages in a real browser: import, training with live curves, a round, checkpoints."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from annotator.models import Checkpoint, Dataset, ImportRun, Round, TrainingRun
from annotator.models.jobs import JobState
from annotator.services import ingest, job_state, rounds
from tests.annotator import gate_world
from tests.annotator.gate_world import frozen_split, judged, score
from tests.annotator.manage_world import add_metrics, admin, checkpoint, import_run, scored
from tests.annotator.reading_world import Chosen, recordings, scheme

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def boss(page: Page, live_server) -> Page:
    """A page of a signed-in admin."""
    client = Client()
    client.force_login(admin())
    session = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page.set_default_timeout(15_000)
    return page


def zip_of_records(folder: Path, good: int) -> Path:
    """A zip of `good` WFDB records and one that is cut short."""
    records = folder / "records"
    records.mkdir()
    for number in range(good):
        samples = np.random.default_rng(number).normal(0, 0.2, (500, 2))
        wfdb.wrsamp(
            f"r{number}", fs=100, units=["mV"] * 2, sig_name=["I", "II"], p_signal=samples, fmt=["16"] * 2,
            comments=["Dx: 426783006"], write_dir=str(records),
        )  # fmt: skip
    (records / "cut.hea").write_text((records / "r0.hea").read_text().replace("r0", "cut"))
    (records / "cut.dat").write_bytes((records / "r0.dat").read_bytes()[:100])
    path = folder / "registry.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(records.iterdir()):
            archive.write(file, file.name)
    return path


def press(page: Page, button: str, yes: str) -> None:
    """Press a button that asks first, and say yes."""
    page.locator("details.confirm > summary", has_text=button).first.click()
    page.get_by_role("button", name=yes, exact=True).first.click()


def test_upload_import_and_report(boss: Page, tmp_path):
    boss.goto(reverse("manage"))
    boss.get_by_role("link", name="Import recordings").click()
    boss.locator("#id_file").set_input_files(zip_of_records(tmp_path, 5))
    boss.locator("#id_upload_dataset").fill("../bad")
    boss.get_by_role("button", name="Upload and import").click()
    expect(boss.locator(".upload-words")).to_contain_text("letters, digits")
    boss.locator("#id_upload_dataset").fill("registry")
    boss.get_by_role("button", name="Upload and import").click()
    boss.wait_for_url("**/manage/imports/*")
    expect(boss.get_by_text("Waits for a worker")).to_be_visible()
    run = ImportRun.objects.get()
    attempt = job_state.take(ImportRun, run.pk)
    job_state.beat(run, attempt, {"done": 2, "total": 6, "unit": "recordings", "message": "Reading"})
    expect(boss.get_by_text("2 of 6 recordings")).to_be_visible()
    ingest.run_import(run=run, attempt=attempt)
    expect(boss.get_by_text("Finished", exact=True).first).to_be_visible()
    expect(boss.locator(".figures")).to_contain_text("5 added")
    expect(boss.get_by_role("row", name="cut")).to_contain_text("refused")
    with boss.expect_download() as report:
        boss.get_by_role("link", name="as CSV").click()
    assert "cut" in Path(report.value.path()).read_text()


def test_training_is_started_and_followed_with_curves(boss: Page):
    scheme()
    recordings(3)
    boss.goto(reverse("manage"))
    boss.get_by_role("link", name="Train a model").click()
    boss.get_by_label("Changes to the config").fill("epoch=1")
    boss.get_by_role("button", name="Start training").click()
    expect(boss.get_by_text("no field 'epoch'")).to_be_visible()
    boss.get_by_label("Changes to the config").fill("epochs=1")
    boss.get_by_role("button", name="Start training").click()
    expect(boss.get_by_text("No figures yet")).to_be_visible()

    run = TrainingRun.objects.get()
    attempt = job_state.take(TrainingRun, run.pk)
    add_metrics(run, range(10, 101, 10))
    job_state.beat(run, attempt, {"step": 100, "total_steps": 400, "records_per_s": 310.4, "eta_s": 95})
    expect(boss.get_by_text("100 of 400 steps · 310 recordings/s · 1 min 35 s left")).to_be_visible()
    expect(boss.locator("#curves .scatterlayer .trace")).to_have_count(14)
    drawn = boss.locator("#curves figure").first.locator(".js-line").first
    before = drawn.get_attribute("d")
    summary = boss.locator("#curves figcaption").first
    expect(summary).to_contain_text("at step 100")

    boss.locator("details.confirm > summary", has_text="Cancel").click()
    add_metrics(run, range(110, 201, 10))
    job_state.beat(run, attempt, {"step": 200, "total_steps": 400})
    expect(summary).to_contain_text("at step 200")
    expect(boss.get_by_role("button", name="Stop the training")).to_be_visible()  # a refresh closes no question
    assert drawn.get_attribute("d") != before
    boss.get_by_role("button", name="Stop the training").click()
    expect(boss.get_by_text("Stops after the step it is in.")).to_be_visible()
    run.refresh_from_db()
    assert run.state == JobState.CANCELLING
    job_state.fail(run, attempt, "Step 201: the loss is not finite. Lower learning_rate and start again.")
    expect(boss.get_by_text("Lower learning_rate")).to_be_visible()


def counted(page: Page) -> Callable[[], int]:
    """Count the requests for live parts from now on."""
    seen: list[str] = []
    page.on("request", lambda request: "live=1" in request.url and seen.append(request.url))
    return lambda: len(seen)


def test_asking_stops_when_the_job_has_ended_or_the_tab_is_hidden(boss: Page):
    run = import_run(JobState.RUNNING, done=1, total=3, unit="recordings")
    asked = counted(boss)
    boss.goto(reverse("manage-import", kwargs={"pk": run.pk}))
    boss.wait_for_timeout(1900)
    assert asked() == 1
    hide = "h => { Object.defineProperty(document, 'hidden', {value: h, configurable: true});"
    boss.evaluate(hide + " document.dispatchEvent(new Event('visibilitychange')); }", True)
    boss.wait_for_timeout(2000)
    assert asked() == 1
    ImportRun.objects.filter(pk=run.pk).update(state=JobState.FINISHED)
    boss.evaluate(hide + " document.dispatchEvent(new Event('visibilitychange')); }", False)
    expect(boss.get_by_text("Finished", exact=True).first).to_be_visible()
    boss.wait_for_timeout(2000)
    assert asked() == 2


def test_a_lost_connection_is_said_and_mended(boss: Page):
    run = import_run(JobState.RUNNING, done=1, total=3, unit="recordings")
    boss.goto(reverse("manage-import", kwargs={"pk": run.pk}))
    boss.context.set_offline(True)
    expect(boss.get_by_text("Not up to date")).to_be_visible()
    boss.context.set_offline(False)
    expect(boss.get_by_text("Not up to date")).to_be_hidden()


def test_a_round_is_planned_filled_opened_and_closed(boss: Page):
    scheme()
    rows = recordings(4)
    boss.goto(reverse("manage-rounds"))
    boss.get_by_label("Random").check()
    boss.get_by_label("Recordings to read").fill("4")
    boss.get_by_role("button", name="Plan the round").click()
    boss.get_by_role("button", name="Fill the queue").click()
    expect(boss.get_by_text("A worker chooses the recordings.")).to_be_visible()
    row = Round.objects.get()
    rounds.fill(round=row, chosen=[Chosen(recording.pk, rank) for rank, recording in enumerate(rows)])
    boss.get_by_role("button", name="Open the round").click()
    expect(boss.get_by_text("0 of 4 answered")).to_be_visible()
    expect(boss.get_by_text("15 of 15 models say")).to_have_count(4)
    press(boss, "Close the round", "Close it")
    expect(boss.get_by_text("4 withdrawn")).to_be_visible()


def test_a_checkpoint_is_promoted_and_taken_back(boss: Page):
    recordings(2)
    Dataset.objects.update(layout="ptb-xl")
    first, second = checkpoint(Checkpoint.State.CURRENT), checkpoint(auroc=0.95)
    run = scored(second, JobState.RUNNING)
    boss.goto(reverse("manage-checkpoints"))
    rows = boss.locator("tr.current")
    expect(rows).to_have_id(f"checkpoint-{first.pk}")
    expect(boss.get_by_text("+0.040").first).to_be_visible()
    boss.locator("details.confirm > summary", has_text="Promote").click()
    boss.keyboard.press("Escape")
    expect(boss.get_by_role("button", name="Promote", exact=True)).to_be_hidden()
    press(boss, "Promote", "Promote")
    expect(rows).to_have_id(f"checkpoint-{second.pk}")
    press(boss, "Go back", "Go back")
    expect(rows).to_have_id(f"checkpoint-{first.pk}")
    type(run).objects.filter(pk=run.pk).update(state=JobState.FINISHED)
    expect(boss.locator(f"#checkpoint-{second.pk}")).to_contain_text("Finished")


def test_a_candidate_that_is_held_back_asks_for_a_reason(boss: Page, settings):
    settings.GATE_POSITIVES_MIN = 20
    rows = frozen_split(40)
    score(gate_world.checkpoint(Checkpoint.State.CURRENT), rows)
    worse = score(gate_world.checkpoint(), rows, noise=5)
    boss.goto(reverse("manage-checkpoints"))
    expect(boss.get_by_text("Being compared", exact=True)).to_be_visible()
    judged(worse)  # the page asks on until the comparison stands
    expect(boss.get_by_text("Held back", exact=True)).to_be_visible()
    expect(boss.get_by_role("row", name="Atrial fibrillation 20").first).to_contain_text("inferior")
    row = boss.locator(f"#checkpoint-{worse.pk}")
    row.locator("summary", has_text="Promote").click()
    row.get_by_role("button", name="Promote against the gate").click()
    expect(row.get_by_label("Promote it all the same, because")).to_be_focused()  # the browser asks for the reason
    row.get_by_label("Promote it all the same, because").fill("The old one reads no aVR.")
    row.get_by_role("button", name="Promote against the gate").click()
    expect(boss.locator("tr.current")).to_contain_text("against the gate: The old one reads no aVR.")


def test_a_table_is_sorted_by_its_heads(boss: Page):
    recordings(2)
    Dataset.objects.create(name="empty")
    boss.goto(reverse("manage-datasets"))
    names = boss.locator("table[data-sortable] tbody tr td:first-child")
    expect(names).to_have_text(["empty", "made"])
    head = boss.get_by_role("columnheader", name="Recordings")
    head.get_by_role("button").click()
    head.get_by_role("button").click()
    expect(names).to_have_text(["made", "empty"])
    expect(head).to_have_attribute("aria-sort", "descending")
