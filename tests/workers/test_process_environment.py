"""The environment that training and scoring run in."""

from workers import processes


def test_as_many_threads_as_set_and_waiting_ones_sleep(settings, monkeypatch):
    settings.TRAINING_THREADS = 3
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    environment = processes.environment()
    assert {environment[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS")} == {"3"}
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"


def test_what_the_operator_sets_wins(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    environment = processes.environment()
    assert (environment["OMP_WAIT_POLICY"], environment["MALLOC_TOP_PAD_"]) == ("ACTIVE", "1")
