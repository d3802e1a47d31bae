"""The label scheme of the core as rows."""

from django.db import transaction

from annotator.models import Label, LabelScheme
from ecgfm_core import labels


@transaction.atomic
def ensure_scheme() -> LabelScheme:
    """Return the row of the core's current label scheme, written with its labels the first time."""
    source = labels.load_scheme()
    scheme, new = LabelScheme.objects.get_or_create(version=source.version)
    if new:
        Label.objects.bulk_create(
            Label(
                scheme=scheme,
                code=label.code,
                abbreviation=label.abbreviation,
                name=label.name,
                group=label.group,
                synonyms=list(label.synonyms),
                scored=label.scored,
                normal=label.normal,
            )
            for label in source.labels
        )
    return scheme
