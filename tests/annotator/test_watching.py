"""Watch folders: what is still being written waits, two workers never take one file twice, nothing there is touched."""

import errno
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from annotator.models import Arrival, ArrivalBatch, ProspectiveTest
from annotator.services import arrivals, prospective, watching
from tests.annotator import prospective_world as world
from tests.annotator.manage_world import admin

State = Arrival.State
HEADER = "{0} 1 100 200\n{0}.dat 16 1000/mV 16 0 0 0 0 I\n"


@pytest.fixture
def ward(settings, tmp_path) -> Path:
    settings.IMPORT_DIR = tmp_path
    (tmp_path / "ward").mkdir()
    return tmp_path / "ward"


@pytest.fixture
def test(db, ward) -> ProspectiveTest:
    return world.running(watch_path="ward")


def put(folder: Path, name: str = "r1", value: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.hea").write_text(HEADER.format(name))
    (folder / f"{name}.dat").write_bytes(bytes([value, 0]) * 200)


def states(test: ProspectiveTest) -> dict[str, str]:
    return dict(test.arrivals.exclude(state=State.SETTLING).values_list("name", "state"))


def test_a_file_is_taken_once_it_has_stopped_changing(test, ward):
    put(ward / "Ward A")
    assert watching.look() == 0
    with (ward / "Ward A" / "r1.dat").open("ab") as file:
        file.write(b"more")
    assert watching.look() == 0
    assert watching.look() == 1
    assert watching.look() == 0
    arrival = test.arrivals.get()
    assert (arrival.name, arrival.centre, arrival.state, arrival.source) == ("Ward A/r1", "Ward A", "waiting", "folder")
    assert {path.name for path in arrivals.folder_of(arrival).iterdir()} == {"r1.hea", "r1.dat"}
    assert {path.name for path in (ward / "Ward A").iterdir()} == {"r1.hea", "r1.dat"}
    os.utime(ward / "Ward A" / "r1.dat", (1, 1))  # touched, but the same
    assert watching.look() + watching.look() == 1
    assert test.arrivals.get(state=State.DUPLICATE).duplicate_of == arrival


def test_a_header_waits_for_its_samples_and_samples_for_their_header(test, ward):
    (ward / "r2.hea").write_text(HEADER.format("other"))
    (ward / "alone.dat").write_bytes(b"x" * 400)
    assert watching.look() + watching.look() + watching.look() == 0
    (ward / "other.dat").write_bytes(bytes(400))
    assert watching.look() + watching.look() == 1
    assert {path.name for path in arrivals.folder_of(test.arrivals.get(name="r2")).iterdir()} == {"r2.hea", "other.dat"}
    test.arrivals.filter(state=State.SETTLING).update(received_at=timezone.now() - timedelta(seconds=90))
    assert watching.look() == 1, "after a minute the samples that nobody names are taken, to be refused by name"
    assert states(test) == {"r2": "waiting", "alone": "waiting"}
    [batch] = ArrivalBatch.objects.all()
    attempt = arrivals.job_state.take(ArrivalBatch, batch.pk)
    arrivals.gather(batch=batch, attempt=attempt)
    arrivals.read(batch=batch, attempt=attempt)
    refused = test.arrivals.get(name="alone")
    assert refused.state == State.REFUSED
    assert "alone" in refused.reason


def test_links_hidden_files_and_what_is_gone_are_passed_over(test, ward, tmp_path):
    put(tmp_path / "elsewhere")
    (ward / "link.txt").symlink_to(tmp_path / "elsewhere" / "r1.dat")
    (ward / ".r1.part").write_bytes(b"x")
    (ward / "gone.txt").write_text("1")
    watching.look()
    (ward / "gone.txt").unlink()
    watching.look()
    assert not test.arrivals.exists()


def test_what_changes_while_it_is_copied_is_taken_at_a_later_look(test, ward, monkeypatch):
    put(ward)
    assert watching.look() == 0
    copy = arrivals.keep

    def written_on(files):
        kept = copy(files)
        with (ward / "r1.dat").open("ab") as file:
            file.write(b"more")
        return kept

    with monkeypatch.context() as patch:
        patch.setattr(arrivals, "keep", written_on)
        assert watching.look() == 0
    assert list((ward.parent / "arrivals").iterdir()) == []
    assert watching.look() + watching.look() == 1


def test_a_link_that_takes_the_place_of_a_file_is_not_followed(test, ward, tmp_path, monkeypatch):
    put(ward)
    (tmp_path / "secret").write_bytes(b"another ward's")
    assert watching.look() == 0
    copy = arrivals.keep

    def swapped(files):
        (ward / "r1.dat").unlink()
        (ward / "r1.dat").symlink_to(tmp_path / "secret")
        return copy(files)

    monkeypatch.setattr(arrivals, "keep", swapped)
    assert watching.look() == 0
    assert "can't be copied" in test.arrivals.get(state=State.REFUSED).reason


def test_a_file_too_large_is_refused_by_name(test, ward, settings):
    settings.ARRIVAL_LIMIT_MB = 1
    for name in ("big", "bigger"):
        (ward / f"{name}.txt").write_bytes(b"1 " * 600_000)
    watching.look()
    watching.look()
    assert states(test) == {"big": "refused", "bigger": "refused"}
    assert "larger than 1 MB" in test.arrivals.get(name="big").reason
    assert not any((settings.IMPORT_DIR / "arrivals").iterdir())


def test_what_fails_in_one_folder_stops_no_other_and_no_room_refuses_nothing(test, ward, monkeypatch):
    (ward.parent / "theatre").mkdir()
    other = world.running(test.checkpoint, name="Other", watch_path="theatre")
    put(ward)
    put(ward.parent / "theatre")
    watching.look()
    keep, full = arrivals.keep, iter([True])

    def no_room_at_first(files):
        if next(full, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        return keep(files)

    monkeypatch.setattr(arrivals, "keep", no_room_at_first)
    assert watching.look() == 1
    assert sorted(map(len, (states(test), states(other)))) == [0, 1]
    assert watching.look() == 1
    assert states(test) == states(other) == {"r1": "waiting"}


def test_nobody_looks_for_a_test_that_has_ended_or_into_a_folder_that_is_gone(test, ward):
    put(ward)
    watching.look()
    ward.rename(ward.with_name("away"))
    assert watching.look() == 0
    ward.with_name("away").rename(ward)
    prospective.end(test=test, by=admin())
    assert watching.look() == 0


@pytest.mark.django_db(transaction=True)
def test_workers_that_look_at_once_take_each_file_once(ward):
    test = world.running(watch_path="ward")
    for number in range(6):
        put(ward, f"r{number}", number + 1)
    watching.look()
    start, taken = threading.Barrier(4), []

    def look() -> None:
        start.wait()
        taken.append(watching.look())
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sum(taken) == 6
    assert test.arrivals.filter(state=State.WAITING).count() == 6
    assert ArrivalBatch.objects.count() == 1
