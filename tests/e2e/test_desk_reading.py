"""A reading from claim to consensus by keyboard alone, blind until the first read is in."""

import re

import pytest
from playwright.sync_api import Page, expect

from annotator.models import Annotation, Consensus, QueueItem, Role, Skip
from tests.annotator.reading_world import AF, LBBB, SINUS
from tests.e2e.desk_world import beats, open_desk, open_round, sign_in, store, type_statement, until

pytestmark = pytest.mark.django_db(transaction=True)


def saved(page: Page) -> None:
    expect(page.locator("[data-saved]")).to_have_text(re.compile(r"saved \d\d:\d\d:\d\d"))


def test_a_whole_reading_by_keyboard_and_the_next_stands_there(page: Page) -> None:
    first, second = store(beats(seed=1)), store(beats(seed=2))
    open_round([first, second])
    sign_in(page)
    page.keyboard.press("Enter")  # the worklist: start reading
    head = page.locator("[data-head] strong")
    expect(head).to_contain_text(f"R-{first.pk}")
    type_statement(page, "afi")
    expect(page.get_by_role("radio", name="Abnormal")).to_be_checked()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Why this one")).to_be_visible()
    type_statement(page, "lbbb")
    page.keyboard.press("q")
    page.keyboard.press("t")
    page.keyboard.type("irregular, wide QRS")
    page.keyboard.press("Control+Enter")
    expect(head).to_contain_text(f"R-{second.pk}")
    saved(page)
    blind = Annotation.objects.get(recording=first, stage="first")
    final = Annotation.objects.get(recording=first, stage="final")
    assert [statement["code"] for statement in blind.statements] == [AF]
    assert {statement["code"] for statement in final.statements} == {AF, LBBB}
    assert (final.overall, final.confidence, final.text) == ("abnormal", "low", "irregular, wide QRS")
    assert (final.display["speed_mm_s"], final.display["gain_mm_mv"], final.display["layout"]) == (25, 10, "3x4+1")
    assert final.duration_ms > 0
    assert Consensus.objects.get(recording=first).overall == "abnormal"
    expect(page.get_by_text("1 of 2 read")).to_be_visible()
    assert page.evaluate("performance.getEntriesByName('ecgfm-next').length") == 1


def test_nothing_of_the_old_label_reaches_the_browser_before_the_first_read(page: Page) -> None:
    seen: list[str] = []
    page.on("response", lambda response: "/api/v1/claims" in response.url and seen.append(response.text()))
    open_round([store(beats(), report_text="a telling old report")])
    sign_in(page)
    open_desk(page)
    assert seen
    assert "telling old report" not in "".join(seen)
    assert "models say" not in "".join(seen)
    expect(page.locator("[data-reveal]")).to_be_hidden()
    type_statement(page, "nsr")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("a telling old report")).to_be_visible()
    expect(page.locator("[data-reveal]")).to_contain_text("Sinus rhythm")


def test_keep_first_read_undo_and_clash(page: Page) -> None:
    recording = store(beats())
    open_round([recording])
    sign_in(page)
    open_desk(page)
    type_statement(page, "sinus rhythm")
    type_statement(page, "atrial fib")
    expect(page.get_by_text("Sinus rhythm and Atrial fibrillation can't both hold.")).to_be_visible()
    page.keyboard.press("z")
    expect(page.get_by_text("can't both hold")).to_be_hidden()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Why this one")).to_be_visible()
    type_statement(page, "poss lbbb")
    expect(page.get_by_label("Qualifier of Left bundle branch block")).to_have_value("possible")
    page.keyboard.press("k")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    final = Annotation.objects.get(stage="final")
    assert final.statements == [{"code": SINUS, "qualifier": ""}]
    assert final.overall == "normal"


def test_unreadable_and_an_override_ask_why(page: Page) -> None:
    second = store(beats(seed=2))
    open_round([store(beats(seed=1)), second], reveal="never")
    sign_in(page)
    open_desk(page)
    problem = page.locator("[data-problem]")
    page.keyboard.press("Control+Enter")
    expect(problem).to_contain_text("Say normal, abnormal or unreadable")
    page.keyboard.press("u")
    page.keyboard.press("Control+Enter")
    expect(problem).to_have_text("Say what makes it unreadable.")
    page.keyboard.type("noise")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-head] strong")).to_contain_text(f"R-{second.pk}")
    type_statement(page, "afib")
    page.keyboard.press("n")
    page.keyboard.press("Control+Enter")
    expect(problem).to_contain_text("The statements say abnormal, you say normal")
    page.keyboard.type("artefact only")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    unreadable, overridden = Annotation.objects.order_by("pk")
    assert (unreadable.overall, unreadable.unreadable_reason) == ("unreadable", "noise")
    assert (overridden.overall, overridden.override_reason) == ("normal", "artefact only")


def test_a_shortcut_is_a_letter_while_a_field_has_the_focus(page: Page) -> None:
    open_round([store(beats())])
    sign_in(page)
    open_desk(page)
    page.keyboard.press("t")
    page.keyboard.type("usual lvh -+?")
    expect(page.get_by_label("Text")).to_have_value("usual lvh -+?")
    expect(page.locator("[data-scale]")).to_contain_text("10 mm/mV")
    assert not page.locator("dialog[open]").count()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("next layout")
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    expect(page.get_by_role("dialog", name="True scale")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("l")  # a closed dialog does not keep the keys
    expect(page.locator("[data-layout]")).to_contain_text("rhythm V1")


def test_skip_needs_a_reason_and_goes_on(page: Page) -> None:
    first, second = store(beats(seed=1)), store(beats(seed=2))
    open_round([first, second])
    reader = sign_in(page)
    open_desk(page)
    page.keyboard.press("s")
    skip = page.get_by_role("dialog", name="Skip")
    skip.get_by_role("button", name="Skip", exact=True).click()
    expect(skip).to_be_visible()  # no reason yet
    page.get_by_label("Why?").fill("I know this patient")
    skip.get_by_role("button", name="Skip", exact=True).click()
    expect(page.locator("[data-head] strong")).to_contain_text(f"R-{second.pk}")
    assert Skip.objects.get(reader=reader).reason == "I know this patient"
    assert QueueItem.objects.get(recording=first).state == "waiting"


def test_others_hold_it_says_the_worklist(page: Page) -> None:
    open_round([store(beats())])
    sign_in(page)
    open_desk(page)
    sign_in(page, "other")
    expect(page.get_by_text(re.compile(r"held by other readers until \d\d:\d\d"))).to_be_visible()
    page.goto("/desk")
    expect(page.get_by_text(re.compile(r"held by other readers until \d\d:\d\d"))).to_be_visible()


def test_leaving_gives_back_what_was_only_fetched_ahead(page: Page) -> None:
    open_round([store(beats(seed=seed)) for seed in range(4)])
    sign_in(page)
    open_desk(page)
    until(page, "ecgfmDesk.queue.items.length === 3")
    held = QueueItem.objects.filter(state="claimed")
    assert held.count() == 3
    page.get_by_role("link", name="Worklist").click()
    for _ in range(50):  # the browser sends these behind the page's back
        if held.count() == 1:
            break
        page.wait_for_timeout(100)
    assert held.count() == 1


@pytest.mark.parametrize("role", [Role.ADJUDICATOR, Role.ADMIN, Role.RESEARCHER])
def test_the_desk_is_for_readers(page: Page, role: Role) -> None:
    sign_in(page, "someone", role)
    page.goto("/desk")
    expect(page.get_by_role("heading", name="This page is not for your role")).to_be_visible()
