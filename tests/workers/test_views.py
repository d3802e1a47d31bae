"""No head that doubts labels sees what labels have shaped."""

import numpy as np
import pytest

from annotator.models import Checkpoint, Prediction, TrainingRun
from ecgfm_core.active import crossfit
from ecgfm_core.signal import random_kernels
from tests.annotator import rerank_world
from workers import embedding_files, views

NONE = {"classification_weight": 0, "text_weight": 0}


@pytest.mark.parametrize(
    ("config", "seen"),
    [
        ({}, slice(-random_kernels.WIDTH, None)),
        ({"classification_weight": 0}, slice(-random_kernels.WIDTH, None)),  # its text tells the labels
        ({"text_weight": 0}, slice(-random_kernels.WIDTH, None)),
        ({"text_weight": 0, "head_gradient": 0}, slice(None)),
        (NONE, slice(None)),
    ],
)
def test_heads_see_what_no_label_has_shaped(config: dict[str, float], seen: slice) -> None:
    run = TrainingRun(config_name="tiny_cpu", config=config)
    assert views.untaught(Checkpoint(run=run)) == seen


@pytest.mark.django_db
@pytest.mark.parametrize("config", [{}, NONE])
def test_features_of_the_fast_loop_leave_the_taught_part_out(config: dict[str, float], places) -> None:
    point, _ = rerank_world.pool(60)
    TrainingRun.objects.filter(pk=point.run_id).update(config_name="tiny_cpu", config=config)
    rows = list(Prediction.objects.filter(checkpoint=point).order_by("recording_id"))
    random_ND = np.random.default_rng(0).normal(size=(60, random_kernels.WIDTH)).astype(np.float16)
    for row, random_D in zip(rows, random_ND, strict=True):
        row.embedding = [100.0 * row.recording.source_abnormal] * 4 + random_D.tolist()  # tells the label on file
    Prediction.objects.bulk_update(rows, ["embedding"])
    found, without = embedding_files.opened(point.pk).features_NR, crossfit.reduce(random_ND).astype(np.float16)
    assert np.array_equal(found, without) is (config == {})
