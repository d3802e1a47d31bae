"""Simulated 12-lead recordings from a moving dipole, with everything about them known."""

from ecgfm_core.datasets.simulated.artefacts import CLEAN, Artefacts
from ecgfm_core.datasets.simulated.conditions import CONDITIONS
from ecgfm_core.datasets.simulated.heart import Patient, draw_patient
from ecgfm_core.datasets.simulated.synthesis import Beat, Simulated, simulate
from ecgfm_core.datasets.simulated.writing import write_dataset

__all__ = [
    "CLEAN",
    "CONDITIONS",
    "Artefacts",
    "Beat",
    "Patient",
    "Simulated",
    "draw_patient",
    "simulate",
    "write_dataset",
]
