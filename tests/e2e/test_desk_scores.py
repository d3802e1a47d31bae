"""Why this recording: after the first read the scores behind the choice, folded away, each with its meaning."""

import pytest
from playwright.sync_api import Page, expect

from annotator.models import Checkpoint, Prediction, QueueItem
from ecgfm_core.active import meanings
from tests.annotator.manage_world import checkpoint
from tests.e2e.desk_world import beats, open_round, sign_in, store

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_reveal_says_why_in_words_figures_and_meanings(page: Page) -> None:
    turn = open_round([store(beats())])
    item = turn.items.get()
    Prediction.objects.create(
        checkpoint=checkpoint(Checkpoint.State.CURRENT), recording=item.recording, abnormal_probability=0.93,
        label_probabilities=[0.12], generated_text="atrial fibrillation", embedding=[0.0] * 4, label_error=3.21,
        label_set_error=4.02, aum=-0.84, entropy=0.37, epistemic=0.004, novelty=0.61, quality=0.92,
    )  # fmt: skip
    QueueItem.objects.update(reason="label says normal; 15 of 15 models say abnormal, 0.96")
    sign_in(page)
    page.goto("/desk")
    page.get_by_role("combobox").fill("atrial fib")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Enter")
    why = page.locator(".why")
    expect(why).to_contain_text("15 of 15 models say abnormal")
    row = why.locator(".score").first
    expect(row).to_be_hidden()
    why.get_by_text("Scores").click()
    expect(row).to_contain_text("3.21")
    expect(row).to_contain_text(meanings.BY_NAME["label_error"].meaning)
    expect(row).to_have_attribute("title", "cross-entropy, 0 to 13.82 nats; high = read first")
    expect(why.locator(".score")).to_have_count(7)
