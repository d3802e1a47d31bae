"""Why a recording was chosen, in words and numbers."""

from math import isnan, log

from ecgfm_core.active.candidates import Candidate, Doubt

WORDS = {True: "abnormal", False: "normal"}
AUDIT = "drawn at random from the whole pool, to estimate how many labels are wrong"
REPEAT = "repeat of a reading of the same reader, to see how often they agree with themselves"
CONTROL = "control with a known answer, to see how often readers find it"


def reason(candidate: Candidate, why: str) -> str:
    """Why the candidate was chosen by a strategy, or for the ``audit``."""
    if why == "audit":
        return AUDIT
    if why == "random":
        return "drawn at random"
    label = "no label" if candidate.given is None else f"label says {WORDS[candidate.given]}"
    if not _known(candidate.probability):
        return f"{label}; no model has scored it"
    parts = [_leading(candidate, why), label]
    if not (why == "relabel" and candidate.doubt and _another_label(candidate)):
        parts.append(_models(candidate))
    if candidate.doubt:
        parts.append(_statement(candidate.doubt))
    return "; ".join(filter(None, parts))


def _known(value: float | None) -> bool:
    return value is not None and not isnan(value)


def _leading(candidate: Candidate, why: str) -> str:
    """What the score of a strategy says; nothing where label and models side by side say it."""
    score = {"uncertainty": candidate.entropy, "committee": candidate.epistemic, "novelty": candidate.novelty}.get(why)
    if score is None or isnan(score):
        return ""
    if why == "uncertainty":
        return f"the model is unsure, entropy {score:.2f} of 1 bit"
    if why == "committee":
        return f"the models disagree, {score:.2f} of 1 bit"
    return f"unlike what was read, {score:.2f} of the usual distance"


def _models(candidate: Candidate) -> str:
    """What the models say; where a label is known and doubted, how many of them contradict it."""
    probability = candidate.probability or 0.0
    said = probability > 0.5
    if candidate.given is not None and not _another_label(candidate):
        said = not candidate.given
    figure = probability if said else 1 - probability
    return f"{_voters(candidate.votes, candidate.models, said, 'say')} {WORDS[said]}, {figure:.2f}"


def _statement(doubt: Doubt) -> str:
    """What the models say of the statement most in doubt: that it is missing, or that it is wrong."""
    if doubt.given:
        return f"{_voters(doubt.votes, doubt.models, False, 'deny')} {doubt.name}, {1 - doubt.probability:.2f}"
    return f"{_voters(doubt.votes, doubt.models, True, 'say')} {doubt.name}, not on file, {doubt.probability:.2f}"


def _voters(votes: int, models: int, in_favour: bool, verb: str) -> str:
    """Who says so: how many of the models, or the model where there is one."""
    if models < 2:
        return f"the model {verb.replace('deny', 'denie')}s"
    return f"{votes if in_favour else models - votes} of {models} models {verb}"


def _another_label(candidate: Candidate) -> bool:
    """Whether normal or abnormal is believed, but another label on file is not."""
    if not _known(candidate.label_set_error) or not _known(candidate.label_error):
        return False
    return (candidate.label_error or 0.0) < log(2) < (candidate.label_set_error or 0.0)
