"""Asking for an import: where the files may lie, and how an upload gets there."""

import re
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.db import transaction

from annotator.errors import InvalidInput
from annotator.models import Dataset, ImportRun, User
from annotator.services import audit, job_state
from annotator.services.import_run import run_import

__all__ = ["create_dataset", "run_import", "start_import", "store_upload"]

DATASET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}")
MEGABYTE = 1 << 20


def create_dataset(*, name: str, by: User | None) -> Dataset:
    """Return the dataset of this name, made when there is none; refuses names that a folder could not have."""
    if not DATASET_NAME.fullmatch(name):
        raise InvalidInput(
            f"Dataset name {name!r}: 1 to 60 letters, digits, spaces, dots, dashes and underscores are allowed, "
            "a letter or digit first."
        )
    dataset, new = Dataset.objects.get_or_create(name=name)
    if new:
        audit.record(actor=by, action="dataset created", target=dataset, name=name)
    return dataset


@transaction.atomic
def start_import(*, path: str, dataset_name: str, by: User | None, submit: bool = True) -> ImportRun:
    """Queue the import of a folder, a zip or one record; refuses paths outside IMPORT_DIR unless the shell asks."""
    found = _shell_path(path) if by is None else allowed_path(path)
    dataset = create_dataset(name=dataset_name, by=by)
    run = ImportRun.objects.create(dataset=dataset, source_path=str(found), created_by=by)
    audit.record(actor=by, action="import started", target=run, dataset=dataset.name, path=str(found))
    if submit:
        job_state.submit(run)
    return run


@transaction.atomic
def start_here(*, path: str, dataset_name: str) -> tuple[ImportRun, int]:
    """Make an import run that this process takes itself; returns its attempt too, refuses a path that isn't there."""
    run = start_import(path=path, dataset_name=dataset_name, by=None, submit=False)
    attempt = job_state.take(ImportRun, run.pk)
    assert attempt is not None
    run.refresh_from_db()
    return run, attempt


def _shell_path(path: str) -> Path:
    found = Path(path).resolve()
    if not found.exists() and not found.with_suffix(".hea").exists():
        raise InvalidInput(f"{found}: no such folder, zip file or record. Check the path for a typing error.")
    return found


def allowed_path(path: str) -> Path:
    """Resolve a path that came over the network: symlinks and dots may not lead out of IMPORT_DIR."""
    base = settings.IMPORT_DIR.resolve()
    try:
        found = (base / path).resolve()
        inside = found.is_relative_to(base) and found != base
        is_there = found.exists() or found.with_suffix(".hea").exists()
    except (OSError, ValueError):  # NUL, or longer than a path can be
        inside = False
    if not inside:
        raise InvalidInput(
            f"{path!r} is not below the import folder of the server. Put the files there, or upload a zip."
        )
    if not is_there:
        raise InvalidInput(f"{path!r}: nothing of that name below the import folder of the server.")
    return found


def store_upload(*, name: str, chunks: Iterable[bytes], by: User) -> str:
    """Write an uploaded zip by chunks below IMPORT_DIR, return its path; refuses other files and too large ones."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(name).name)[-100:].lstrip(".")
    if not stem.lower().endswith(".zip"):
        raise InvalidInput(f"{name!r}: a .zip file is needed. Zip the folder with the recordings and upload that.")
    folder = settings.IMPORT_DIR / "uploads" / secrets.token_hex(8)
    folder.mkdir(parents=True, mode=0o750)
    try:
        _write_limited(folder / stem, chunks)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    path = str(folder / stem)
    audit.record(actor=by, action="upload stored", target=path[-100:], name=name)
    return path


def _write_limited(path: Path, chunks: Iterable[bytes]) -> None:
    size, limit = 0, settings.UPLOAD_LIMIT_MB * MEGABYTE
    with path.open("wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise InvalidInput(
                    f"The file is larger than {settings.UPLOAD_LIMIT_MB:,} MB. Copy it into the server's import folder "
                    "and name its path instead, or raise UPLOAD_LIMIT_MB."
                )
            file.write(chunk)
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise InvalidInput(f"{path.name}: not a zip file, whatever its name says.")
