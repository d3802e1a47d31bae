"""What the admin pages take, what they refuse, and how they say so."""

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from django.conf import settings
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from annotator.models import (
    Checkpoint,
    CuratedRelease,
    Dataset,
    ImportRun,
    KnownAnswer,
    Role,
    Round,
    ScoringRun,
    TrainingRun,
    User,
)
from annotator.models.jobs import JobState
from tests.annotator.manage_world import admin, checkpoint, import_run, release, small_world, someone, training_run
from tests.annotator.reading_world import make_round, recordings, scheme

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(client):
    client.force_login(admin())
    return client


def said(answer) -> str:
    """What the page says after a button, also where it redirects."""
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def zip_file(name: str = "a.zip") -> SimpleUploadedFile:
    out = BytesIO()
    with ZipFile(out, "w") as archive:
        archive.writestr("a.hea", "a 1 500 0\n")
    return SimpleUploadedFile(name, out.getvalue(), content_type="application/zip")


def test_import_from_the_servers_folder(boss):
    folder = Path(settings.IMPORT_DIR) / "georgia"
    folder.mkdir(parents=True, exist_ok=True)
    assert "georgia" in boss.get(reverse("manage-datasets")).content.decode()
    answer = boss.post(reverse("manage-datasets"), {"path": "georgia", "dataset_name": "Georgia"})
    run = ImportRun.objects.get()
    assert answer.url == reverse("manage-import", kwargs={"pk": run.pk})
    assert (run.dataset.name, run.state, run.created_by) == ("Georgia", JobState.QUEUED, admin())


@pytest.mark.parametrize("path", ["../../etc", "/etc", "no-such-folder"])
def test_an_import_from_elsewhere_is_refused_beside_the_form_and_input_is_kept(boss, path):
    answer = boss.post(reverse("manage-datasets"), {"path": path, "dataset_name": "Kept name"})
    text = answer.content.decode()
    assert answer.status_code == 400
    assert "import folder" in text
    assert 'value="Kept name"' in text
    assert not ImportRun.objects.exists()


def test_an_upload_becomes_an_import(boss):
    form = {"file": zip_file(), "dataset_name": "up"}
    answer = boss.post(reverse("manage-upload"), form)
    run = ImportRun.objects.get()
    assert answer.url == reverse("manage-import", kwargs={"pk": run.pk})
    assert Path(run.source_path).read_bytes()[:2] == b"PK"


def test_a_script_that_uploads_is_answered_in_json(boss):
    json = {"headers": {"accept": "application/json"}}
    answer = boss.post(reverse("manage-upload"), {"file": zip_file(), "dataset_name": "up"}, **json)
    assert answer.status_code == 201
    assert answer.json()["url"] == reverse("manage-import", kwargs={"pk": ImportRun.objects.get().pk})
    text = SimpleUploadedFile("a.txt", b"hello")
    refused = boss.post(reverse("manage-upload"), {"file": text, "dataset_name": "up"}, **json)
    assert refused.status_code == 400
    assert "a.txt is not a zip file" in refused.json()["message"]


def test_an_upload_that_only_calls_itself_a_zip_is_refused(boss):
    answer = boss.post(reverse("manage-upload"), {"file": SimpleUploadedFile("b.zip", b"hello"), "dataset_name": "up"})
    assert answer.status_code == 400
    assert "not a zip file" in answer.content.decode()
    assert not ImportRun.objects.exists()


def test_the_report_of_an_import_as_csv_holds_no_formula(boss):
    run = import_run(refused=2)
    run.issues.create(record_name="=cmd()", refused=True, reason="bad name")
    lines = boss.get(reverse("manage-import-csv", kwargs={"pk": run.pk})).content.decode().splitlines()
    assert lines[0] == "record,refused,reason"
    assert len(lines) == 4
    assert "'=cmd(),yes,bad name" in lines


def test_a_long_report_is_paged(boss):
    place = reverse("manage-import", kwargs={"pk": import_run(refused=60).pk})
    first, second = boss.get(place).content.decode(), boss.get(place, {"page": 2}).content.decode()
    assert "rec00049" in first
    assert "rec00050" not in first
    assert "rec00050" in second


def test_a_running_import_is_cancelled_and_an_ended_one_says_why_not(boss):
    run = import_run(JobState.RUNNING)
    boss.post(reverse("manage-import-cancel", kwargs={"pk": run.pk}))
    run.refresh_from_db()
    assert run.state == JobState.CANCELLING
    ended = import_run()
    assert "finished already" in said(boss.post(reverse("manage-import-cancel", kwargs={"pk": ended.pk})))


