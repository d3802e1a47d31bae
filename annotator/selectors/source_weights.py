"""How far the labels that came with recordings are to be trusted, a weight a centre.

The weight of a source label is one minus the error rate of its centre, dataset by dataset, as the audit share of closed
rounds estimates it: recordings drawn at random whose source label was the first thing that readers judged. The estimate
is the mean of a Beta posterior whose prior is worth 20 audited recordings at 0.3: with none audited the weight is 0.7,
with 20 of which 1 was wrong (1 + 6) / (20 + 20) = 0.175 and thus 0.825, with many it is what was found. A consensus
weighs 1.
"""

from collections import Counter
from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q

from annotator.models import Consensus, QueueItem, Recording, Round, SourceLabel
from annotator.models.annotations import Overall

PRIOR_ERROR_RATE = 0.3  # a source label is wrong more often than a consensus
PRIOR_COUNT = 20
Centre = tuple[int, str]  # dataset, centre


def weight(wrong: int, audited: int) -> float:
    """Return the weight of a centre's source labels, of which so many were audited and so many of those wrong."""
    return 1 - (wrong + PRIOR_COUNT * PRIOR_ERROR_RATE) / (audited + PRIOR_COUNT)


def weights(dataset_ids: Iterable[int]) -> dict[Centre, float]:
    """Return the weight of each centre of which anything was audited; `weight(0, 0)` holds for the others."""
    audited: Counter[Centre] = Counter()
    wrong: Counter[Centre] = Counter()
    for dataset, centre, corrects in _verdicts(dataset_ids):
        audited[dataset, centre] += 1
        wrong[dataset, centre] += corrects
    return {key: weight(wrong[key], count) for key, count in audited.items()}


def _verdicts(dataset_ids: Iterable[int]) -> Iterable[tuple[int, str, bool]]:
    """Return what readers said of source labels drawn at random: dataset, centre, whether the label was corrected."""
    audit = QueueItem.objects.filter(
        round=OuterRef("round"), recording=OuterRef("recording"), origin=QueueItem.Origin.AUDIT
    )
    # A later reading of the same recording judges an earlier consensus, not what came with it.
    before = Consensus.objects.filter(recording=OuterRef("recording"), pk__lt=OuterRef("pk"))
    before = before.exclude(round=OuterRef("round"))
    stated = SourceLabel.objects.filter(recording=OuterRef("recording")).exclude(code="")
    rows = Consensus.objects.filter(round__state=Round.State.CLOSED, recording__dataset__in=list(dataset_ids))
    rows = rows.exclude(recording__split=Recording.Split.TEST)  # readings of the test split teach nothing
    rows = rows.filter(Exists(audit), ~Exists(before), Q(recording__source_abnormal__isnull=False) | Exists(stated))
    rows = rows.order_by("round", "recording", "-pk").distinct("round", "recording")
    fields = rows.values_list("recording__dataset", "recording__centre", "corrects", "overall")
    return [(dataset, centre, wrong) for dataset, centre, wrong, overall in fields if overall != Overall.UNREADABLE]
