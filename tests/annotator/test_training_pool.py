"""What is trained on: the consensus where there is one, the source label elsewhere; and when training is due again."""

import pytest

from annotator.errors import InvalidInput
from annotator.models import Checkpoint, Consensus, Recording, SourceLabel, TrainingRun
from annotator.models.jobs import JobState
from annotator.selectors import candidates, training_pool
from annotator.services import checkpoints
from tests.annotator.reading_world import AF, LBBB, SINUS, make_round, person, read, recordings, says, scheme

pytestmark = pytest.mark.django_db


def entries(training: bool = False):
    ids = list(Recording.objects.values_list("dataset", flat=True).distinct())
    return {entry.id: entry for entry in training_pool.manifest_entries(ids, training=training)}


def test_source_labels_hold_until_somebody_has_read():
    first, second = recordings(2)
    SourceLabel.objects.create(recording=second, system="snomed", source_code=LBBB, code=LBBB)
    found = entries()
    assert found[first.pk].labels == {SINUS: 1, LBBB: 0}
    assert found[second.pk].labels == {SINUS: 1, LBBB: 1}
    assert (found[first.pk].abnormal, found[first.pk].label_source, found[first.pk].text) == (0, "source", "old text")
    assert found[first.pk].weight < 1
    assert found[first.pk].group == f"r{first.pk}"


def test_codes_unknown_to_the_scheme_or_doubted_by_their_source_are_unknown():
    one = recordings(1, codes=())[0]
    SourceLabel.objects.create(recording=one, system="snomed", source_code="999", code="")
    assert entries()[one.pk].labels == {}
    SourceLabel.objects.create(recording=one, system="snomed", source_code=SINUS, code=SINUS)
    SourceLabel.objects.create(recording=one, system="snomed", source_code=AF, code=AF, likelihood=0.2)
    assert entries()[one.pk].labels == {SINUS: 1}


def test_a_correction_replaces_labels_and_text():
    make_round(1)
    item = read(person("ann"), says(AF))
    entry = entries()[item.recording_id]
    assert (entry.label_source, entry.abnormal, entry.weight) == ("consensus", 1, 1.0)
    assert entry.text == "Atrial fibrillation."  # of the corrected label, never the old text
    assert entry.labels == {SINUS: 0, AF: 1}


def test_agreement_keeps_the_text():
    make_round(1)
    item = read(person("ann"), says(SINUS))
    assert entries()[item.recording_id].text == "old text"


def test_where_nobody_wrote_a_report_the_statements_are_the_text():
    sure, doubted, silent = recordings(3)
    Recording.objects.update(report_text="")
    SourceLabel.objects.create(recording=sure, system="snomed", source_code=LBBB, code=LBBB)
    SourceLabel.objects.create(recording=doubted, system="snomed", source_code=AF, code=AF, likelihood=0.2)
    SourceLabel.objects.filter(recording=silent).delete()
    found = entries()
    assert found[sure.pk].text == "Sinus rhythm. Left bundle branch block."
    assert found[doubted.pk].text == "Sinus rhythm and possible atrial fibrillation."
    assert found[silent.pk].text == ""


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (says(AF, text="AF with a fast response"), "AF with a fast response"),
        (says(overall="normal"), "Normal ECG."),
        (says(SINUS), "Sinus rhythm."),
    ],
)
def test_a_consensus_gives_its_own_words_or_a_sentence(answer, text):
    make_round(1)
    Recording.objects.update(report_text="")
    item = read(person("ann"), answer)
    assert entries()[item.recording_id].text == text


def test_what_nobody_can_read_is_not_trained_on():
    make_round(1)
    item = read(person("ann"), says(overall="unreadable", unreadable_reason="noise"))
    assert entries()[item.recording_id].abnormal is None
    assert entries(training=True) == {}


def train() -> TrainingRun:
    dataset_id = Recording.objects.values_list("dataset", flat=True)[0]
    return checkpoints.start_training(
        config_name="tiny_cpu", config={"epochs": 1}, dataset_ids=[dataset_id], seed=0, by=None
    )


def test_provenance_names_the_corrections_of_the_train_split():
    turn = make_round(3)
    reader = person("ann")
    items = [read(reader, says(code)) for code in (AF, SINUS, LBBB)]
    Recording.objects.filter(pk=items[2].recording_id).update(split="validate")
    known = checkpoints.provenance_of(train())
    assert known["corrections"]["recording_ids"] == [items[0].recording_id]
    assert known["corrections"]["consensus_ids"] == [Consensus.objects.get(recording=items[0].recording_id).pk]
    assert known["rounds"] == [turn.number]
    assert known["datasets"][0]["name"] == "made"


def finished(run: TrainingRun, state: str = "current") -> None:
    TrainingRun.objects.filter(pk=run.pk).update(state=JobState.FINISHED)
    Checkpoint.objects.create(run=run, state=state, path="x", sha256="0", label_codes=[], provenance={})


def test_training_is_due_after_enough_corrections_and_once(settings):
    settings.RETRAIN_AFTER_CORRECTIONS = 2
    make_round(3)
    reader = person("ann")
    assert checkpoints.retrain_when_due() is None
    finished(train())
    read(reader, says(AF))
    read(reader, says(SINUS))
    assert checkpoints.retrain_when_due() is None
    read(reader, says(LBBB))
    due = checkpoints.retrain_when_due()
    assert due is not None
    assert due.config == {"epochs": 1}
    assert "2 corrections" in due.trigger
    assert checkpoints.retrain_when_due() is None
    TrainingRun.objects.filter(pk=due.pk).update(state=JobState.FAILED)
    assert checkpoints.retrain_when_due() is None  # a failing rule does not try for ever


def test_zero_turns_the_rule_off(settings):
    settings.RETRAIN_AFTER_CORRECTIONS = 0
    make_round(1)
    finished(train())
    read(person("ann"), says(AF))
    assert checkpoints.retrain_when_due() is None


def test_nothing_to_train_on_is_refused():
    recordings(1)
    Recording.objects.update(split="test")
    scheme()
    with pytest.raises(InvalidInput, match="train split"):
        train()


def test_a_round_chooses_from_the_readable_and_unsettled_of_its_split():
    turn = make_round(4)
    item = read(person("ann"), says(AF))
    rest = list(Recording.objects.exclude(pk=item.recording_id).order_by("pk"))
    Recording.objects.filter(pk=rest[0].pk).update(quality={"readable": False})
    Recording.objects.filter(pk=rest[1].pk).update(split="test")
    turn.strategy = "relabel"
    turn.save()
    assert candidates.columns(turn).ids_N.tolist() == [rest[2].pk]
    turn.strategy = "random"
    turn.save()
    drawn_from = candidates.columns(turn)
    assert {one.id: one.given for one in drawn_from.describe(drawn_from.ids_N)} == {
        rest[2].pk: False,
        item.recording_id: True,
    }
