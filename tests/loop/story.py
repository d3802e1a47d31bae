"""Two rounds of the loop from import to release, walked by two readers, an adjudicator, an admin and a researcher."""

import subprocess
import sys
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import wfdb
from playwright.sync_api import Browser

from ecgfm_core import labels
from tests.loop.actors import Adjudicator, Admin, Person, Reader
from tests.loop.recordings import NORMAL, Pool
from tests.loop.system import System

CHOSEN = "SELECT DISTINCT recording_id AS id FROM annotator_queueitem WHERE round_id = %s AND origin = 'strategy'"
CONSENSUS = """
    SELECT count(*) AS n, count(*) FILTER (WHERE corrects) AS corrected FROM annotator_consensus WHERE round_id = %s
"""
HELD = """
    SELECT DISTINCT ON (recording_id) recording_id AS id, overall FROM annotator_consensus WHERE round_id = %s
    ORDER BY recording_id, id DESC
"""
OVERLOOKS_EVERY = 6  # of the abnormal recordings that the second reader reads, the first one included


@dataclass
class Turn:
    """What one round found."""

    chosen: int
    wrong_among_chosen: int
    corrections: int
    adjudicated: int

    @property
    def precision(self) -> float:
        """Share of the recordings chosen by the strategy whose label was wrong."""
        return self.wrong_among_chosen / self.chosen


class Story:
    """The loop on one pool of recordings."""

    def __init__(self, system: System, browser: Browser, pool: Pool, *, training: dict[str, object]) -> None:
        self.system, self.pool, self.training = system, pool, training
        self.abnormal_read: dict[int, int] = {}
        self.admin = self._person(browser, Admin, "admin")
        system.passwords["second-reader"] = self.admin.create_person("second-reader", "reader")
        figures = self.admin.import_folder(pool.folder.name, "loop")
        assert f"{len(pool.true_codes)} added" in figures.inner_text().replace("\n", " ")
        rows = system.rows("SELECT id, name FROM annotator_recording")
        self.names = {row["id"]: row["name"] for row in rows}
        self.readers = [self._person(browser, Reader, "reader", knows=self.truth)]
        self.readers.append(self._person(browser, Reader, "second-reader", knows=self.overlooking))
        self.adjudicator = self._person(browser, Adjudicator, "adjudicator", knows=self.truth)
        self.researcher = self._person(browser, Person, "researcher")

    def _person(self, browser: Browser, kind: type, name: str, **more: object) -> object:
        return kind(browser, self.system.address, name, self.system.passwords[name], **more)

    def truth(self, recording: int) -> list[str]:
        """What is to be seen on a recording."""
        return self.pool.true_codes[self.names[recording]]

    def overlooking(self, recording: int) -> list[str]:
        """What a reader sees who now and then overlooks what is abnormal."""
        codes = self.truth(recording)
        if not labels.abnormal(codes):
            return codes
        place = self.abnormal_read.setdefault(recording, len(self.abnormal_read))
        return codes if place % OVERLOOKS_EVERY else [NORMAL]

    def train(self, *, promote: bool) -> int:
        """Train, score and, for a candidate, promote; return the checkpoint's number."""
        run = self.admin.train(self.training)
        (row,) = self.system.rows("SELECT id FROM annotator_checkpoint WHERE run_id = %s", run)
        self.admin.wait_for_scores()
        if promote:
            self.admin.promote(row["id"])
        return int(row["id"])

    def turn(self, *, budget: int, seed: int) -> Turn:
        """Walk through one round: both readers read all, the adjudicator settles, the admin closes."""
        row = self.admin.open_round(budget=budget, readers=2, seed=seed)
        for reader in self.readers:
            reader.read = []
            reader.read_all()
            assert len(reader.read) == len(set(reader.read)) == budget
        adjudicated = self.adjudicator.settle_all()
        self.admin.close_round(row)
        chosen = self.system.rows(CHOSEN, row)
        (consensus,) = self.system.rows(CONSENSUS, row)
        assert consensus["n"] == budget
        self._check_what_holds(row)
        wrong = sum(self.names[item["id"]] in self.pool.wrong for item in chosen)
        return Turn(len(chosen), wrong, consensus["corrected"], adjudicated)

    def _check_what_holds(self, row: int) -> None:
        """Every recording of a round says the truth now, whatever was on file and whoever overlooked it."""
        for held in self.system.rows(HELD, row):
            truth = labels.abnormal(self.truth(held["id"]))
            assert held["overall"] == ("abnormal" if truth else "normal"), self.names[held["id"]]

    def corrections_named(self, checkpoint: int) -> set[int]:
        """The consensus rows that a checkpoint's provenance says it was trained on as corrections."""
        (row,) = self.system.rows("SELECT provenance FROM annotator_checkpoint WHERE id = %s", checkpoint)
        return set(row["provenance"]["corrections"]["consensus_ids"])

    def release(self, folder: Path) -> Path:
        """Have a release built, download it as a researcher with a token, unpack it; return its folder."""
        number = self.admin.release("After two rounds")
        page = self.researcher.go("/tokens")
        page.locator("#token-name").fill("the test")
        page.get_by_role("button", name="Create").click()
        page.locator("[data-token]").wait_for()
        token = page.locator("[data-token]").inner_text()
        request = urllib.request.Request(
            f"{self.system.address}/api/v1/releases/{number}/download?format=wfdb",
            headers={"Authorization": f"Token {token}"},
        )
        archive = folder / "release.zip"
        with urllib.request.urlopen(request, timeout=60) as answer, archive.open("wb") as file:
            while chunk := answer.read(1 << 20):
                file.write(chunk)
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder / "release")
        (header,) = (folder / "release").rglob("manifest.json")
        return header.parent

    def close(self) -> None:
        """Close every browser window; none may have met an error."""
        for person in (self.admin, *self.readers, self.adjudicator, self.researcher):
            person.close()


