"""The quality gate on real recordings: what people judged, and good ones of which none may be refused."""

import csv
from pathlib import Path
from typing import Any

import pytest

from ecgfm_core import formats
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.signal.quality import assess

SWAPPED = ("I", "III", "II", "aVL", "aVR", *STANDARD_LEADS[5:])


def found(path: Path, exchanged: bool = False) -> dict[str, Any]:
    """Judge a recording; with its arms exchanged if asked to."""
    one = formats.read(path, path.stem)
    waveform_mv, names = one.waveform_mv, one.lead_names
    if exchanged:
        waveform_mv, names = waveform_mv[[names.index(name) for name in SWAPPED]], STANDARD_LEADS
        waveform_mv[0] *= -1
    return assess(waveform_mv, one.sampling_rate_hz, names, one.calibrated)


def test_people_and_gate_agree(real_data: Path) -> None:
    with (real_data / "cinc2011" / "labels.csv").open() as file:
        said = {row["record"]: row["quality"] for row in csv.DictReader(file)}
    readable = {name: found(real_data / "cinc2011" / f"{name}.hea")["readable"] for name in said}
    shares = [
        sum(readable[name] == wanted for name in said if said[name] == word) / list(said.values()).count(word)
        for word, wanted in (("acceptable", True), ("unacceptable", False))
    ]
    assert sum(shares) / 2 >= 0.94


@pytest.mark.parametrize(("folder", "count"), [("ludb", 150), ("georgia", 20), ("ptb", 2)])
def test_no_good_recording_is_refused(real_data: Path, folder: str, count: int) -> None:
    judged = {path.stem: found(path) for path in sorted((real_data / folder).rglob("*.hea"))}
    assert len(judged) == count
    assert [name for name, one in judged.items() if not one["readable"]] == []
    assert [name for name, one in judged.items() if one["arms_swapped"]] == []
    assert min(one["score"] for one in judged.values()) > 0.9


def test_exchanged_arms_are_told(real_data: Path) -> None:
    paths = sorted((real_data / "ludb").rglob("*.hea"))
    told = [found(path, exchanged=True) for path in paths]
    assert sum(one["arms_swapped"] for one in told) >= 0.8 * len(paths)
    assert all(one["readable"] for one in told)


def test_leads_that_were_scaled_singly_are_told(real_data: Path) -> None:
    words = [found(path)["findings"] for path in sorted((real_data / "ludb").rglob("*.hea"))[:20]]
    assert sum("limb leads: each scaled on its own, heights can't be compared" in one for one in words) >= 18
    words = [found(path)["findings"] for path in sorted((real_data / "georgia").rglob("*.hea"))]
    assert not any("limb leads" in finding for one in words for finding in one)


@pytest.mark.parametrize("name", ["JS20008", "JS45542", "JS45551"])
def test_flat_leads_in_a_good_set_are_found(real_data: Path, name: str) -> None:
    [path] = (real_data / "chapman_ningbo").rglob(f"{name}.hea")
    one = found(path)
    assert one["flat_leads"]
    assert not one["readable"]
