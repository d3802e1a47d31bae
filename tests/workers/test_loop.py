"""Import, train, score, fill, release: each by a real worker process."""

from annotator.models import AuditEvent, Checkpoint, Prediction, Round, ScoringRun, Waveform
from annotator.models.jobs import JobState
from annotator.selectors import embeddings, gate
from annotator.services import checkpoints, ingest, releases, rounds
from ecgfm_core.active import embedding_store, meanings
from ecgfm_core.release_format import verify_release
from ecgfm_core.signal import random_kernels
from tests.workers.conftest import SMALL, ended, wait_for
from workers import embedding_files


def test_the_whole_loop(worker, simulated, places, admin, settings):
    run = ingest.start_import(path=str(simulated), dataset_name="sim", by=None)
    wait_for(lambda: ended(run), "the import")
    assert (run.state, run.added_count) == (JobState.FINISHED, 80), run.failure

    training = checkpoints.start_training(
        config_name="tiny_cpu", config=SMALL, dataset_ids=[run.dataset_id], seed=1, by=admin
    )
    wait_for(lambda: ended(training), "the training")
    assert training.state == JobState.FINISHED, training.failure + training.log
    checkpoint = Checkpoint.objects.get(run=training)
    assert checkpoint.state == "current"
    assert checkpoint.provenance["corrections"]["count"] == 0
    assert AuditEvent.objects.filter(action="checkpoint promoted", actor=None).exists()
    assert training.metrics.exists()
    assert training.progress["done"] == training.progress["total"] > 0

    scoring = ScoringRun.objects.get(checkpoint=checkpoint)
    wait_for(lambda: ended(scoring), "the scoring")
    assert scoring.state == JobState.FINISHED, scoring.failure
    assert Prediction.objects.filter(checkpoint=checkpoint).count() == 80
    one = Prediction.objects.filter(recording__split="train").first()
    assert one.label_error is not None
    assert one.label_error_detail["models"] == 15
    for name in set(meanings.NAMES) - {"novelty"}:  # nothing is annotated yet
        assert getattr(one, name) is not None, name
    assert one.novelty is None
    assert len(one.label_probabilities) == len(checkpoint.label_codes)
    assert len(one.embedding) == 4 * SMALL["width"] + random_kernels.WIDTH
    assert not Prediction.objects.filter(recording__split="test", label_error__isnull=False).exists()
    checkpoint.refresh_from_db()
    assert checkpoint.test_metrics["recordings"] == Prediction.objects.filter(recording__split="test").count() > 0
    assert gate.due() == []
    # The run's row ends first: a worker killed between the two leaves a folder, never a run without its predictions.
    wait_for(lambda: not list(settings.CHECKPOINT_DIR.glob("scoring-*")), "the removal of the run's folder")

    files = embedding_files.folder_of(checkpoint.pk)
    assert embedding_store.stamp_of(files) == embeddings.stamp(checkpoint.pk) == [1, scoring.pk]
    assert len(embedding_store.load(files).ids_N) == 80

    turn = rounds.create_round(
        dataset_ids=[run.dataset_id], strategy="relabel", budget=20, audit_share=0.1, readers_per_item=1,
        reveal="after_first_read", checkpoint=None, seed=0, by=admin,
    )  # fmt: skip
    rounds.request_fill(round=turn, by=admin)
    wait_for(lambda: Round.objects.get(pk=turn.pk).state != Round.State.FILLING, "filling")
    turn.refresh_from_db()
    assert turn.state == Round.State.FILLED, turn.failure
    assert turn.items.count() == 20
    assert turn.items.filter(origin="audit").count() == 2
    assert set(turn.items.values_list("recording__split", flat=True)) == {"train"}
    assert "models" in turn.items.filter(origin="strategy").first().reason

    release = releases.start_release(
        title="First", notes="", dataset_ids=[run.dataset_id], only_consensus=False, by=admin
    )
    wait_for(lambda: ended(release), "the release")
    assert release.state == JobState.FINISHED, release.failure
    assert release.recording_count == 80
    assert verify_release(settings.RELEASE_DIR / release.path) == []

    Waveform.objects.update(lead_names=[f"aux{n}" for n in range(len(Waveform.objects.first().lead_names))])
    nothing = checkpoints.start_scoring(checkpoint=checkpoint, dataset_ids=[run.dataset_id], by=admin)
    wait_for(lambda: ended(nothing), "the scoring of leads that no model knows")
    assert nothing.state == JobState.FINISHED, nothing.failure
    wait_for(lambda: not list(settings.CHECKPOINT_DIR.glob("scoring-*")), "the removal of the run's folder")
    assert embedding_store.stamp_of(files) == [1, scoring.pk], "a run that stored nothing writes no files"
