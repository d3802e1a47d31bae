"""Every set gives the text task something to learn: a report that came with it, or a sentence of its statements."""

from pathlib import Path

import pytest

from ecgfm_core import datasets, labels
from ecgfm_core.recording import Recording
from ecgfm_core.reports import sentence, statements_in


def recordings(folder: Path, count: int) -> list[Recording]:
    return [entry.load() for _, entry in zip(range(count), datasets.iterate(folder), strict=False)]


def codes_of(recording: Recording) -> set[str]:
    return {code for one in recording.source_codes for code in labels.map_code(one.system, one.code)}


@pytest.mark.parametrize("name", ["ptb-xl", "georgia", "cpsc2018", "chapman_ningbo", "cpsc_extra"])
def test_statements_become_sentences_that_say_the_same(real_data: Path, name: str) -> None:
    found = recordings(real_data / name, 20)
    assert found
    for recording in found:
        assert recording.report_text == ""
        text = sentence(codes_of(recording))
        assert text
        assert set(statements_in(text)) == codes_of(recording)


def test_the_diagnoses_of_ludb_state_what_they_were_coded_as(real_data: Path) -> None:
    missed = []
    for recording in recordings(real_data / "ludb", 200):
        assert recording.report_text.startswith("Rhythm:")
        missed += [(recording.name, code) for code in codes_of(recording) - set(statements_in(recording.report_text))]
    assert len(missed) <= 3, missed
