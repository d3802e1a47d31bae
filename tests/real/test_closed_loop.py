"""Two rounds on real recordings of PTB-XL with injected label errors, through the browser, from import to release."""

from tests.loop.recordings import ptbxl_pool
from tests.loop.story import Story, check_release
from tests.loop.system import running_system

TRAINING = {"epochs": 8, "batch": 16}


def test_two_rounds_on_real_recordings(tmp_path, browser, real_data):
    with running_system() as system:
        pool = ptbxl_pool(system.home / "imports" / "pool", real_data / "ptb-xl", count=400, error_rate=0.1, seed=3)
        story = Story(system, browser, pool, training=TRAINING)
        first_checkpoint = story.train(promote=False)
        first = story.turn(budget=24, seed=1)
        assert first.precision >= 3 * pool.error_rate
        assert first.adjudicated >= 1
        second_checkpoint = story.train(promote=True)
        assert len(story.corrections_named(second_checkpoint)) == first.corrections > 0
        assert story.corrections_named(first_checkpoint) == set()
        second = story.turn(budget=8, seed=2)
        assert second.chosen
        check_release(story.release(tmp_path), story)
        story.close()
