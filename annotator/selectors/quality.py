"""Which recordings can't be read, who says so, and where they come from. A person's word wins over the gate's."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery

from annotator.models import Consensus, Dataset, QualityDecision, Recording
from annotator.models.annotations import Overall
from ecgfm_core.signal.quality import VERSION

REFUSED = Q(quality__contains={"readable": False})
LOST_KINDS = ("flat", "missing", "saturated", "noisy", "clipped")
LOST_LEADS = """
    SELECT dataset, centre, lead || ': ' || kind, count(*)
    FROM ({rows}) AS lost (dataset, centre, quality)
    CROSS JOIN unnest(%s::text[]) WITH ORDINALITY AS kinds (kind, place)
    CROSS JOIN jsonb_array_elements_text(quality -> (kind || '_leads')) AS lead
    GROUP BY dataset, centre, kind, place, lead
    ORDER BY count(*) DESC, place, lead
"""


def readable(rows: QuerySet[Recording]) -> QuerySet[Recording]:
    """Leave out what the gate refuses and nobody put back, and what an admin confirmed as unreadable."""
    decided = QualityDecision.objects.filter(recording=OuterRef("pk"))
    refused = REFUSED & ~Exists(decided.filter(readable=True))
    return rows.exclude(refused).exclude(Exists(decided.filter(readable=False)))


def settled(rows: QuerySet[Recording]) -> QuerySet[Recording]:
    """Leave out what is settled; what was put back into the pool since is not."""
    put_back = Q(recording__quality_decision__readable=True)
    since = Q(created_at__gt=F("recording__quality_decision__decided_at"))
    consensus = Consensus.objects.filter(recording=OuterRef("pk"))
    kept = consensus.filter(recording__quality_decision__isnull=True) | consensus.filter(~put_back | since)
    return rows.exclude(Exists(kept))


def unreadable() -> QuerySet[Recording]:
    """Return what can't be read by the word of an admin, of the readers or of the gate, the newest first.

    `last_overall`, `last_at` and `last_reason` are of the newest consensus. The gate has no say where people read it.
    """
    newest = Consensus.objects.filter(recording=OuterRef("pk")).order_by("-pk")
    # A union finds each part by its own index; an OR of the three would look at every recording.
    ids = Recording.objects.filter(REFUSED).values("pk")
    ids = ids.union(
        QualityDecision.objects.filter(readable=False).values("recording"),
        Consensus.objects.filter(overall=Overall.UNREADABLE).values("recording"),
    )
    rows = Recording.objects.filter(pk__in=ids).annotate(
        last_overall=Subquery(newest.values("overall")[:1]),
        last_at=Subquery(newest.values("created_at")[:1]),
        last_reason=Subquery(newest.values("unreadable_reason")[:1]),
    )
    undecided = Q(quality_decision__isnull=True)
    by_admin = Q(quality_decision__readable=False)
    by_readers = Q(last_overall=Overall.UNREADABLE) & (undecided | Q(quality_decision__decided_at__lte=F("last_at")))
    by_gate = REFUSED & Q(last_overall__isnull=True) & undecided
    rows = rows.filter(by_admin | by_readers | by_gate)
    return rows.select_related("dataset", "waveform", "quality_decision__decided_by").order_by("-pk")


def undecided(rows: QuerySet[Recording]) -> QuerySet[Recording]:
    """Return those rows of `unreadable` that no admin has confirmed."""
    return rows.exclude(Exists(QualityDecision.objects.filter(recording=OuterRef("pk"), readable=False)))


def said_by(row: Recording) -> str:
    """Say whose word makes a row of `unreadable` unreadable."""
    decision = getattr(row, "quality_decision", None)
    if decision is not None and not decision.readable:
        return f"confirmed by {decision.decided_by}"
    if getattr(row, "last_overall", None) == Overall.UNREADABLE:
        return "the readers"
    return "the gate"


def findings(row: Recording) -> list[str]:
    """Return what is wrong with a row of `unreadable`, in words: the gate's findings, then the readers' reason."""
    found = list(row.quality.get("findings", []))
    reason = getattr(row, "last_reason", "")
    if getattr(row, "last_overall", None) == Overall.UNREADABLE and reason:
        found.append(f"readers: {reason}")
    return found or ["no finding is stored; check_quality looks again"]


@dataclass
class Centre:
    """One centre of one dataset: how much of it can't be read, and which lead that is most often."""

    dataset: str
    name: str
    recordings: int
    unreadable: int = 0
    leads: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """The unreadable part of the centre's recordings."""
        return self.unreadable / self.recordings if self.recordings else 0.0

    @property
    def worst(self) -> str:
        """The finding that comes up most, in words; blank where none does."""
        [(finding, count)] = self.leads.most_common(1) or [("", 0)]
        return f"{finding} in {count:,} of {self.unreadable:,}" if finding else ""


def centres() -> list[Centre]:
    """Return the centres with anything unreadable, the largest share first: a bad device or electrode shows there."""
    counts = _by_centre(unreadable())
    if not counts:
        return []
    totals, leads = _by_centre(Recording.objects.all()), _lost_leads()
    names = dict(Dataset.objects.values_list("pk", "name"))
    rows = [Centre(names[of], name, totals[of, name], n, leads[of, name]) for (of, name), n in counts.items()]
    return sorted(rows, key=lambda row: (-row.share, row.dataset, row.name))


def _by_centre(rows: QuerySet[Recording]) -> dict[tuple[int, str], int]:
    """Count recordings by dataset and centre."""
    found = rows.order_by().values_list("dataset", "centre").annotate(n=Count("pk"))
    return {(dataset, centre): n for dataset, centre, n in found}


def _lost_leads() -> defaultdict[tuple[int, str], Counter[str]]:
    """Count the lost leads of what can't be read by dataset and centre, "V2: flat" the more often the earlier."""
    sql, parameters = unreadable().order_by().values("dataset", "centre", "quality").query.sql_with_params()
    found: defaultdict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    with connection.cursor() as cursor:
        cursor.execute(LOST_LEADS.format(rows=sql), [*parameters, list(LOST_KINDS)])
        for dataset, centre, finding, count in cursor:
            found[dataset, centre][finding] = count
    return found


def checked_earlier() -> QuerySet[Recording]:
    """Return the recordings that an older version of the gate has checked, or none."""
    return Recording.objects.exclude(quality__contains={"version": VERSION}).order_by("pk")
