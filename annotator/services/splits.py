"""Which split a recording goes to: decided once a patient, kept for ever, the same in every dataset."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.conf import settings

from annotator.models import Recording

Split = Recording.Split
VALIDATE_FOLD, TEST_FOLD = 9, 10
OWN_FOLDS = {VALIDATE_FOLD, TEST_FOLD}  # a source that ships both has splits of its own


def hash_patient(patient_key: str) -> str:
    """Return the keyed hash that stands for a patient; empty for an unknown one."""
    if not patient_key:
        return ""
    return hmac.new(settings.PATIENT_HASH_KEY.encode(), patient_key.encode(), hashlib.sha256).hexdigest()


@dataclass
class Splits:
    """Splits already decided for the patients and waveforms of one batch; `own_folds` if the source ships 9 and 10."""

    own_folds: bool
    by_patient: dict[str, str] = field(default_factory=dict)
    by_waveform: dict[str, str] = field(default_factory=dict)

    def load(self, patient_hashes: Iterable[str], waveforms: Iterable[str]) -> None:
        """Read what earlier imports decided."""
        known = Recording.objects.order_by("-pk")
        patients = known.filter(patient_hash__in={value for value in patient_hashes if value})
        self.by_patient = dict(patients.values_list("patient_hash", "split"))
        self.by_waveform = dict(known.filter(waveform__in=set(waveforms)).values_list("waveform_id", "split"))

    def decide(self, *, patient_hash: str, waveform: str, fold: int | None) -> str:
        """Return the split; a known patient comes before a known waveform, and both before folds and chance."""
        split = self.by_patient.get(patient_hash) or self.by_waveform.get(waveform)
        if not split:
            by_fold = self.own_folds and fold is not None
            split = _by_fold(fold) if by_fold else _by_chance(patient_hash or waveform)
        if patient_hash:
            self.by_patient[patient_hash] = split
        self.by_waveform.setdefault(waveform, split)
        return split

    def clash(self, *, waveform: str, split: str) -> bool:
        """Whether the same samples already lie in another split, under another patient."""
        return self.by_waveform[waveform] != split


def _by_fold(fold: int | None) -> str:
    return {VALIDATE_FOLD: Split.VALIDATE, TEST_FOLD: Split.TEST}.get(fold or 0, Split.TRAIN).value


def _by_chance(key: str) -> str:
    """Spread keys 80 : 10 : 10, the same on every machine."""
    tenth = int.from_bytes(hashlib.sha256(b"split" + key.encode()).digest()[:8], "big") % 10
    return {8: Split.VALIDATE, 9: Split.TEST}.get(tenth, Split.TRAIN).value
