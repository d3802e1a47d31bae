"""Unreadable recordings: who calls them so, what an admin decides, the pool, the page, the API and checking again."""

import re

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from annotator.models import AuditEvent, Dataset, QualityDecision, QueueItem, Recording, Role, Round
from annotator.selectors import candidates
from annotator.selectors import quality as selectors
from annotator.services import quality, queue
from ecgfm_core import waveform
from ecgfm_core.signal.quality import VERSION
from tests.annotator.manage_world import admin
from tests.annotator.reading_world import AF, client, make_round, person, read, recordings, says
from tests.e2e.desk_world import beats, store

pytestmark = pytest.mark.django_db
REFUSED = {"readable": False, "score": 0.03, "flat_leads": ["V2"], "findings": ["V2: flat"], "version": VERSION}


def refused(count: int, **fields: object) -> list[Recording]:
    rows = recordings(count)
    Recording.objects.filter(pk__in=[row.pk for row in rows]).update(quality=REFUSED, **fields)
    return list(Recording.objects.filter(pk__in=[row.pk for row in rows]).order_by("pk"))


def listed() -> dict[int, str]:
    return {row.pk: selectors.said_by(row) for row in selectors.unreadable()}


def pool(strategy: str = "relabel") -> set[int]:
    """What a new round over all datasets may choose."""
    turn = Round.objects.order_by("pk").last()
    turn.strategy = strategy
    turn.save()
    return set(candidates.pool(turn).values_list("pk", flat=True))


def test_the_gate_s_word_leaves_the_pool_and_an_admin_s_wins():
    make_round(1)
    row = refused(1)[0]
    assert listed() == {row.pk: "the gate"}
    assert row.pk not in pool()
    quality.decide(recording=row, readable=True, by=admin())
    assert listed() == {}
    assert row.pk in pool()
    assert row.pk in pool("random")
    quality.decide(recording=row, readable=False, by=admin())
    assert listed() == {row.pk: "confirmed by boss"}
    assert row.pk not in pool()
    assert row.pk not in pool("random")
    row.refresh_from_db()
    assert row.quality == REFUSED
    assert list(AuditEvent.objects.filter(target=f"recording {row.pk}").values_list("action", flat=True)) == [
        "put back into the pool",
        "confirmed unreadable",
    ]


def test_a_good_recording_that_is_confirmed_unreadable_leaves_the_queue():
    turn = make_round(2)
    row = Recording.objects.order_by("pk")[0]
    quality.decide(recording=row, readable=False, by=admin())
    states = dict(QueueItem.objects.filter(round=turn).values_list("recording", "state"))
    assert states[row.pk] == "withdrawn"
    assert set(states.values()) == {"withdrawn", "waiting"}
    assert row.pk not in pool()


def test_a_claimed_item_stays_with_its_reader():
    make_round(1)
    row = Recording.objects.get()
    queue.claim_next(reader=person("ann"))
    quality.decide(recording=row, readable=False, by=admin())
    assert QueueItem.objects.get().state == "claimed"


def test_what_readers_call_unreadable_is_listed_and_can_be_put_back_until_it_is_read_again():
    make_round(1)
    item = read(person("ann"), says(overall="unreadable", unreadable_reason="loose leads"))
    row = selectors.unreadable().get()
    assert (selectors.said_by(row), selectors.findings(row)) == ("the readers", ["readers: loose leads"])
    assert item.recording_id not in pool()
    quality.decide(recording=row, readable=True, by=admin())
    assert listed() == {}
    assert item.recording_id in pool()


def test_what_people_read_the_gate_does_not_call_unreadable():
    make_round(1)
    item = read(person("ann"), says(AF))
    Recording.objects.update(quality=REFUSED)
    assert item.recording_id not in listed()


def test_centres_show_the_bad_electrode():
    refused(3, centre="Ward 7")
    Recording.objects.filter(pk__in=[row.pk for row in recordings(5)]).update(centre="Ward 7")
    Recording.objects.filter(pk__in=[row.pk for row in recordings(4)]).update(centre="Clinic")
    [centre] = selectors.centres()
    assert (centre.name, centre.unreadable, centre.recordings, centre.share) == ("Ward 7", 3, 8, 0.375)
    assert centre.worst == "V2: flat in 3 of 3"


def test_centres_count_every_finding_once_a_recording_by_dataset_and_centre():
    make_round(1)
    read(person("ann"), says(overall="unreadable", unreadable_reason="loose leads"))  # by readers: no lead is named
    lost = {"flat": ["V2", "I"], "noisy": ["V2"]}, {"noisy": ["V2", "I"]}, {}
    for row, kinds in zip(refused(3), lost, strict=True):
        row.quality = {"readable": False} | {f"{kind}_leads": leads for kind, leads in kinds.items()}
        row.save()
    [other] = refused(1, dataset=Dataset.objects.create(name="other"))
    quality.decide(recording=other, readable=False, by=admin())
    found = {one.dataset: one for one in selectors.centres()}
    assert [(one.name, one.unreadable, one.recordings) for one in found.values()] == [("", 4, 4), ("", 1, 1)]
    assert found["made"].leads == {"V2: flat": 1, "I: flat": 1, "V2: noisy": 2, "I: noisy": 1}
    assert found["made"].worst == "V2: noisy in 2 of 4"
    assert found["other"].leads == {"V2: flat": 1}