def walk_two_rounds(
    system: System,
    browser: Browser,
    pool: Pool,
    folder: Path,
    *,
    training: dict[str, object],
    budgets: tuple[int, int],
) -> None:
    """Import, train, read a round, retrain on its corrections, read another, release; the first queue finds errors."""
    story = Story(system, browser, pool, training=training)
    untaught = story.train(promote=False)
    first = story.turn(budget=budgets[0], seed=1)
    print(f"wrong labels: {pool.error_rate:.2f} of all, {first.precision:.2f} of the first queue; {first}")
    assert first.precision >= 3 * pool.error_rate
    assert first.adjudicated >= 1
    taught = story.train(promote=True)
    assert len(story.corrections_named(taught)) == first.corrections > 0
    assert story.corrections_named(untaught) == set()
    second = story.turn(budget=budgets[1], seed=2)
    print(f"second queue: {second.precision:.2f}; {second}")
    check_release(story.release(folder), story)
    story.close()


def check_release(folder: Path, story: Story) -> None:
    """A release verifies, and loads with wfdb, pandas and pyarrow; what it says is the consensus."""
    subprocess.run([sys.executable, "-m", "ecgfm_core.cli", "verify-release", str(folder)], check=True)
    recordings = pd.read_parquet(next(folder.rglob("recordings.parquet")))
    assert len(recordings) == len(story.names)
    annotations = pq.read_table(next(folder.rglob("annotations.parquet")))
    (stored,) = story.system.rows("SELECT count(*) AS n FROM annotator_annotation")
    assert annotations.num_rows == stored["n"]
    header = sorted(folder.rglob("*.hea"))[0]
    record = wfdb.rdrecord(str(header.with_suffix("")))
    assert np.isfinite(record.p_signal).any()
    assert any(comment.startswith("Dx:") for comment in record.comments)
