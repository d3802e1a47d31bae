"""From a correction to a re-ordered queue, on a pool of a million: seconds, memory, and what claimers notice of it.

    python benchmarks/rerank_million.py [--recordings 1000000] [--queue 20000] [--readers 4] [--seconds 60]

Starts PostgreSQL, Valkey and a worker of its own in a temporary folder. The pool is made: recordings of many kinds,
some of which are abnormal and called normal wherever they stand, and labels flipped by chance. First a reader gives
ten corrections and waits for the new order, some times over; then several readers claim and answer, each in a process
of its own, while the worker puts the queue into a new order again and again. No item may be handed out twice, none may
be lost, and what the strategy did not choose stays where it was: the run ends with an error otherwise.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
from rerank_pool import AF, WIDTH, made_pool, store_predictions

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
SINUS = "426783006"
GIB = 1 << 30
AIM_S, AIM_GIB = 10, 3
WAIT_S = 300


def main() -> None:
    """Make the pool, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=1_000_000)
    parser.add_argument("--queue", type=int, default=20_000)
    parser.add_argument("--readers", type=int, default=4, help="processes that claim and answer meanwhile")
    parser.add_argument("--pause", type=float, default=0.25, help="seconds that a reader takes for an answer")
    parser.add_argument("--seconds", type=float, default=60, help="for which they read")
    parser.add_argument("--repeats", type=int, default=3, help="of ten corrections by one reader alone")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="ecgfm-rerank-"))
    home.chmod(0o711)
    try:
        print_table(options, run(home, options))
    finally:
        from launcher.services import stop_services

        stop_services(home)
        shutil.rmtree(home, ignore_errors=True)


