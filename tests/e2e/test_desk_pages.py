"""Sign-in, adjudication and account pages in a browser."""

import re

import pytest
from django.conf import settings
from playwright.sync_api import Page, expect

from annotator.models import Adjudication, Consensus, Role, User
from tests.annotator.reading_world import AF, SINUS, person, read, says
from tests.e2e.desk_world import beats, open_round, sign_in, store, type_statement

pytestmark = pytest.mark.django_db(transaction=True)


def disagree() -> Adjudication:
    open_round([store(beats())], copies=2, reveal="never")
    read(person("anna"), says(SINUS, text="all normal"))
    read(person("ben"), says(AF, text="no p waves"))
    return Adjudication.objects.get()


def test_an_adjudicator_settles_with_both_answers_on_one_sheet(page: Page) -> None:
    adjudication = disagree()
    sign_in(page, "senior", Role.ADJUDICATOR)
    expect(page.get_by_role("heading", name="Adjudications")).to_be_visible()
    page.keyboard.press("Enter")
    answers = page.locator("[data-answers]")
    expect(answers).to_contain_text("Reader A")
    expect(answers).to_contain_text("no p waves")
    assert "anna" not in page.content()
    page.wait_for_selector(".scatterlayer .js-line", state="attached")
    page.keyboard.press("2")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-problem]")).to_have_text("Say why you decide so.")
    page.keyboard.type("irregular and no p waves")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status").get_by_text("No disagreement waits for you.")).to_be_visible()
    settled = Consensus.objects.get(adjudication=adjudication)
    assert (settled.overall, [s["code"] for s in settled.statements]) == ("abnormal", [AF])
    page.get_by_role("link", name=f"R-{adjudication.recording_id}").click()
    expect(page.get_by_text("Reason: irregular and no p waves")).to_be_visible()
    expect(page.get_by_role("button", name="Settle")).to_be_hidden()


def test_an_adjudication_is_kept_over_a_reload_and_given_back(page: Page) -> None:
    disagree()
    sign_in(page, "senior", Role.ADJUDICATOR)
    page.keyboard.press("Enter")
    page.wait_for_selector(".scatterlayer .js-line", state="attached")
    type_statement(page, "lbbb")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(page.locator("[data-statements]")).to_contain_text("Left bundle branch block")
    page.wait_for_selector(".scatterlayer .js-line", state="attached")
    page.keyboard.press("g")
    expect(page.get_by_text("waiting", exact=True)).to_be_visible()
    assert Adjudication.objects.get().claimed_by is None


def test_too_many_wrong_passwords_lock_with_words(page: Page) -> None:
    page.goto("/sign-in")
    for _ in range(settings.AXES_FAILURE_LIMIT):
        page.get_by_label("Name").fill("reader")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Locked for 15 minutes")).to_be_visible()


def test_the_sign_in_page_says_no_more_than_that_it_was_wrong(page: Page) -> None:
    page.goto("/desk")
    expect(page).to_have_url(re.compile(r"/sign-in\?next=/desk$"))
    User.objects.create_user("reader", password="correct horse battery")
    for name, password in (("nobody", "wrong"), ("reader", "wrong")):
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/desk$"))


def test_a_token_is_shown_once(page: Page) -> None:
    sign_in(page, "scientist", Role.RESEARCHER)
    page.goto("/tokens")
    expect(page.get_by_text("You have no tokens.")).to_be_visible()
    page.get_by_label("What is it for?").fill("notebook")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("copy it now")).to_be_visible()
    token = page.locator("[data-token]").text_content()
    assert token
    answer = page.request.get("/api/v1/scheme", headers={"Authorization": f"Token {token}"})
    assert answer.status in (200, 404)  # 404: no scheme yet, yet let in
    page.reload()
    expect(page.get_by_role("cell", name="notebook", exact=True)).to_be_visible()
    assert token not in page.content()
    page.get_by_role("button", name="Delete token notebook").click()
    page.get_by_role("button", name="Delete token notebook").click()
    expect(page.get_by_text("You have no tokens.")).to_be_visible()


def test_an_unknown_address_says_so(page: Page) -> None:
    sign_in(page)
    page.goto("/nothing-here")
    expect(page.get_by_role("heading", name="There is nothing at this address")).to_be_visible()