def training_form(**changes):
    scheme()
    recordings(2)
    return {"config_name": "tiny_cpu", "dataset_ids": [Dataset.objects.get().pk], "seed": "3", "config": ""} | changes


def test_training_starts_with_changes_to_the_config(boss):
    answer = boss.post(reverse("manage-training"), training_form(config="epochs=2\nlearning_rate = 0.002\n"))
    run = TrainingRun.objects.get()
    assert answer.url == reverse("manage-training-run", kwargs={"pk": run.pk})
    assert (run.config_name, run.config, run.seed) == ("tiny_cpu", {"epochs": 2, "learning_rate": 0.002}, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": "epochs"}, "not of the form field=value"),
        ({"config": "epochs=1\nepochs=2"}, "given twice"),
        ({"config": "epoch=2"}, "no field"),
        ({"config": "epochs=0"}, "1 or more"),
        ({"config_name": "huge"}, "huge"),
        ({"seed": "x"}, "whole number"),
        ({"dataset_ids": []}, "at least one dataset"),
    ],
)
def test_training_is_refused_in_words_and_input_is_kept(boss, changes, words):
    answer = boss.post(reverse("manage-training"), training_form(**changes))
    text = answer.content.decode()
    assert answer.status_code == 400
    assert words in text
    assert changes.get("config", "") in text
    assert not TrainingRun.objects.exists()


def test_training_on_nothing_to_train_on_is_the_services_refusal(boss):
    empty = Dataset.objects.create(name="empty")
    form = {"config_name": "tiny_cpu", "dataset_ids": [empty.pk], "seed": "0", "config": ""}
    assert "no recording in the train split" in boss.post(reverse("manage-training"), form).content.decode()


def test_an_ended_training_can_not_be_cancelled(boss):
    run = training_run()
    assert "finished already" in said(boss.post(reverse("manage-training-cancel", kwargs={"pk": run.pk})))


def test_promote_then_go_back(boss):
    recordings(1)
    first, second = checkpoint(Checkpoint.State.CURRENT), checkpoint(auroc=0.95)
    page = boss.get(reverse("manage-checkpoints")).content.decode()
    assert "+0.040" in page
    assert "Go back" not in page
    boss.post(reverse("manage-promote", kwargs={"pk": second.pk}))
    assert Checkpoint.objects.get(state="current") == second
    assert "Go back" in boss.get(reverse("manage-checkpoints")).content.decode()
    boss.post(reverse("manage-go-back"))
    assert Checkpoint.objects.get(state="current") == first
    assert "no earlier checkpoint" in said(boss.post(reverse("manage-go-back")))


def test_scoring_needs_a_dataset(boss):
    recordings(1)
    place = reverse("manage-score", kwargs={"pk": checkpoint().pk})
    assert "at least one dataset" in said(boss.post(place, {"dataset_ids": ["x"]}))
    boss.post(place, {"dataset_ids": [Dataset.objects.get().pk]})
    assert ScoringRun.objects.get().state == JobState.QUEUED


def round_form(**changes):
    scheme()
    recordings(4)
    return {
        "dataset_ids": [Dataset.objects.get().pk], "strategy": "random", "checkpoint": "", "budget": "4",
        "audit_percent": "25", "repeat_percent": "5", "control_percent": "2.5", "split": "train",
        "readers_per_item": "2", "reveal": "never", "seed": "0",
    } | changes  # fmt: skip


def test_a_round_is_planned(boss):
    answer = boss.post(reverse("manage-rounds"), round_form())
    row = Round.objects.get()
    assert answer.url == reverse("manage-round", kwargs={"pk": row.pk})
    assert (row.state, row.budget, row.audit_share, row.readers_per_item) == ("draft", 4, 0.25, 2)
    assert (row.repeat_share, row.control_share, row.split) == (0.05, 0.025, "train")


def test_the_test_split_can_be_planned_at_random_and_blind(boss):
    boss.post(reverse("manage-rounds"), round_form(split="test"))
    assert Round.objects.get().split == "test"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budget": "0"}, "greater than or equal to 1"),
        ({"audit_percent": "120"}, "less than or equal to 100"),
        ({"repeat_percent": "25"}, "less than or equal to 20"),
        ({"control_percent": "-1"}, "greater than or equal to 0"),
        ({"split": "test", "reveal": "at_once"}, "drawn at random and read blind"),
        ({"readers_per_item": "6"}, "less than or equal to 5"),
        ({"strategy": "relabel"}, "needs a checkpoint"),
        ({"strategy": "guess"}, "guess"),
        ({"dataset_ids": []}, "at least one dataset"),
    ],
)
def test_a_round_is_refused_in_words(boss, changes, words):
    answer = boss.post(reverse("manage-rounds"), round_form(**changes))
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert not Round.objects.exists()


