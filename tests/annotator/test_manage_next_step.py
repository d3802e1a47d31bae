"""The overview names the step that the loop needs next."""

from dataclasses import replace

import pytest

from annotator.models import Checkpoint, Consensus, ImportRun, Round, ScoringRun, TrainingRun
from annotator.pages.manage.compare import compared
from annotator.pages.manage.next_step import next_step
from annotator.selectors.loop import Loop, loop
from annotator.selectors.manage import CURVE_POINTS, curves
from annotator.templatetags.manage_words import facts, figure, lasting, metric, progress_words, share_done
from tests.annotator.manage_world import add_metrics, checkpoint, scored, training_run
from tests.annotator.reading_world import make_round, recordings, scheme

NOTHING = Loop(0, 0, 0, 0, None, None, False, None, 0, 0, None, None, None)
TRAINED = replace(NOTHING, recordings=9, checkpoint=Checkpoint(pk=1), scored=True)


def a_round(state: str) -> Round:
    return Round(pk=5, number=2, state=state)


@pytest.mark.parametrize(
    ("state", "button"),
    [
        (NOTHING, "Import recordings"),
        (replace(NOTHING, importing=ImportRun(pk=3)), "Watch the import"),
        (replace(NOTHING, recordings=9), "Train a model"),
        (replace(NOTHING, recordings=9, training=TrainingRun(pk=1)), "Watch the training run"),
        (replace(NOTHING, recordings=9, candidate=Checkpoint(pk=4)), "Promote checkpoint 4"),
        (replace(TRAINED, scored=False), "Score the recordings"),
        (replace(TRAINED, scoring=ScoringRun(pk=1)), "Watch the scoring"),
        (TRAINED, "Plan the next round"),
        (replace(TRAINED, round=a_round("draft")), "Fill round 2"),
        (replace(TRAINED, round=a_round("filling")), "Watch round 2"),
        (replace(TRAINED, round=a_round("filled")), "Open round 2"),
        (replace(TRAINED, round=a_round("open"), to_read=4), "Follow round 2"),
        (replace(TRAINED, round=a_round("open")), "Close round 2"),
        (replace(TRAINED, round=a_round("closed"), corrections=7), "Train on the corrections"),
        (replace(TRAINED, round=a_round("closed"), candidate=Checkpoint(pk=2)), "Compare checkpoint 2"),
        (replace(TRAINED, round=a_round("closed")), "Plan the next round"),
    ],
)
def test_each_place_in_the_loop_has_one_next_step(state, button):
    assert next_step(state).button == button


@pytest.mark.django_db
def test_the_loop_counts_what_was_corrected_after_the_last_training():
    row = make_round(3)
    recording = row.items.first().recording
    fields = {"recording": recording, "round": row, "scheme": scheme(), "source": "single", "overall": "abnormal"}
    Consensus.objects.create(corrects=True, **fields)
    state = loop()
    assert (state.recordings, state.labelled, state.read, state.corrections, state.to_read) == (3, 3, 1, 1, 3)
    training_run()
    assert loop().corrections == 1  # the run took its labels seven minutes ago, before the correction
    TrainingRun.objects.update(started_at=Consensus.objects.get().created_at)
    assert loop().corrections == 0


@pytest.mark.django_db
def test_a_checkpoint_is_scored_once_a_run_has_finished():
    recordings(1)
    point = checkpoint("current")
    scored(point, "failed")
    assert not loop().scored
    scored(point)
    assert loop().scored


@pytest.mark.django_db
def test_curves_are_thinned_but_keep_their_last_point():
    run = training_run(curves=False)
    add_metrics(run, range(1, 1001))
    found = curves(run)["train_text"]
    assert len(found["step"]) <= CURVE_POINTS + 1
    assert found["step"][-1] == 1000
    assert len(found["step"]) == len(found["value"])


@pytest.mark.django_db
def test_checkpoints_differ_from_the_current_one():
    recordings(1)
    current, other = checkpoint("current", 0.9), checkpoint(auroc=0.93)
    names, (second, first) = compared([other, current])
    assert names[0] == "validate abnormal auroc"
    assert second.cells[0].difference == pytest.approx(0.03)
    assert first.cells[0].difference is None
    assert compared([]) == ([], [])


def test_words_for_progress_time_and_figures():
    run = TrainingRun(state="running", progress={"step": 50, "total_steps": 200, "records_per_s": 12.4, "eta_s": 3700})
    assert progress_words(run) == "50 of 200 steps · 12 recordings/s · 1 h 1 min left"
    run.progress |= {"processes": 8, "peak_memory_mb": 1234.5, "peak_gpu_memory_mb": 61_700.0}
    assert progress_words(run).endswith("left · 8 processes · 1.2 GB of memory · 62 GB of GPU memory")
    assert share_done(run) == 25
    assert progress_words(TrainingRun(state="queued", attempt=1)).startswith("Waits for a worker (attempt 2")
    assert share_done(TrainingRun()) is None
    assert [lasting(seconds) for seconds in (5, 60, 61.4, 7200)] == ["5 s", "1 min", "1 min 1 s", "2 h"]
    assert [figure(value) for value in (None, 0.5, 1234, "x")] == ["–", "0.500", "1,234", "x"]
    names = [metric(name) for name in ("validate abnormal auroc", "validate text", "train loss", "other")]
    assert names == ["abnormal AUROC", "text loss", "training total loss", "other"]
    assert facts({"ids": list(range(20)), "seed": 1}, "seed") == [
        ("Ids", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more")
    ]