def run(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures."""
    from claims import prepare

    prepare(home)
    said("Making the pool")
    truth_N = made_pool(home, options.recordings)
    round_pk, figures = scored_and_filled(options)
    places = fixed_places(round_pk)
    with worker(home) as process:
        used = processor_s(process)
        with_corrections_alone(round_pk, home, truth_N, options.repeats, figures)
        figures["processor_s"] = (processor_s(process) - used) / options.repeats
        with_readers(round_pk, home, options, figures)
        figures["worker_gib"] = max(peak_gib(one.pid) for one in [process, *process.children(recursive=True)])
    check_queue(round_pk, places, options)
    return figures


def said(words: str) -> None:
    """Say on stderr what is done, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def scored_and_filled(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Store the predictions as a scoring run does, write the files, open a round; times each."""
    from annotator.models import Dataset, LabelScheme, Round, ScoringRun, TrainingRun, User
    from annotator.models.checkpoints import Checkpoint
    from annotator.services import rounds

    figures: dict[str, Any] = {}
    boss = User.objects.create_user("boss", role="admin")
    trained = TrainingRun.objects.create(config_name="tiny_cpu", scheme=LabelScheme.objects.get(), state="finished")
    checkpoint = Checkpoint.objects.create(
        run=trained, state="current", path="run-1", sha256="0" * 64, label_codes=["164854000"], provenance={}
    )
    scoring_run = ScoringRun.objects.create(checkpoint=checkpoint, state="running", attempt=1)
    said("Storing predictions")
    store_predictions(scoring_run, Path(os.environ["ECGFM_HOME"]) / "pool.npy")
    ScoringRun.objects.update(state="finished")
    said("Writing the files out of PostgreSQL")
    figures["files_s"], figures["files_gib"] = in_a_process(write_files, checkpoint.pk)
    said("Baseline: features from the file of embeddings")
    figures["reduce_s"], _ = in_a_process(reduce_again, checkpoint.pk)
    made = rounds.create_round(
        dataset_ids=[Dataset.objects.get().pk], checkpoint=checkpoint, by=boss, strategy="relabel",
        budget=options.queue, audit_share=0.1, readers_per_item=1, reveal="never", seed=1,
    )  # fmt: skip
    said("Filling the queue")
    figures["fill_s"], figures["fill_gib"] = in_a_process(fill, made.pk)
    made.refresh_from_db()
    assert made.state == Round.State.FILLED, made.failure
    rounds.open_round(round=made, by=boss)
    return made.pk, figures


def in_a_process(work: Callable[[int], None], pk: int) -> tuple[float, float]:
    """Run in a fresh process; returns seconds and the most memory it held, in GiB."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(timed, work, pk).result()


def timed(work: Callable[[int], None], pk: int) -> tuple[float, float]:
    """Set up Django, run, and measure."""
    sys.path.insert(0, str(ROOT))
    import django

    django.setup()
    start = time.perf_counter()
    work(pk)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def write_files(checkpoint_pk: int) -> None:
    """Write the embedding files of a checkpoint."""
    from workers import embedding_files

    embedding_files.write(checkpoint_pk)


def reduce_again(checkpoint_pk: int) -> None:
    """Do what a re-ordering would do without stored features."""
    from ecgfm_core.active import crossfit, embedding_store
    from workers import embedding_files

    crossfit.reduce(embedding_store.load(embedding_files.folder_of(checkpoint_pk)).embeddings_ND)


def fill(round_pk: int) -> None:
    """Fill the round as a worker does."""
    from annotator.models import Round
    from workers import filling

    Round.objects.filter(pk=round_pk).update(state="filling")
    filling.fill(round_pk)


@contextmanager
def worker(home: Path) -> Iterator[psutil.Process]:
    """A worker for the queue that re-orderings go to."""
    # fmt: off
    command = [sys.executable, "-m", "celery", "--app", "workers.app", "worker", "--queues", "loop",
               "--concurrency", "1", "--without-mingle", "--without-gossip", "--without-heartbeat",
               "--loglevel", "INFO"]
    # fmt: on
    with (home / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until_ready(home / "worker.log", process)
        yield psutil.Process(process.pid)
    except BaseException:
        print((home / "worker.log").read_text(errors="replace")[-4000:], file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait(30)


def wait_until_ready(log: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the worker takes messages."""
    deadline = time.monotonic() + WAIT_S
    while b"ready." not in log.read_bytes():
        assert process.poll() is None, "the worker did not start"
        assert time.monotonic() < deadline, "the worker takes too long to start"
        time.sleep(0.1)


def processor_s(process: psutil.Process) -> float:
    """The processor time that a process and its children have used."""
    return sum(sum(one.cpu_times()[:2]) for one in [process, *process.children(recursive=True)])


def peak_gib(pid: int) -> float:
    """The most memory that a process has held, mapped files included, in GiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / GIB


def fixed_places(round_pk: int) -> dict[int, tuple[int, int]]:
    """Recording and rank of each item that no re-ordering may touch."""
    from annotator.models import QueueItem

    items = QueueItem.objects.filter(round=round_pk).exclude(origin="strategy")
    return {pk: (recording, rank) for pk, recording, rank in items.values_list("pk", "recording", "rank")}


def plant(round_pk: int, hidden: list[int]) -> None:
    """Put recordings of one hidden kind first, so that the next corrections are of that kind."""
    from annotator.models import QueueItem

    waiting = QueueItem.objects.filter(round=round_pk, state="waiting", origin="strategy").order_by("rank")
    inside = set(QueueItem.objects.filter(round=round_pk).values_list("recording", flat=True))
    coming = (pk for pk in hidden if pk not in inside)
    for item in waiting[:10]:
        QueueItem.objects.filter(pk=item.pk).update(recording=next(coming))


def waiting_of(round_pk: int, hidden: list[int]) -> int:
    """How many recordings of the hidden kind wait in the queue."""
    from annotator.models import QueueItem

    return QueueItem.objects.filter(round=round_pk, state="waiting", recording__in=hidden).count()


def reader(name: str) -> Any:
    """A reader of this name."""
    from annotator.models import User

    return User.objects.get_or_create(username=name, defaults={"role": "reader", "password": "!"})[0]


def answer(item: Any, by: Any, truth_N: np.ndarray) -> Any:
    """Give the true answer."""
    from annotator.services.annotations import submit_final
    from annotator.services.answers import Answer, Statement

    code = AF if truth_N[item.recording_id - 1] else SINUS
    return submit_final(item=item, reader=by, answer=Answer(statements=(Statement(code),)), idempotency_key=uuid4())


def with_corrections_alone(
    round_pk: int, home: Path, truth_N: np.ndarray, repeats: int, figures: dict[str, Any]
) -> None:
    """One reader answers until a re-ordering is asked for, then waits for it."""
    from annotator.models import Reranking
    from annotator.services import queue

    by, hidden = reader("alone"), np.load(home / "hidden.npy").tolist()
    figures |= {"alone_s": [], "alone_moved": [], "kind": len(hidden), "before": waiting_of(round_pk, hidden)}
    for number in range(repeats):
        said(f"Corrections by one reader, {number + 1} of {repeats}")
        plant(round_pk, hidden)
        while Reranking.objects.count() == number:
            answer(queue.claim_next(reader=by), by, truth_N)
        start = time.perf_counter()
        while Reranking.objects.filter(state="finished").count() <= number:
            time.sleep(0.02)
            failed = Reranking.objects.filter(state="failed").first()
            assert failed is None, failed.failure
            assert time.perf_counter() - start < WAIT_S, "no re-ordering came to an end"
        figures["alone_s"].append(time.perf_counter() - start)
        newest = Reranking.objects.latest("pk")
        figures["alone_moved"].append((newest.moved, newest.replaced))
    figures["after"] = waiting_of(round_pk, hidden)


def with_readers(round_pk: int, home: Path, options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Several readers go on while the queue is put into a new order; nothing may be doubled or lost."""
    from django.db import connections

    from annotator.models import Annotation, QueueItem, Reranking

    said(f"{options.readers} readers for {options.seconds:g} s")
    before = Reranking.objects.latest("pk").pk
    connections.close_all()
    arguments = [
        (f"reader{n}", options.seconds, options.pause, str(home / "truth.npy")) for n in range(options.readers)
    ]
    with ProcessPoolExecutor(options.readers, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(read_on, *zip(*arguments, strict=True)))
    logs = [log for log, _ in results]
    items = [item for log in logs for item, _ in log]
    claim_ms = sorted(ms for log in logs for _, ms in log)
    doubled = [item for item, often in Counter(items).items() if often > 1]
    answered = set(QueueItem.objects.filter(round=round_pk, state="answered").values_list("pk", flat=True))
    stored = Annotation.objects.filter(item__in=items, stage="final").count()
    figures |= {
        "answers": len(items), "doubled": len(doubled), "lost": len(set(items) - answered) + len(items) - stored,
        "empty": sum(empty for _, empty in results),
        "claim_p50_ms": statistics.median(claim_ms), "claim_p99_ms": claim_ms[int(len(claim_ms) * 0.99)],
        "claim_max_ms": claim_ms[-1],
    }  # fmt: skip
    deadline = time.monotonic() + WAIT_S
    while Reranking.objects.exclude(state="finished").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    runs = Reranking.objects.filter(pk__gt=before, state="finished")
    figures["busy_s"] = [(run.finished_at - run.created_at).total_seconds() for run in runs]
    figures["busy_took_s"] = [run.took_s for run in runs]
    assert not doubled, f"handed out twice: {doubled[:10]}"
    assert not figures["lost"], f"{figures['lost']} answers are lost"
    assert not figures["empty"], f"{figures['empty']} claims found nothing though thousands wait"


def read_on(name: str, seconds: float, pause_s: float, truth: str) -> tuple[list[tuple[int, float]], int]:
    """Claim and answer for a while; returns (item, ms of the claim) of each, and how many claims found nothing."""
    sys.path.insert(0, str(ROOT))
    import django

    django.setup()
    from annotator.services import queue

    by, truth_N, log, empty, until = reader(name), np.load(truth), [], 0, time.monotonic() + seconds
    while time.monotonic() < until:
        start = time.perf_counter()
        item = queue.claim_next(reader=by)
        claim_ms = (time.perf_counter() - start) * 1000
        if item is None:
            empty += 1
            continue
        time.sleep(pause_s)
        answer(item, by, truth_N)
        log.append((item.pk, claim_ms))
    return log, empty


def check_queue(round_pk: int, places: dict[int, tuple[int, int]], options: argparse.Namespace) -> None:
    """The queue is whole: as many items as before, each recording and each rank once, fixed places as they were."""
    from annotator.models import QueueItem

    items = list(QueueItem.objects.filter(round=round_pk).values_list("pk", "recording", "rank"))
    assert len({recording for _, recording, _ in items}) == len(items) == options.queue, "a recording stands twice"
    assert {rank for _, _, rank in items} == set(range(options.queue)), "a rank is missing"
    now = {pk: (recording, rank) for pk, recording, rank in items if pk in places}
    assert now == places, "an item of the audit share has moved"


def print_table(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Print the table as it stands in docs/results/rerank.md."""
    alone, busy = max(figures["alone_s"]), max(figures["busy_s"], default=float("nan"))
    moved, replaced = figures["alone_moved"][0]
    memory, fill = figures["worker_gib"], figures["fill_s"]

    def beside(seconds: float) -> str:
        return f"{seconds + alone:.0f} s, {(seconds + alone) / alone:.1f} times"

    print(f"\n{date.today()}: {options.recordings:,} recordings of width {WIDTH}, a queue of {options.queue:,}, "
          f"{os.cpu_count()} cores\n")  # fmt: skip
    print("| | measured | aim | |\n|---|---|---|---|")
    for what, measured, aim, reached in (
        ("tenth correction to the new order, nobody else reads", f"{alone:.1f} s", f"{AIM_S} s", alone <= AIM_S),
        (
            f"the same while {options.readers} readers go on, the slowest of {len(figures['busy_s'])}",
            f"{busy:.1f} s", f"{AIM_S} s", busy <= AIM_S,
        ),
        ("of that the work itself, the slowest", f"{max(figures['busy_took_s'], default=0):.1f} s", "", None),
        ("processor time of the worker for one", f"{figures['processor_s']:.1f} s", "", None),
        ("most memory of the worker", f"{memory:.2f} GiB", f"{AIM_GIB} GB", memory * GIB <= AIM_GIB * 1e9),
        (
            "answers meanwhile: in all, handed out twice, lost, claims that found nothing",
            f"{figures['answers']:,}, {figures['doubled']}, {figures['lost']}, {figures['empty']}", "0, 0, 0", True,
        ),
        (
            "a claim meanwhile: median, 99 %, slowest",
            " / ".join(f"{figures[f'claim_{name}_ms']:.0f}" for name in ("p50", "p99", "max")) + " ms", "", None,
        ),
        ("moved by the first ten corrections; from outside the queue", f"{moved:,}; {replaced:,}", "", None),
        (
            f"waiting recordings of a kind called normal throughout, of {figures['kind']:,}, before and after "
            f"{10 * options.repeats} corrections of it",
            f"{figures['before']:,}, {figures['after']:,}", "", None,
        ),
        (
            "files written out of PostgreSQL, once a checkpoint",
            f"{figures['files_s']:.0f} s, {figures['files_gib']:.2f} GiB", "", None,
        ),
        ("instead: all embeddings read from PostgreSQL each time", beside(figures["files_s"]), "", None),
        ("instead: features made anew from the file each time", beside(figures["reduce_s"]), "", None),
        (
            "instead: the queue filled anew, without new heads",
            f"{fill:.0f} s, {fill / alone:.1f} times, {figures['fill_gib']:.2f} GiB", "", None,
        ),
    ):  # fmt: skip
        words = {True: "reached", False: "not reached", None: ""}[reached]
        print(f"| {what} | {measured} | {aim} | {words} |")


if __name__ == "__main__":
    main()