def test_an_admin_vouches_for_a_recording_and_takes_it_back(boss):
    row = recordings(1)[0]
    vouch, withdraw = reverse("manage-vouch"), reverse("manage-vouch-withdraw")
    assert "may be drawn as a control" in said(boss.post(vouch, {"recording": f" r-{row.pk} "}))
    shown = boss.get(reverse("manage-rounds")).content.decode()
    assert "1 so far" in shown
    assert f"<td>R-{row.pk}</td>" in shown
    assert "is no recording" in said(boss.post(vouch, {"recording": "the third"}))
    assert "There is no recording" in said(boss.post(vouch, {"recording": "999999"}))
    assert "no longer" in said(boss.post(withdraw, {"recording": str(row.pk)}))
    assert not KnownAnswer.objects.exists()


def test_a_round_goes_through_its_states_and_says_when_it_can_not(boss):
    row = make_round(3, is_open=False)
    ids = {"pk": row.pk}
    assert "only a open round" in said(boss.post(reverse("manage-round-close", kwargs=ids)))
    boss.post(reverse("manage-round-open", kwargs=ids))
    assert "0 of 3 answered" in boss.get(reverse("manage-round", kwargs=ids)).content.decode()
    boss.post(reverse("manage-round-close", kwargs=ids))
    row.refresh_from_db()
    assert row.state == Round.State.CLOSED
    assert "3 withdrawn" in boss.get(reverse("manage-round", kwargs=ids)).content.decode()


def test_a_release_is_asked_for(boss):
    recordings(2)
    form = {"title": "First", "notes": "", "dataset_ids": [Dataset.objects.get().pk]}
    answer = boss.post(reverse("manage-releases"), form)
    assert answer.url == reverse("manage-release", kwargs={"number": CuratedRelease.objects.get().number})
    nothing = boss.post(reverse("manage-releases"), form | {"only_consensus": "on"})
    assert nothing.status_code == 400
    assert "nothing to release" in nothing.content.decode()


def test_a_finished_release_is_not_cancelled(boss):
    recordings(1)
    row = release()
    assert "finished already" in said(boss.post(reverse("manage-release-cancel", kwargs={"number": row.number})))


def test_a_new_persons_password_is_shown_once_and_works(boss):
    answer = boss.post(reverse("manage-people"), {"username": "ada", "role": "reader"})
    user, password = answer.context["shown"]
    assert password in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert User.objects.get(username="ada").check_password(password)
    assert password not in boss.get(reverse("manage-people")).content.decode()
    again = boss.post(reverse("manage-people"), {"username": "ada", "role": "reader"})
    assert again.status_code == 400
    assert "exists already" in again.content.decode()
    new = boss.post(reverse("manage-person-password", kwargs={"pk": user.pk})).context["shown"][1]
    user.refresh_from_db()
    assert user.check_password(new)
    assert not user.check_password(password)


def test_people_change_roles_and_come_and_go(boss):
    ada = someone("ada")
    ids = {"pk": ada.pk}
    boss.post(reverse("manage-person-role", kwargs=ids), {"role": "adjudicator"})
    boss.post(reverse("manage-person-deactivate", kwargs=ids))
    ada.refresh_from_db()
    assert (ada.role, ada.is_active) == (Role.ADJUDICATOR, False)
    boss.post(reverse("manage-person-activate", kwargs=ids))
    ada.refresh_from_db()
    assert ada.is_active
    assert "no role" in said(boss.post(reverse("manage-person-role", kwargs=ids), {"role": "king"}))


def test_an_admin_can_not_lock_everyone_out(boss):
    ids = {"pk": admin().pk}
    assert "yourself" in said(boss.post(reverse("manage-person-deactivate", kwargs=ids)))
    assert "your own role" in said(boss.post(reverse("manage-person-role", kwargs=ids), {"role": "reader"}))


def test_names_from_files_are_text_never_markup(boss):
    world = small_world()
    world["run"].issues.create(record_name="<script>x()</script>", refused=True, reason="<b>bad</b>")
    text = boss.get(reverse("manage-import", kwargs={"pk": world["run"].pk})).content.decode()
    assert "<script>x()" not in text
    assert "&lt;b&gt;bad" in text
