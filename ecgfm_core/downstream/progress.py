"""Progress of long work on the terminal, with the time left, and in the run's folder; a place to stop."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from ecgfm_core.training.run_folder import RunFolder

_LOOK_S = 1.0


class Bar:
    """A bar on the terminal; every move of it writes the run's progress and is a place where the run may stop."""

    def __init__(self, message: str, unit: str, folder: RunFolder) -> None:
        self.message, self.folder = message, folder
        self._bar = tqdm(desc=message, unit=f" {unit}", file=sys.stderr, leave=True)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()

    def to(self, done: int, total: int) -> None:
        """Move to `done` of `total`; raises `Stopped` once someone asked to stop."""
        self.folder.check_stop()
        self.folder.progress(self.message, step=done, total_steps=total)
        self._move(done, total)

    def _move(self, done: float, total: int) -> None:
        self._bar.total = total
        self._bar.n = round(done, 2)
        self._bar.refresh() if done >= total else self._bar.update(0)

    @contextmanager
    def part(self, index: int, count: int, name: str) -> Iterator[Callable[[int, int], None]]:
        """Move within the `index`-th of `count` parts; gives the function that a part calls with steps done and all."""
        self._bar.set_postfix_str(name)

        def step(done: int, total: int) -> None:
            self.folder.check_stop()
            self.folder.progress(f"{self.message} {name}", step=index, total_steps=count)
            self._move(index + done / max(1, total), count)

        yield step
        self._move(index + 1, count)


@contextmanager
def watched(message: str, path: Path) -> Iterator[None]:
    """Show on the terminal the ``progress.json`` that a run inside writes."""
    ended = threading.Event()

    def watch() -> None:
        with tqdm(desc=message, unit=" step", file=sys.stderr) as bar:
            while not ended.wait(_LOOK_S):
                try:
                    values = json.loads(path.read_text(encoding="utf-8"))
                except (OSError, ValueError):
                    continue
                bar.total, bar.n = values["total_steps"], values["step"]
                bar.set_postfix_str(values["message"])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
