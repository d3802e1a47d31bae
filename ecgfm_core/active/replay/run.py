"""A replay run in its folder: a file a cell, so that the same command goes on where it was stopped."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ecgfm_core.active.replay import results
from ecgfm_core.active.replay.data import ReplaySet
from ecgfm_core.active.replay.play import Cell, MakeSource, ReplayOptions, cells, play
from ecgfm_core.errors import FormatError
from ecgfm_core.training.run_folder import RunFolder, write_json

# What may grow in a run that goes on: cells that are there already stay as they are.
_GROWS = ("kinds", "rates", "strategies", "seeds")


def replay(
    one: ReplaySet,
    options: ReplayOptions,
    out: Path,
    title: str,
    make_source: MakeSource | None = None,
    source_name: str = "logistic heads",
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Replay every cell that is not there yet, then write figures and page; returns the page's path.

    Parameters
    ----------
    out : folder of this run; refused where it belongs to another set, source or other options. Further kinds, rates,
        strategies and seeds may be asked for later
    make_source, source_name : where probabilities come from and what that is called; see `play`
    progress : called with cells done, cells in all and the name of the next

    Raises
    ------
    TrainingError
        If the folder is another run's, or another process holds it.
    """
    asked = cells(options)
    with RunFolder(out).held() as folder:
        kept = {key: value for key, value in options.to_dict().items() if key not in _GROWS}
        folder.bind({"command": "replay", "set": one.fingerprint(), "source": source_name, **kept})
        (out / "cells").mkdir(exist_ok=True)
        for done, cell in enumerate(asked):
            folder.check_stop()
            folder.progress(f"replay {cell.name}", step=done, total_steps=len(asked))
            if progress:
                progress(done, len(asked), cell.name)
            path = out / "cells" / f"{cell.name}.json"
            if not path.exists():
                write_json(path, play(one, options, cell, make_source))
        played = read_cells(out, asked)
        return results.write(out, results.collect(title, one, options, source_name, played))


def read_cells(out: Path, asked: Sequence[Cell]) -> list[dict[str, Any]]:
    """Read the cells of a run.

    Raises
    ------
    FormatError
        If one is missing or damaged.
    """
    played = []
    for cell in asked:
        path = out / "cells" / f"{cell.name}.json"
        try:
            played.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise FormatError(f"Replay: {path} can't be read ({error}); delete it and run the same command") from error
    return played
