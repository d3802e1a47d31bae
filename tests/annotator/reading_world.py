"""Builders for tests of the reading side: a scheme, recordings with waveform rows, people, an open round."""

from dataclasses import dataclass
from uuid import uuid4

from rest_framework.test import APIClient

from annotator.models import Dataset, LabelScheme, QueueItem, Recording, Role, Round, SourceLabel, User, Waveform
from annotator.selectors import schemes
from annotator.services import queue, rounds
from annotator.services.annotations import submit_final, submit_first
from annotator.services.answers import Answer, Statement
from annotator.services.schemes import ensure_scheme

SINUS, AF, LBBB, RBBB, NORMAL_ECG = "426783006", "164889003", "164909002", "713427006", "164854000"
LEADS = ["I", "II", "V1"]


@dataclass
class Chosen:
    """What the active-learning part says of a recording it chose."""

    id: int
    rank: int
    origin: str = "strategy"
    reason: str = "label says normal; 15 of 15 models say atrial fibrillation, 0.93"
    reserved_for: int | None = None


def scheme() -> LabelScheme:
    schemes.labels_by_code.cache_clear()
    return ensure_scheme()


def person(name: str, role: Role = Role.READER) -> User:
    return User.objects.create_user(name, role=role)  # no password: hashing one takes longer than most tests


def recordings(count: int, *, abnormal: bool | None = False, codes: tuple[str, ...] = (SINUS,)) -> list[Recording]:
    dataset, _ = Dataset.objects.get_or_create(name="made")
    start = Recording.objects.count()
    waveforms = Waveform.objects.bulk_create(
        Waveform(
            sha256=f"{start + n:064x}", lead_names=LEADS, sampling_rate_hz=500, sample_count=5000, scale_mv=0.001,
            calibrated=True,
        )
        for n in range(count)
    )  # fmt: skip
    rows = Recording.objects.bulk_create(
        Recording(
            dataset=dataset, name=f"rec{start + n}", waveform=waveform, source_abnormal=abnormal, report_text="old text"
        )
        for n, waveform in enumerate(waveforms)
    )
    SourceLabel.objects.bulk_create(
        SourceLabel(recording=row, system="snomed", source_code=code, code=code) for row in rows for code in codes
    )
    return rows


def make_round(
    count: int = 3, *, copies: int = 1, reveal: str = "never", is_open: bool = True, audit: int = 0, **kinds: object
) -> Round:
    """Make recordings and a round over them; the last `audit` of them are of the audit share."""
    scheme()
    rows = recordings(count, **kinds)
    admin, _ = User.objects.get_or_create(username="boss", defaults={"role": Role.ADMIN})
    round = rounds.create_round(
        dataset_ids=[rows[0].dataset_id], strategy="random", budget=count, audit_share=0, readers_per_item=copies,
        reveal=reveal, checkpoint=None, seed=1, by=admin,
    )  # fmt: skip
    rounds.request_fill(round=round, by=admin)
    chosen = [Chosen(row.pk, n, "audit" if n >= count - audit else "strategy") for n, row in enumerate(rows)]
    rounds.fill(round=round, chosen=chosen)
    if is_open:
        rounds.open_round(round=round, by=admin)
    return round


def says(*codes: str, **fields: object) -> Answer:
    return Answer(statements=tuple(Statement(code) for code in codes), **fields)


def read(reader: User, answer: Answer, *, first: Answer | None = None) -> QueueItem:
    """Claim the next item and answer it."""
    item = queue.claim_next(reader=reader)
    assert item is not None
    if first:
        submit_first(item=item, reader=reader, answer=first, idempotency_key=uuid4())
    submit_final(item=item, reader=reader, answer=answer, idempotency_key=uuid4())
    return item


def client(who: User | None = None) -> APIClient:
    made = APIClient()
    if who:
        made.force_login(who, backend="annotator.sign_in.Backend")
    return made


def body(*codes: str, **fields: object) -> dict[str, object]:
    """Return the JSON of an answer."""
    statements = [{"code": code, "qualifier": ""} for code in codes]
    return {"idempotency_key": str(uuid4()), "statements": statements, **fields}
