"""Nothing a reader entered is lost: not by a reload, a lost network, an ended session, a lost lease."""

import re
from uuid import uuid4

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from annotator.models import Annotation, Draft, QueueItem, Recording, User
from annotator.services import queue
from annotator.services.annotations import submit_final
from tests.annotator.reading_world import AF, person, says
from tests.e2e.desk_world import beats, open_desk, open_round, sign_in, store, type_statement, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(page: Page) -> Page:
    """Give a desk on one of two recordings; there is no reveal, so that a submit is one step."""
    open_round([store(beats(seed=seed), name=f"desk{seed}") for seed in (1, 2)], reveal="never")
    sign_in(page)
    open_desk(page)
    return page


def shows_the_next(page: Page) -> None:
    second = Recording.objects.get(name="desk2")
    expect(page.locator("[data-head] strong")).to_contain_text(f"R-{second.pk}")


def statements(page: Page) -> object:
    return page.locator("[data-statements] .statement-name")


def wait_saved(page: Page) -> None:
    expect(page.locator("[data-saved]")).to_have_text(re.compile(r"saved \d\d:\d\d:\d\d"))


def test_a_draft_survives_a_reload_at_once(desk: Page) -> None:
    type_statement(desk, "afi")
    desk.keyboard.press("t")
    desk.keyboard.type("unfinished")
    desk.on("dialog", lambda dialog: dialog.accept())  # the warning for what is not on the server yet
    open_desk(desk)
    expect(statements(desk)).to_have_text("Atrial fibrillation")
    expect(desk.get_by_label("Text")).to_have_value("unfinished")


def test_a_draft_survives_another_browser(desk: Page) -> None:
    type_statement(desk, "afi")
    wait_saved(desk)
    assert Draft.objects.get().content["reading"]["statements"] == [{"code": AF, "qualifier": ""}]
    desk.evaluate("localStorage.clear()")
    open_desk(desk)
    expect(statements(desk)).to_have_text("Atrial fibrillation")


def test_the_final_read_starts_from_the_first_after_a_reload(page: Page) -> None:
    open_round([store(beats())])
    sign_in(page)
    open_desk(page)
    type_statement(page, "afi")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Why this one")).to_be_visible()
    wait_saved(page)
    open_desk(page)
    expect(page.get_by_role("heading", name="Why this one")).to_be_visible()
    expect(statements(page)).to_have_text("Atrial fibrillation")
    expect(page.locator('[data-do="keep"]')).to_be_visible()


def test_an_ended_session_keeps_the_reading(desk: Page) -> None:
    type_statement(desk, "afi")
    wait_saved(desk)
    reader = User.objects.get(username="reader")
    reader.set_password("correct horse battery")
    reader.save()
    desk.context.clear_cookies()
    type_statement(desk, "left axis")
    again = desk.get_by_role("dialog", name="Your session has ended")
    expect(again).to_be_visible()
    desk.keyboard.type("wrong")
    desk.keyboard.press("Enter")
    expect(again).to_contain_text("That is not the password")
    desk.keyboard.type("correct horse battery")
    desk.keyboard.press("Enter")
    expect(again).to_be_hidden()
    expect(statements(desk)).to_have_text(["Atrial fibrillation", "Left axis deviation"])
    desk.keyboard.press("Control+Enter")
    shows_the_next(desk)
    wait_saved(desk)
    assert len(Annotation.objects.get().statements) == 2


def test_a_submit_outlives_a_lost_network_and_is_stored_once(desk: Page) -> None:
    type_statement(desk, "afi")
    wait_saved(desk)
    lost: list[str] = []

    def lose_the_answer(route: object) -> None:
        """Let the first submit reach the server and drop its answer; the next one goes through."""
        if not lost:
            lost.append(route.request.post_data)
            route.fetch()
            route.abort()
        else:
            lost.append(route.request.post_data)
            route.continue_()

    desk.route("**/final-read", lose_the_answer)
    desk.keyboard.press("Control+Enter")
    shows_the_next(desk)  # the next one waits for no network
    expect(desk.locator("[data-saved]")).to_contain_text("not sent yet")
    wait_saved(desk)
    assert len(lost) == 2
    assert lost[0] == lost[1]
    assert Annotation.objects.count() == 1
    assert desk.evaluate("localStorage.getItem('ecgfm-outbox:reader')") is None


def test_a_refused_submit_says_why_and_keeps_the_reading(desk: Page) -> None:
    type_statement(desk, "afi")
    wait_saved(desk)
    item = QueueItem.objects.get(recording__name="desk1")
    queue.give_back(item=item, reader=item.claimed_by)
    other = person("other")
    taken = queue.claim_next(reader=other)
    assert taken == item
    desk.keyboard.press("Control+Enter")
    refused = desk.get_by_role("dialog", name="A reading was not stored")
    expect(refused).to_contain_text("is with another reader")
    expect(refused).to_contain_text("Atrial fibrillation")
    refused.get_by_role("button", name="Decide later").click()
    assert desk.evaluate("JSON.parse(localStorage.getItem('ecgfm-outbox:reader')).length") == 1
    submit_final(item=taken, reader=other, answer=says(AF), idempotency_key=uuid4())
    assert Annotation.objects.count() == 1


def test_a_lease_that_ran_out_is_no_loss_while_nobody_took_it(desk: Page) -> None:
    QueueItem.objects.filter(state="claimed").update(lease_until=timezone.now())
    queue.release_expired()
    type_statement(desk, "afi")
    wait_saved(desk)
    desk.keyboard.press("Control+Enter")
    wait_saved(desk)
    until(desk, "localStorage.getItem('ecgfm-outbox:reader') === null")
    assert Annotation.objects.get().overall == "abnormal"


def test_two_windows_of_one_reader_lose_nothing(desk: Page) -> None:
    type_statement(desk, "afi")
    wait_saved(desk)
    draft = Draft.objects.get()
    Draft.objects.update(version=draft.version + 5, content={"reading": {"statements": []}})
    type_statement(desk, "left axis")
    wait_saved(desk)
    until(desk, "!ecgfmDesk.draft.pending")
    assert len(Draft.objects.get().content["reading"]["statements"]) == 2
