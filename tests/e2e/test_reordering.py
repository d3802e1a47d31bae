"""An admin has the queue re-ordered, and the page says so by itself when it is done."""

import re

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from annotator.models import Reranking
from tests.annotator.manage_world import admin
from tests.annotator.rerank_world import KINDS, kind_of, open_round, pool, settle
from workers import round_tasks

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_admin_presses_re_order_and_reads_what_became_of_it(page: Page, live_server, settings, tmp_path):
    settings.CHECKPOINT_DIR = tmp_path
    point, rows = pool(20 * KINDS)
    round = open_round(point, rows[:30])
    settle(round, [row for number, row in enumerate(rows) if kind_of(number) == 3][-8:])
    client = Client()
    client.force_login(admin())
    session = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page.goto(live_server.url + reverse("manage-round", args=[round.pk]))
    expect(page.get_by_text("As it was filled.")).to_be_visible()
    page.get_by_role("button", name="Re-order now").click()
    expect(page.get_by_text("A new order is being made.").first).to_be_visible()
    expect(page.get_by_role("button", name="Re-order now")).to_have_count(0)
    round_tasks.rerank_round(Reranking.objects.get().pk)
    done = re.compile(r"Re-ordered \d+ s ago after 8 corrections: 30 of 30 waiting recordings moved")
    expect(page.get_by_text(done)).to_be_visible()
    expect(page.get_by_text("label says normal; 5 of 5 models say abnormal").first).to_be_visible()
    expect(page.get_by_role("button", name="Re-order now")).to_be_visible()
