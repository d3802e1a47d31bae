"""Choose what a round reads from a million candidates: seconds and peak memory, from rows in PostgreSQL to the queue.

    python benchmarks/choose_million.py [--recordings 1000000] [--width 64] [--budgets 1000 10000]

Starts PostgreSQL and Valkey of its own in a temporary folder and makes recordings, source labels and predictions with
random scores and embeddings; a tenth of the first are copies of others. Each row is a process of its own that fills one
round as a worker does; `choose_s` is `select` alone on the columns, `peak_mb` the process's largest resident set.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
BATCH = 100_000
CODES = 20
CENTRES = 40
WAVEFORMS = """
INSERT INTO annotator_waveform SELECT lpad(n::text, 64, '0'),
    '{I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6}', 500, 5000, 0.001, true, '' FROM generate_series(%(first)s, %(last)s) n
"""
RECORDINGS = """
INSERT INTO annotator_recording (id, dataset_id, name, waveform_id, patient_hash, split, sex, centre, report_text,
    quality, source_abnormal, imported_at, age_years)
SELECT n, %(dataset)s, n::text, lpad(n::text, 64, '0'), '', 'train', 'F',
    'centre ' || floor(%(centres)s * random() ^ 2)::int, 'sinus rhythm', '{}', random() < 0.5, now(), 60
FROM generate_series(%(first)s, %(last)s) n
"""
LABELS = """
INSERT INTO annotator_sourcelabel (recording_id, system, source_code, code)
SELECT n, 'snomed', code::text, (1000 + code)::text
FROM generate_series(%(first)s, %(last)s) n, generate_series(0, 1) part,
    LATERAL (SELECT floor(%(codes)s * random() ^ 3)::int * 2 + part AS code) drawn
"""
PREDICTIONS = """
INSERT INTO annotator_prediction (checkpoint_id, recording_id, abnormal_probability, label_probabilities,
    crossfit_abnormal_probability, label_error, label_set_error, epistemic, novelty, entropy, label_error_detail,
    generated_text, embedding)
SELECT %(checkpoint)s, n, random(), '{0.5}', random(), -ln(1 - 0.93 * random()), -ln(1 - 0.93 * random()), random(),
    random(), random(), '{"votes": 2, "models": 3}', '',
    vector::halfvec
FROM generate_series(%(first)s, %(last)s) n,
    LATERAL (SELECT array_agg(random()::real) AS vector FROM generate_series(1, %(width)s) WHERE n > 0) drawn
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--budgets", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(fill(options.one)))
        return
    home = Path(tempfile.mkdtemp(prefix="ecgfm-choose-"))
    home.chmod(0o711)
    os.environ["ECGFM_HOME"] = str(home)
    try:
        start = time.monotonic()
        rounds = prepare(options)
        print(f"{options.recordings:,} recordings made in {time.monotonic() - start:.0f} s", flush=True)
        names = ("strategy", "budget", "columns_s", "choose_s", "fill_s", "peak_mb", "items")
        print(" ".join(f"{name:>11}" for name in names))
        for pk in rounds:
            command = [sys.executable, __file__, "--one", str(pk)]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            cells = (f"{row[name]:.1f}" if isinstance(row[name], float) else row[name] for name in names)
            print(" ".join(f"{cell:>11}" for cell in cells), flush=True)
    finally:
        from launcher.services import stop_services

        stop_services(home)
        shutil.rmtree(home, ignore_errors=True)


def set_up() -> None:
    """Connect Django to the services of ECGFM_HOME."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "annotator.settings"
    os.environ["LOG_LEVEL"] = "ERROR"
    for name in ("DATABASE_URL", "BROKER_URL"):
        os.environ.pop(name, None)
    from launcher.services import ensure_services

    ensure_services()
    import django

    django.setup()


def prepare(options: argparse.Namespace) -> list[int]:
    """Make the rows and the rounds to be filled; return the rounds."""
    set_up()
    from django.core.management import call_command
    from django.db import connection

    from annotator.models import Checkpoint, Dataset, Round, TrainingRun, User
    from annotator.services.schemes import ensure_scheme

    call_command("migrate", verbosity=0)
    scheme = ensure_scheme()
    dataset = Dataset.objects.create(name="bench")
    boss = User.objects.create_user("boss", role="admin")
    run = TrainingRun.objects.create(config_name="tiny_cpu", scheme=scheme, created_by=boss, state="finished")
    point = Checkpoint.objects.create(run=run, state="current", path="none", sha256="0" * 64, label_codes=["1"],
                                      provenance={})  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica; SET synchronous_commit = off")  # rows that fit anyway
        for first in range(1, options.recordings + 1, BATCH):
            values = {
                "first": first, "last": min(first + BATCH - 1, options.recordings), "dataset": dataset.pk,
                "centres": CENTRES, "codes": CODES, "checkpoint": point.pk, "width": options.width,
            }  # fmt: skip
            for statement in (WAVEFORMS, RECORDINGS, LABELS, PREDICTIONS):
                cursor.execute(statement, values)
        # Copies, so that there is something to pass over: every tenth of the most doubtful has its neighbour's.
        cursor.execute(
            "UPDATE annotator_prediction one SET embedding = other.embedding FROM annotator_prediction other"
            " WHERE one.label_error > 2.5 AND one.recording_id % 10 = 0 AND other.recording_id = one.recording_id - 1"
            " AND other.label_error > 2.4"
        )
        cursor.execute("ANALYZE")
    made = []
    for strategy in ("relabel", "uncertainty", "random"):
        for budget in options.budgets:
            row = Round.objects.create(
                number=len(made) + 1, scheme=scheme, checkpoint=point, strategy=strategy, budget=budget,
                state="filling", created_by=boss,
            )  # fmt: skip
            row.datasets.set([dataset])
            made.append(row.pk)
    return made


def fill(pk: int) -> dict[str, Any]:
    """Fill one round as a worker does, with the time that each part takes."""
    set_up()
    from annotator.models import Round
    from annotator.selectors import candidates
    from workers import filling

    times = {"columns_s": 0.0, "choose_s": 0.0}
    timed(candidates, "columns", times, "columns_s")
    timed(filling, "select", times, "choose_s")
    start = time.monotonic()
    filling.fill(pk)
    row = Round.objects.get(pk=pk)
    assert row.state == "filled", row.failure
    return times | {
        "strategy": row.strategy,
        "budget": row.budget,
        "fill_s": time.monotonic() - start,
        "items": row.items.count(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def timed(module: Any, name: str, times: dict[str, float], key: str) -> None:
    """Add up the time that a function of a module takes."""
    whole = getattr(module, name)

    def measured(*args: Any, **options: Any) -> Any:
        start = time.monotonic()
        try:
            return whole(*args, **options)
        finally:
            times[key] += time.monotonic() - start

    setattr(module, name, measured)


if __name__ == "__main__":
    main()
