"""Two rounds on simulated recordings, through the browser, from import to release."""

from tests.loop.recordings import simulated_pool
from tests.loop.story import walk_two_rounds
from tests.loop.system import running_system

TRAINING = {"epochs": 5, "batch": 16, "text_tokens_max": 12}


def test_two_rounds_on_simulated_recordings(tmp_path, browser):
    with running_system() as system:
        pool = simulated_pool(system.home / "imports" / "pool", count=300, error_rate=0.1, seed=7)
        walk_two_rounds(system, browser, pool, tmp_path, training=TRAINING, budgets=(14, 6))
