"""What the admin pages ask of the rows."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery

from annotator.models import (
    AuditEvent,
    Checkpoint,
    CuratedRelease,
    Dataset,
    ImportIssue,
    ImportRun,
    QueueItem,
    Round,
    ScoringRun,
    TrainingMetric,
    TrainingRun,
    User,
)

OWN_FOLDERS = ("arrivals", "unpacked", "uploads")  # of IMPORT_DIR; nobody but us writes there
CURVE_POINTS = 400  # what a screen can show; the rest is thinned on the way


@dataclass(frozen=True)
class Importable:
    """A folder or zip file in the server's import folder."""

    path: str
    kind: str
    detail: str

    @property
    def dataset_name(self) -> str:
        """A name for the dataset it could become."""
        return self.path.removesuffix(".zip")


def importables() -> list[Importable]:
    """Return the folders and zip files at the top of the import folder, without what uploads and imports put there."""
    folder = Path(settings.IMPORT_DIR)
    if not folder.is_dir():
        return []
    entries = sorted(
        entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name not in OWN_FOLDERS
    )
    return [_importable(entry) for entry in entries if entry.is_dir() or entry.suffix.lower() == ".zip"]


def _importable(entry: Path) -> Importable:
    if entry.is_dir():
        count = sum(1 for _ in entry.iterdir())
        return Importable(entry.name, "folder", f"{count:,} {'entry' if count == 1 else 'entries'}")
    return Importable(entry.name, "zip", f"{entry.stat().st_size / 2**20:,.1f} MiB")


def import_runs() -> QuerySet[ImportRun]:
    """Return the imports, newest first."""
    return ImportRun.objects.select_related("dataset", "created_by").order_by("-pk")


def issues(run: ImportRun) -> QuerySet[ImportIssue]:
    """Return an import's refusals, then its remarks, by name."""
    return run.issues.order_by("-refused", "record_name", "pk")


def datasets() -> QuerySet[Dataset]:
    """Return every dataset by name."""
    return Dataset.objects.order_by("name")


def training_runs() -> QuerySet[TrainingRun]:
    """Return the training runs, newest first."""
    runs = TrainingRun.objects.select_related("checkpoint", "created_by").prefetch_related("datasets")
    return runs.defer("log").order_by("-pk")


def curves(run: TrainingRun) -> dict[str, dict[str, list[float]]]:
    """Return a run's curves, `{name: {"step": [...], "value": [...]}}`, each thinned to what a screen can show."""
    found: dict[str, dict[str, list[float]]] = {}
    rows = TrainingMetric.objects.filter(run=run).order_by("name", "step").values_list("name", "step", "value")
    for name, step, value in rows.iterator():
        curve = found.setdefault(name, {"step": [], "value": []})
        curve["step"].append(step)
        curve["value"].append(value)
    return {name: {axis: _thin(values) for axis, values in curve.items()} for name, curve in found.items()}


def _thin(values: list[float]) -> list[float]:
    stride = -(-len(values) // CURVE_POINTS)
    thinned = values[::stride]
    return thinned if (len(values) - 1) % stride == 0 else [*thinned, values[-1]]


def first_items(round_: Round, limit: int = 20) -> QuerySet[QueueItem]:
    """Return the first items of a round's queue, one a recording."""
    items = round_.items.filter(copy=1).select_related("recording", "recording__dataset", "claimed_by")
    return items.order_by("rank")[:limit]


def can_go_back() -> bool:
    """Whether a checkpoint was current before the one that is."""
    earlier = Checkpoint.objects.filter(state=Checkpoint.State.RETIRED, promoted_at__isnull=False)
    current = Checkpoint.objects.filter(state=Checkpoint.State.CURRENT, promoted_at__isnull=False).first()
    return (earlier.filter(promoted_at__lt=current.promoted_at) if current else earlier).exists()


def checkpoints() -> QuerySet[Checkpoint]:
    """Return the checkpoints, newest first, with the state of their newest scoring run as `scoring_state`."""
    newest = Checkpoint.objects.filter(pk=OuterRef("pk")).order_by("-scoring_runs__pk")
    runs = Checkpoint.objects.select_related("run")
    return runs.annotate(scoring_state=Subquery(newest.values("scoring_runs__state")[:1])).order_by("-pk")


def scoring_runs(limit: int = 10) -> QuerySet[ScoringRun]:
    """Return the newest scoring runs."""
    return ScoringRun.objects.prefetch_related("datasets").order_by("-pk")[:limit]


def releases() -> QuerySet[CuratedRelease]:
    """Return the curated releases, newest first."""
    return CuratedRelease.objects.prefetch_related("datasets").select_related("created_by").order_by("-number")


def people() -> QuerySet[User]:
    """Return everyone, those who may sign in first."""
    return User.objects.order_by("-is_active", "username")


def audit_events() -> QuerySet[AuditEvent]:
    """Return the audit trail, newest first."""
    return AuditEvent.objects.select_related("actor").order_by("-pk")
