"""Two real records of MIT-BIH become beats with their known classes, intervals and places."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from ecgfm_core.downstream import beats
from ecgfm_core.leads import STANDARD_LEADS

# Counts of N, S, V, F, Q, from the set's own table of beats.
KNOWN = {"100": ("II V5", (2239, 33, 1, 0, 0)), "208": ("II V1", (1586, 2, 992, 373, 2))}


@pytest.fixture(scope="module")
def two_records(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract two records."""
    folder = tmp_path_factory.mktemp("two")
    with zipfile.ZipFile(real_data / "mitdb.zip") as archive:
        for name in KNOWN:
            for suffix in (".hea", ".dat", ".atr"):
                archive.extract(f"{name}{suffix}", folder)
    return folder


@pytest.mark.parametrize("name", KNOWN)
def test_a_real_record_has_its_known_beats_on_its_r_waves(two_records: Path, name: str) -> None:
    record = beats.load_record(two_records, name, 100.0)
    leads, counts = KNOWN[name]
    assert " ".join(STANDARD_LEADS[row] for row in record.lead_rows) == leads
    assert tuple(np.bincount(record.class_M, minlength=5)) == counts
    assert (np.diff(record.sample_M) > 0).all()
    assert record.rr_MF.shape == (sum(counts), len(beats.RR_FEATURES))
    before, after = beats.window_samples(100.0, 4)
    highest = np.abs(beats.usual_beat(record, before, after)[STANDARD_LEADS.index("II")]).argmax()
    assert abs(highest - before) <= 2  # 20 ms


def test_a_real_premature_beat_comes_early(two_records: Path) -> None:
    record = beats.load_record(two_records, "100", 100.0)
    early = record.rr_MF[:, beats.RR_FEATURES.index("before / local")]
    assert np.median(early[record.class_M == 1]) < np.log(0.85) < np.percentile(early[record.class_M == 0], 1)
