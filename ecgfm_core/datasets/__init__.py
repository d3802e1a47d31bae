"""Official layouts of public sets, recognised by their files, and simulated recordings.

`recognise` names the layout of a folder; `iterate` lists its entries, each loaded on its own, so that a bad record
stops nothing.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from ecgfm_core.datasets.layout import Entry, Layout, list_files
from ecgfm_core.errors import FormatError

__all__ = ["Entry", "Layout", "iterate", "recognise"]


def recognise(folder: Path) -> Layout | None:
    """Give the first layout whose files lie in `folder`; None if there is no ECG in it."""
    from ecgfm_core.datasets import known  # the layouts import this package's readers

    if not folder.is_dir():
        raise FormatError(f"{folder} is not a folder; give the folder that holds the recordings")
    files = list_files(folder)
    return next((layout for layout in known.LAYOUTS if layout.fits(files)), None)


def iterate(folder: Path) -> Iterator[Entry]:
    """List the recordings of a folder in the order of their names; none is read before its `load`.

    Raises
    ------
    FormatError
        If the folder holds no ECG of a known kind, or the layout's own table can't be read.
    """
    layout = recognise(folder)
    if layout is None:
        raise FormatError(
            f"{folder.name}: no recordings found; WFDB records (.hea), native CPSC files (.mat), Hefei files (.txt) "
            "and PTB-XL's table (ptbxl_database.csv) are recognised"
        )
    try:
        yield from layout.entries(list_files(folder))
    except csv.Error as error:
        raise FormatError(f"{folder.name}: a table of {layout.title} can't be read ({error})") from error
