"""Two rounds on real recordings of PTB-XL with injected label errors, through the browser, from import to release."""

from tests.loop.recordings import ptbxl_pool
from tests.loop.story import walk_two_rounds
from tests.loop.system import running_system

TRAINING = {"epochs": 5, "batch": 16}


def test_two_rounds_on_real_recordings(tmp_path, browser, real_data):
    with running_system() as system:
        pool = ptbxl_pool(system.home / "imports" / "pool", real_data / "ptb-xl", count=320, error_rate=0.1, seed=3)
        walk_two_rounds(system, browser, pool, tmp_path, training=TRAINING, budgets=(18, 6))
