"""What a label scheme says. A scheme never changes once written, so that each process reads it once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from annotator.models import Label, LabelScheme


@dataclass(frozen=True)
class Held:
    """What held for a recording: `overall` blank where nothing was known."""

    overall: str
    codes: frozenset[str]


@lru_cache(maxsize=8)
def labels_by_code(scheme_id: int) -> Mapping[str, Label]:
    """Return the labels of a scheme by their code, in the scheme's order."""
    return {label.code: label for label in Label.objects.filter(scheme=scheme_id).order_by("pk")}


def abnormal_codes(scheme_id: int, codes: Iterable[str]) -> frozenset[str]:
    """Return those of the codes that are no normal statement of the scheme."""
    labels = labels_by_code(scheme_id)
    return frozenset(code for code in codes if code not in labels or not labels[code].normal)


def differs(scheme_id: int, before: Held, now: Held) -> bool:
    """Return whether `now` corrects `before`, as `services.consensus` says."""
    if before.overall and before.overall != now.overall:
        return True
    abnormal_before = abnormal_codes(scheme_id, before.codes)
    abnormal_now = abnormal_codes(scheme_id, now.codes)
    return bool(abnormal_before and abnormal_now and abnormal_before != abnormal_now)


def name_of(scheme_id: int, code: str) -> str:
    """Return the statement's name, or the code itself where the scheme has none."""
    label = labels_by_code(scheme_id).get(code)
    return label.name if label else code


def current_scheme() -> LabelScheme | None:
    """Return the newest scheme, None before the first import."""
    return LabelScheme.objects.order_by("-pk").first()