def test_what_the_page_counts_is_found_by_index():
    refused(1)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    earlier, listed = selectors.checked_earlier().explain(), selectors.unreadable().explain()
    assert "recording_older_gate" in earlier
    assert "recording_unreadable" in listed
    assert "Seq Scan on annotator_recording" not in listed


def test_the_page_lists_with_words_and_acts(client):
    row, other = refused(2, centre="Ward <7>")
    client.force_login(admin())
    text = client.get(reverse("manage-unreadable")).content.decode()
    assert "V2: flat" in text
    assert "Ward &lt;7&gt;" in text
    assert f"R-{row.pk}" in text
    assert "the gate" in text
    assert "before version" not in text
    done = client.post(reverse("manage-unreadable-put-back", args=[row.pk]), follow=True).content.decode()
    assert f"R-{row.pk} is in the pool again" in done
    done = client.post(reverse("manage-unreadable-confirm", args=[other.pk]), follow=True).content.decode()
    assert "Nothing to decide" in done
    assert "1 confirmed" in done
    assert f"R-{other.pk}" in client.get(reverse("manage-unreadable"), {"confirmed": "1"}).content.decode()
    assert QualityDecision.objects.count() == 2


def test_the_small_sheet_draws_every_lead_and_a_damaged_file_is_not_found(client, settings, tmp_path):
    settings.WAVEFORM_DIR = tmp_path
    samples = beats()
    samples[3, 1000:2000] = np.nan
    row = store(samples)
    client.force_login(admin())
    answer = client.get(reverse("manage-unreadable-sheet", args=[row.pk]))
    drawn = answer.content.decode()
    assert answer["Content-Type"] == "image/svg+xml"
    assert drawn.count("<text") == 12
    assert drawn.count("<polyline") == 13  # the gap parts one lead
    assert not re.search("nan|style|script", drawn)
    waveform.path_of(tmp_path, row.waveform_id).unlink()
    assert client.get(reverse("manage-unreadable-sheet", args=[row.pk])).status_code == 404


def test_the_api_lists_and_decides():
    row = refused(1, centre="Ward 7")[0]
    api = client(admin())
    [one] = api.get("/api/v1/recordings/unreadable").json()["results"]
    assert one == {
        "id": row.pk, "pseudonym": f"R-{row.pk}", "dataset": "made", "name": row.name, "centre": "Ward 7",
        "score": 0.03, "findings": ["V2: flat"], "said_by": "the gate",
    }  # fmt: skip
    place = f"/api/v1/recordings/{row.pk}/quality"
    assert api.post(place, {}, format="json").status_code == 400
    assert api.post("/api/v1/recordings/0/quality", {"readable": True}, format="json").status_code == 404
    said = api.post(place, {"readable": True}, format="json").json()
    assert (said["recording"], said["readable"], said["decided_by"]) == (row.pk, True, "boss")
    assert api.get("/api/v1/recordings/unreadable").json()["results"] == []
    assert client(person("ann", Role.READER)).post(place, {"readable": False}, format="json").status_code == 403


def test_what_an_older_gate_checked_is_checked_again_and_no_person_s_word_is_lost(settings, tmp_path, capsys):
    settings.WAVEFORM_DIR = tmp_path
    flat = beats(seed=1)
    flat[7] = 0
    good, bad = store(beats(seed=0), quality={"readable": True}), store(flat, quality={"readable": True, "version": 1})
    quality.decide(recording=bad, readable=True, by=admin())
    assert selectors.checked_earlier().count() == 2
    seen: list[tuple[int, int]] = []
    assert quality.check_again(on_progress=lambda done, total: seen.append((done, total))) == []
    assert seen == [(2, 2)]
    good.refresh_from_db()
    bad.refresh_from_db()
    assert (good.quality["readable"], good.quality["version"]) == (True, VERSION)
    assert good.quality["measurements"]["heart_rate_bpm"] == pytest.approx(75, abs=1)
    assert bad.quality["readable"] is False
    assert listed() == {}
    call_command("check_quality")
    assert "0 recordings are unreadable" in capsys.readouterr().out


def test_checking_again_goes_on_where_it_stopped_and_names_what_is_damaged(settings, tmp_path, capsys):
    settings.WAVEFORM_DIR = tmp_path
    rows = [store(beats(seed=seed), quality={}) for seed in range(3)]

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quality.check_again(batch=1, on_progress=stop)
    assert [row.pk for row in selectors.checked_earlier()] == [rows[2].pk]
    waveform.path_of(tmp_path, rows[2].waveform_id).unlink()
    with pytest.raises(CommandError, match="1 recordings could not be checked"):
        call_command("check_quality")
    assert f"not checked  R-{rows[2].pk}" in capsys.readouterr().out
    assert selectors.checked_earlier().count() == 1
