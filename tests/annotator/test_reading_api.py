"""The reading side over HTTP: claims, drafts, first and final reads, the reveal's secrecy, query counts."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotator.models import Annotation, Consensus, Draft, Prediction, QueueItem
from ecgfm_core.active import meanings
from tests.annotator.manage_world import checkpoint
from tests.annotator.reading_world import AF, LBBB, SINUS, body, client, make_round, person

pytestmark = pytest.mark.django_db


def test_claim_first_read_reveal_final_read():
    make_round(2, reveal="after_first_read")
    api = client(person("ann"))
    answer = api.post("/api/v1/claims")
    assert answer.status_code == 201
    item = answer.json()["item"]
    assert (item["stage"], item["reveal"], item["draft"]) == ("first", None, None)
    assert item["round"] == {"number": 1, "reveal": "after_first_read", "read": 0, "total": 2}
    assert item["recording"]["lead_names"] == ["I", "II", "V1"]
    assert item["recording"]["duration_s"] == 10
    first = api.post(f"/api/v1/claims/{item['id']}/first-read", body(AF), format="json")
    assert first.status_code == 201, first.json()
    shown = first.json()["reveal"]
    assert shown["source_labels"][0]["name"] == "Sinus rhythm"
    assert shown["report_text"] == "old text"
    assert "15 of 15" in shown["reason"]
    held = api.get("/api/v1/claims").json()
    assert [(row["id"], row["stage"]) for row in held] == [(item["id"], "final")]
    assert held[0]["reveal"] == shown
    final = api.post(f"/api/v1/claims/{item['id']}/final-read", body(AF, text="fast AF"), format="json")
    assert final.status_code == 201, final.json()
    assert final.json()["annotation"]["overall"] == "abnormal"
    assert Consensus.objects.get().corrects


def test_the_reveal_tells_the_scores_behind_the_choice_and_what_they_mean():
    turn = make_round(2, reveal="after_first_read", audit=1)
    point = checkpoint("current")
    Prediction.objects.bulk_create(
        Prediction(
            checkpoint=point, recording=item.recording, abnormal_probability=0.9, label_probabilities=[0.7],
            embedding=[0.0] * 4, entropy=0.5, label_error=3.25, aum=-0.5, kl_disagreement=0.1, quality=1.0,
        )
        for item in turn.items.all()
    )  # fmt: skip
    api, shown = client(person("ann")), []
    for _ in range(2):
        item = api.post("/api/v1/claims").json()["item"]
        assert "3.25" not in str(item)
        first = api.post(f"/api/v1/claims/{item['id']}/first-read", body(AF), format="json")
        shown.append(first.json()["reveal"])
        api.post(f"/api/v1/claims/{item['id']}/final-read", body(AF), format="json")
    by_score, by_chance = shown
    scores = {one["name"]: one for one in by_score["model"]["scores"]}
    assert list(scores) == ["label_error", "aum", "entropy", "quality"]
    assert scores["label_error"]["value"] == 3.25
    assert scores["label_error"]["meaning"] == meanings.BY_NAME["label_error"].meaning
    assert scores["aum"]["read_first"] == "low = read first"
    assert by_chance["model"]["abnormal_probability"] == 0.9
    assert by_chance["model"]["scores"] == []


def test_the_reveal_can_not_be_had_before_the_first_read():
    make_round(2, reveal="after_first_read")
    api = client(person("ann"))
    claimed = api.post("/api/v1/claims")
    item = claimed.json()["item"]
    seen = [claimed, api.get("/api/v1/claims"), api.get("/api/v1/worklist"), api.get("/api/v1/annotations")]
    seen.append(api.post(f"/api/v1/claims/{item['id']}/heartbeat"))
    draft = {"content": {"reveal": "please"}, "version": 0}
    seen.append(api.put(f"/api/v1/claims/{item['id']}/draft", draft, format="json"))
    early = api.post(f"/api/v1/claims/{item['id']}/final-read", body(AF), format="json")
    assert early.status_code == 409
    assert "blind first read" in early.json()["message"]
    refused = api.post(f"/api/v1/claims/{item['id']}/first-read", body("nonsense"), format="json")
    assert refused.status_code == 400
    for answer in [*seen, early, refused]:
        for secret in ("old text", "15 of 15", "Sinus rhythm", "source_labels", "strategy", "rec0"):
            assert secret not in answer.content.decode(), (answer.request["PATH_INFO"], secret)
    assert not Annotation.objects.exists()


def test_a_second_reader_s_item_stays_blind_after_the_first_one_s_read():
    make_round(1, copies=2, reveal="after_first_read")
    ann, bob = client(person("ann")), client(person("bob"))
    mine = ann.post("/api/v1/claims").json()["item"]
    ann.post(f"/api/v1/claims/{mine['id']}/first-read", body(AF), format="json")
    other = bob.post("/api/v1/claims").json()["item"]
    assert (other["stage"], other["reveal"]) == ("first", None)
    assert bob.post(f"/api/v1/claims/{mine['id']}/first-read", body(AF), format="json").status_code == 409


def test_a_round_may_reveal_at_once_or_never():
    make_round(1, reveal="at_once")
    api = client(person("ann"))
    item = api.post("/api/v1/claims").json()["item"]
    assert item["stage"] == "final"
    assert item["reveal"]["report_text"] == "old text"
    assert api.post(f"/api/v1/claims/{item['id']}/first-read", body(AF), format="json").status_code == 409
    assert api.post(f"/api/v1/claims/{item['id']}/final-read", body(AF), format="json").status_code == 201
    make_round(1, reveal="never")
    item = api.post("/api/v1/claims").json()["item"]
    assert (item["stage"], item["reveal"]) == ("final", None)
    assert api.post(f"/api/v1/claims/{item['id']}/first-read", body(AF), format="json").status_code == 409


def test_no_item_is_200_with_the_reason():
    api = client(person("ann"))
    answer = api.post("/api/v1/claims")
    assert answer.status_code == 200
    assert answer.json() == {"item": None, "why": "No round is open. An admin opens the next one."}


def test_drafts_are_versioned_and_a_stale_one_gets_the_server_s():
    make_round(1)
    api = client(person("ann"))
    pk = api.post("/api/v1/claims").json()["item"]["id"]
    url = f"/api/v1/claims/{pk}/draft"
    assert api.put(url, {"content": {"text": "a"}, "version": 0}, format="json").json()["version"] == 1
    assert api.put(url, {"content": {"text": "b"}, "version": 1}, format="json").json()["version"] == 2
    stale = api.put(url, {"content": {"text": "c"}, "version": 1}, format="json")
    assert stale.status_code == 409
    assert stale.json()["draft"] == {"content": {"text": "b"}, "version": 2}
    assert api.get("/api/v1/claims").json()[0]["draft"]["content"] == {"text": "b"}
    api.post(f"/api/v1/claims/{pk}/final-read", body(SINUS), format="json")
    assert not Draft.objects.exists()


def test_skip_and_give_back():
    make_round(2)
    api = client(person("ann"))
    first = api.post("/api/v1/claims").json()["item"]["id"]
    assert api.post(f"/api/v1/claims/{first}/skip", {"reason": " "}, format="json").status_code == 400
    assert api.post(f"/api/v1/claims/{first}/skip", {"reason": "a relative"}, format="json").status_code == 204
    second = api.post("/api/v1/claims").json()["item"]["id"]
    assert second != first
    assert api.post(f"/api/v1/claims/{second}/give-back").status_code == 204
    assert api.post("/api/v1/claims").json()["item"]["id"] == second
    assert api.post(f"/api/v1/claims/{first}/heartbeat").status_code == 409
    assert client(person("bob")).post("/api/v1/claims").json()["item"]["id"] == first


def test_bad_requests_are_refused_in_words():
    make_round(1)
    api = client(person("ann"))
    pk = api.post("/api/v1/claims").json()["item"]["id"]
    for sent, word in (
        ({}, "idempotency_key"),
        (body(AF, overall="fine"), "overall"),
        (body(AF, overall="normal"), "Give a reason"),
        (body(), "Nothing is said"),
        (body(overall="unreadable"), "Why is it unreadable"),
        ({**body(), "statements": "AF"}, "statements"),
        (body(AF, marks=[{"lead_names": ["V9"], "start_s": 1, "end_s": 2}]), "V9"),
    ):
        answer = api.post(f"/api/v1/claims/{pk}/final-read", sent, format="json")
        assert answer.status_code == 400, answer.json()
        assert word in answer.json()["message"]
    assert api.post("/api/v1/claims/999999/final-read", body(AF), format="json").status_code == 404


def test_what_was_made_on_another_recording_is_refused():
    make_round(1, reveal="after_first_read")
    api = client(person("ann"))
    item = api.post("/api/v1/claims").json()["item"]
    held, draft = item["recording"]["id"], {"content": {"a": 1}, "version": 0}
    for method, name, sent in (
        (api.put, "draft", draft), (api.post, "first-read", body(AF)), (api.post, "final-read", body(AF)),
    ):  # fmt: skip
        address = f"/api/v1/claims/{item['id']}/{name}"
        refused = method(address, {**sent, "recording": held + 1}, format="json")
        assert (refused.status_code, "Nothing was stored" in refused.json()["message"]) == (409, True)
        taken = method(address, {**sent, "recording": held}, format="json")
        assert taken.status_code in (200, 201), taken.json()
        assert "recording" not in taken.json()
    assert set(Annotation.objects.values_list("recording", flat=True)) == {held}
    assert Annotation.objects.count() == 2


def test_scheme_and_annotations():
    make_round(2)
    ann, bob = person("ann"), person("bob")
    for who in (ann, bob):
        api = client(who)
        pk = api.post("/api/v1/claims").json()["item"]["id"]
        marks = [{"lead_names": ["I", "aVL"], "start_s": 1, "end_s": 2.5, "code": AF}]
        assert api.post(f"/api/v1/claims/{pk}/final-read", body(AF, marks=marks), format="json").status_code == 201
    shown = client(ann).get("/api/v1/scheme").json()
    assert {"code", "abbreviation", "name", "group", "synonyms", "normal"} == set(shown["labels"][0])
    assert [SINUS, AF] in shown["clashes"]
    mine = client(ann).get("/api/v1/annotations?round=1").json()["results"]
    assert [row["reader"] for row in mine] == ["ann"]
    assert mine[0]["marks"][0]["lead_names"] == ["I", "aVL"]
    revised = client(ann).post(f"/api/v1/annotations/{mine[0]['id']}/revise", body(LBBB), format="json")
    assert revised.status_code == 201, revised.json()
    assert client(bob).post(f"/api/v1/annotations/{mine[0]['id']}/revise", body(AF), format="json").status_code == 404
    newest = client(ann).get("/api/v1/annotations").json()["results"]
    assert [(row["revises"], row["revised_by"]) for row in newest] == [
        (mine[0]["id"], None),
        (None, newest[0]["id"]),
    ]
    assert client(ann).get("/api/v1/annotations?round=x").status_code == 400


@pytest.mark.parametrize("count", [5, 60])
def test_queries_do_not_grow_with_the_round(count):
    make_round(count, copies=2, reveal="after_first_read")
    api = client(person("ann"))
    api.post("/api/v1/claims")  # fills the caches of scheme and counts
    counted = {}
    for name, ask in (
        ("claim", lambda: api.post("/api/v1/claims")),
        ("held", lambda: api.get("/api/v1/claims")),
        ("worklist", lambda: api.get("/api/v1/worklist")),
    ):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert ask().status_code < 300
        counted[name] = len(queries)
    item = QueueItem.objects.filter(state="claimed").first()
    for stage in ("first", "final"):
        with CaptureQueriesContext(connection) as queries:
            assert api.post(f"/api/v1/claims/{item.pk}/{stage}-read", body(AF), format="json").status_code == 201
        counted[stage] = len(queries)
    most = {"claim": 6, "held": 5, "worklist": 6, "first": 12, "final": 14}
    assert all(counted[name] <= most[name] for name in most), counted
