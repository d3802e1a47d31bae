"""Numbers, times and jobs as the admin pages say them."""

from collections.abc import Iterable
from typing import Any

from django import template
from django.urls import reverse

from annotator.models import CuratedRelease, ImportRun, ScoringRun, TrainingRun
from annotator.models.jobs import Job, JobState
from annotator.selectors.loop import ACTIVE
from ecgfm_core.prospective import Figure

register = template.Library()
LOSSES = {"loss": "total loss"} | {part: f"{part} loss" for part in ("contrastive", "abnormal", "labels", "text")}
BADGES = {
    **dict.fromkeys(("running", "open", "current", "filling", "cancelling"), "badge-active"),
    **dict.fromkeys(("finished", "closed"), "badge-done"),
    "failed": "badge-failed",
}


@register.filter
def of(values: dict[Any, Any], key: Any) -> Any:
    """Return what a key stands for; None for an unknown one."""
    return values.get(key)


@register.filter
def count(value: Any) -> str:
    """Say a count with its thousands set apart: 12,480."""
    return "–" if value is None or value == "" else f"{value:,}"


@register.filter
def figure(value: Any) -> str:
    """Say a measured number with as many digits as it is good for; a dash for none."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"


@register.filter
def signed(value: float | None) -> str:
    """Say a difference with its sign."""
    return "" if value is None else f"{value:+.3f}".replace("-", "−")


@register.filter
def percent(value: float | None) -> str:
    """Say a part of one in percent."""
    return "–" if value is None else f"{100 * value:.3g} %"


@register.filter
def lasting(seconds: float | None) -> str:
    """Say a time span: 45 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s".removesuffix(" 0 s")
    return f"{whole // 3600} h {whole % 3600 // 60} min".removesuffix(" 0 min")


@register.filter
def interval(figure: Figure) -> str:
    """Say a figure's 95 % interval."""
    return "" if figure.low is None else f"{figure.low:.3f} to {figure.high:.3f}"


@register.filter
def metric(name: str) -> str:
    """Say a metric's name: of the validation split unless it says otherwise."""
    split, _, rest = name.replace("auroc", "AUROC").partition(" ")
    rest = LOSSES.get(rest, rest)
    return {"validate": rest, "train": f"training {rest}"}.get(split, name)


@register.filter
def badge(state: str) -> str:
    """Return the class of a state's badge."""
    return BADGES.get(state, "")


@register.filter
def active(job: Job) -> bool:
    """Whether a job runs or waits for a worker."""
    return job.state in ACTIVE


@register.filter
def any_active(jobs: Iterable[Job]) -> bool:
    """Whether one of these jobs runs or waits for a worker."""
    return any(map(active, jobs))


@register.filter
def took(job: Job) -> str:
    """Say how long an ended job ran."""
    if not (job.started_at and job.finished_at):
        return "–"
    return lasting((job.finished_at - job.started_at).total_seconds())


@register.filter
def share_done(job: Job) -> int | None:
    """Return how far a job is, in percent; None where it does not know."""
    done, total = _done(job.progress), _total(job.progress)
    return min(100, int(100 * done / total)) if total else None


@register.filter
def spoken(job: Job) -> str:
    """Say a job's state and its progress in tenths: often enough for a screen reader."""
    share = share_done(job)
    tenths = f", {share // 10 * 10} %" if active(job) and share is not None else ""
    return f"{job.get_state_display()}{tenths}"


@register.filter
def progress_words(job: Job) -> str:
    """Say how far a job is, how fast it goes and how long it will take."""
    progress = job.progress
    if job.state == JobState.QUEUED:
        again = f" (attempt {job.attempt + 1}: its worker was lost)" if job.attempt else ""
        return f"Waits for a worker{again}."
    if job.state == JobState.CANCELLING:
        return "Stops after the step it is in."
    parts = [str(progress.get("message") or "")]
    if _total(progress):
        parts.append(f"{_done(progress):,} of {_total(progress):,} {progress.get('unit', 'steps')}")
    if progress.get("epoch") is not None:
        parts.append(f"epoch {progress['epoch']}")
    if rate := progress.get("records_per_s") or progress.get("rate_per_s"):
        parts.append(f"{rate:,.0f} recordings/s" if rate >= 10 else f"{rate:,.1f} recordings/s")
    if progress.get("eta_s") is not None:
        parts.append(f"{lasting(progress['eta_s'])} left")
    if progress.get("processes", 1) > 1:
        parts.append(f"{progress['processes']} processes")
    parts += [f"{peak / 1000:,.2g} GB of {where}" for where, peak in _peaks(progress) if peak]
    return " · ".join(filter(None, parts)) or "Has just started."


def _peaks(progress: dict[str, Any]) -> Iterable[tuple[str, float | None]]:
    """Return the most memory that one process has held, and where."""
    return (("memory", progress.get("peak_memory_mb")), ("GPU memory", progress.get("peak_gpu_memory_mb")))


def _done(progress: dict[str, Any]) -> int:
    return int(progress.get("done", progress.get("step", 0)) or 0)


def _total(progress: dict[str, Any]) -> int:
    return int(progress.get("total", progress.get("total_steps", 0)) or 0)


@register.filter
def job_name(job: Job) -> str:
    """Say what a job is."""
    if isinstance(job, ImportRun):
        return f"Import {job.pk} into {job.dataset}"
    if isinstance(job, ScoringRun):
        return f"Scoring by checkpoint {job.checkpoint_id}"
    if isinstance(job, CuratedRelease):
        return f"Release {job.number}"
    return f"Training run {job.pk}"


SHOWN = 12  # of a long list


@register.filter
def facts(values: dict[str, Any], said: str = "") -> list[tuple[str, str]]:
    """Return values as names and words, without those `said` elsewhere; long lists are cut and counted."""
    left = [(name, value) for name, value in values.items() if name not in said.split()]
    return [(name.replace("_", " ").capitalize(), _say(value)) for name, value in left]


def _say(value: Any) -> str:
    if isinstance(value, dict):
        if "name" in value:
            return str(value["name"])
        return "; ".join(f"{name.replace('_', ' ')} {_say(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        shown = ", ".join(_say(one) for one in value[:SHOWN])
        return f"{shown} and {len(value) - SHOWN:,} more" if len(value) > SHOWN else shown or "none"
    return "none" if value is None or value == "" else str(value)


@register.filter
def job_page(job: Job) -> str:
    """Return the address of a job's page."""
    if isinstance(job, CuratedRelease):
        return reverse("manage-release", kwargs={"number": job.number})
    names = {ImportRun: "manage-import", TrainingRun: "manage-training-run"}
    name = names.get(type(job))
    return reverse(name, kwargs={"pk": job.pk}) if name else reverse("manage-checkpoints")
