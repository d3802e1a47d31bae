"""What the signal-quality gate found of recordings."""

from collections.abc import Iterable
from typing import Any

from annotator.models import Recording


def findings(recording_ids: Iterable[int]) -> dict[int, tuple[dict[str, Any], list[str]]]:
    """Return the findings and the names of the leads of each of these recordings."""
    rows = Recording.objects.filter(pk__in=list(recording_ids)).values_list("pk", "quality", "waveform__lead_names")
    return {pk: (found, lead_names) for pk, found, lead_names in rows}
