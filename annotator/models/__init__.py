"""Database rows. They hold invariants; rules live in services, questions in selectors."""

from annotator.models.annotations import Annotation, Draft, Mark
from annotator.models.audit import AuditEvent
from annotator.models.checkpoints import Checkpoint, Prediction, ScoringRun, TrainingMetric, TrainingRun
from annotator.models.labels import Label, LabelScheme
from annotator.models.people import Role, User
from annotator.models.prospective import Arrival, ArrivalBatch, ProspectiveTest
from annotator.models.quality import QualityDecision
from annotator.models.recordings import Dataset, ImportIssue, ImportRun, Recording, SourceLabel, Waveform
from annotator.models.releases import CuratedRelease
from annotator.models.reranking import Reranking
from annotator.models.reviews import Adjudication, Consensus
from annotator.models.rounds import KnownAnswer, QueueItem, Round, Skip

__all__ = [
    "Adjudication",
    "Annotation",
    "Arrival",
    "ArrivalBatch",
    "AuditEvent",
    "Checkpoint",
    "Consensus",
    "CuratedRelease",
    "Dataset",
    "Draft",
    "ImportIssue",
    "ImportRun",
    "KnownAnswer",
    "Label",
    "LabelScheme",
    "Mark",
    "Prediction",
    "ProspectiveTest",
    "QualityDecision",
    "QueueItem",
    "Recording",
    "Reranking",
    "Role",
    "Round",
    "ScoringRun",
    "Skip",
    "SourceLabel",
    "TrainingMetric",
    "TrainingRun",
    "User",
    "Waveform",
]
