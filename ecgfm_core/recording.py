"""One ECG as acquired."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from ecgfm_core.errors import RecordingError

LEADS_MAX = 32
SAMPLING_RATE_HZ_RANGE = (50.0, 5000.0)
DURATION_S_MAX = 48 * 3600.0
VALUES_MAX = 250_000_000  # samples of all leads together: 1 GB as float32
AMPLITUDE_MV_MAX = 200.0
AGE_YEARS_RANGE = (0.0, 150.0)


@dataclass(frozen=True)
class SourceCode:
    """A coded statement as the source gave it.

    `system` is snomed, scp, aami or text; `likelihood` is 0 to 1, or None where the source states none.
    """

    system: str
    code: str
    likelihood: float | None = None


@dataclass(frozen=True)
class Recording:
    """One ECG as acquired, checked when it is made.

    Attributes
    ----------
    name : name within its dataset, for example ``records100/00000/00024_lr``
    lead_names : one name a lead, unique; standard leads spelled I II III aVR aVL aVF V1-V6
    waveform_mv : float32 ``[lead, sample]``, millivolt (any unit if not `calibrated`), NaN where a sample is missing
    sampling_rate_hz : samples a second
    calibrated : False where the file's unit is not a voltage
    patient_key : the source's identity of the patient, to be hashed before it is stored; empty if unknown
    fold : the source's own split number, 1-based; None if it has none

    Raises
    ------
    RecordingError
        If any field contradicts another or is out of bounds.
    """

    name: str
    lead_names: tuple[str, ...]
    waveform_mv: np.ndarray
    sampling_rate_hz: float
    calibrated: bool = True
    age_years: float | None = None
    sex: str = ""
    acquired_at: datetime | None = None
    centre: str = ""
    patient_key: str = ""
    fold: int | None = None
    report_text: str = ""
    source_codes: tuple[SourceCode, ...] = field(default=())
    remarks: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        self._check_waveform()
        self._check_patient()

    def _check_waveform(self) -> None:
        waveform, leads = self.waveform_mv, self.lead_names
        if waveform.ndim != 2 or waveform.dtype != np.float32:
            raise RecordingError(
                f"{self.name}: waveform is {waveform.dtype} with {waveform.ndim} axes; float32 [lead, sample] is needed"
            )
        if waveform.shape[0] != len(leads) or not 1 <= len(leads) <= LEADS_MAX or waveform.shape[1] == 0:
            raise RecordingError(
                f"{self.name}: {waveform.shape[0]} leads of {waveform.shape[1]} samples for {len(leads)} lead names; "
                f"1 to {LEADS_MAX} leads with at least one sample each are allowed"
            )
        if len(set(leads)) != len(leads):
            raise RecordingError(f"{self.name}: lead names {', '.join(leads)} repeat; each lead needs its own name")
        low, high = SAMPLING_RATE_HZ_RANGE
        if not low <= self.sampling_rate_hz <= high:
            raise RecordingError(
                f"{self.name}: sampling rate {self.sampling_rate_hz:g} Hz; {low:g} to {high:g} Hz are allowed"
            )
        if self.duration_s > DURATION_S_MAX:
            raise RecordingError(f"{self.name}: {self.duration_s:,.0f} s long; at most {DURATION_S_MAX:,.0f} s allowed")
        if waveform.size > VALUES_MAX:
            raise RecordingError(f"{self.name}: {waveform.size:,} samples in all; at most {VALUES_MAX:,} are allowed")
        self._check_amplitude()

    def _check_amplitude(self) -> None:
        # fmax and fmin pass over NaN, in half the time of nanmax.
        waveform = self.waveform_mv
        peak = float(max(np.fmax.reduce(waveform, axis=None), -np.fmin.reduce(waveform, axis=None)))
        if np.isinf(peak):
            raise RecordingError(f"{self.name}: infinite samples; missing ones must be NaN")
        if np.isnan(peak):
            raise RecordingError(f"{self.name}: every sample is missing")
        if self.calibrated and peak > AMPLITUDE_MV_MAX:
            raise RecordingError(
                f"{self.name}: {peak:,.0f} mV; at most {AMPLITUDE_MV_MAX:g} mV are allowed, check the header's gain"
            )

    def _check_patient(self) -> None:
        low, high = AGE_YEARS_RANGE
        if self.age_years is not None and not low <= self.age_years <= high:
            raise RecordingError(f"{self.name}: age {self.age_years:g}; {low:g} to {high:g} years or none allowed")
        if self.sex not in ("", "F", "M"):
            raise RecordingError(f"{self.name}: sex {self.sex!r}; F, M or empty are allowed")

    @property
    def sample_count(self) -> int:
        """Samples a lead."""
        return int(self.waveform_mv.shape[1])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.sample_count / self.sampling_rate_hz
