"""The layouts, most particular first."""

from ecgfm_core.datasets import cinc2011, cinc2020, cpsc2018, hefei, ludb, mitdb, ptbxl, wfdb_folder
from ecgfm_core.datasets.layout import Layout

LAYOUTS: tuple[Layout, ...] = (
    ptbxl.LAYOUT,
    cinc2011.LAYOUT,
    ludb.LAYOUT,
    mitdb.LAYOUT,
    cinc2020.LAYOUT,
    cpsc2018.LAYOUT,
    hefei.LAYOUT,
    wfdb_folder.LAYOUT,
)
