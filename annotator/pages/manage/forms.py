"""Forms of the admin pages: what a person types, turned into what the services take."""

import json
from typing import Any

from django import forms
from django.utils.html import format_html

from annotator.models import Checkpoint, Dataset, Recording, Role, Round
from ecgfm_core import configs
from ecgfm_core.errors import ConfigError

WHOLE_NUMBER = {"invalid": "Give a whole number."}


def _the_only_dataset() -> list[int]:
    """Tick the dataset beforehand where there is no choice."""
    found = list(Dataset.objects.values_list("pk", flat=True)[:2])
    return found if len(found) == 1 else []


class DatasetsField(forms.ModelMultipleChoiceField):
    """One or more datasets, ticked; cleaned to their ids."""

    widget = forms.CheckboxSelectMultiple

    def __init__(self, **options: Any) -> None:
        wanted = {"required": "Tick at least one dataset; import recordings first if there is none."}
        super().__init__(Dataset.objects.order_by("name"), error_messages=wanted, initial=_the_only_dataset, **options)

    def clean(self, value: Any) -> Any:
        """Return the ids."""
        return [row.pk for row in super().clean(value)]


class ImportForm(forms.Form):
    """An import from the server's import folder."""

    path = forms.CharField(
        max_length=1000, label="Folder or zip file", error_messages={"required": "Say what to import."}
    )
    dataset_name = forms.CharField(
        max_length=60, label="Into dataset", error_messages={"required": "Name the dataset."}
    )


class UploadForm(forms.Form):
    """An import of an uploaded zip file."""

    file = forms.FileField(label="Zip file", error_messages={"required": "Choose a zip file to upload."})
    dataset_name = forms.CharField(
        max_length=60, label="Into dataset", error_messages={"required": "Name the dataset."}
    )

    def clean_file(self) -> Any:
        """Refuse what is not named like a zip file; its content is checked by the import."""
        file = self.cleaned_data["file"]
        if not file.name.lower().endswith(".zip"):
            raise forms.ValidationError(f"{file.name} is not a zip file. Put the recordings into one zip file.")
        return file


class TrainingForm(forms.Form):
    """A training run: a named config, what differs from it, datasets and a seed."""

    config_name = forms.ChoiceField(label="Config", widget=forms.RadioSelect)
    dataset_ids = DatasetsField(label="Datasets")
    seed = forms.IntegerField(min_value=0, max_value=2**32 - 1, initial=0, error_messages=WHOLE_NUMBER)
    config = forms.CharField(
        required=False,
        label="Changes to the config",
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "epochs=5", "spellcheck": "false"}),
        help_text="One field=value a line; none for the config as it is.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["config_name"].choices = [(name, name) for name in configs.names()]  # type: ignore[attr-defined]
        self.fields["config_name"].initial = configs.names()[0]

    def clean_config(self) -> dict[str, Any]:
        """Return the changes as a dict; the config itself knows which fields and values it takes."""
        changes: dict[str, Any] = {}
        for line in filter(None, map(str.strip, self.cleaned_data["config"].splitlines())):
            name, equals, value = (part.strip() for part in line.partition("="))
            if not (equals and name and value):
                raise forms.ValidationError(f"“{line}” is not of the form field=value, such as epochs=5.")
            if name in changes:
                raise forms.ValidationError(f"“{name}” is given twice; keep one line.")
            changes[name] = _value(value)
        return changes

    def clean(self) -> dict[str, Any]:
        """Refuse fields and values that the config does not take."""
        data = super().clean() or {}
        if data.get("config") and data.get("config_name"):
            try:
                configs.build(data["config_name"], data["config"])
            except ConfigError as error:
                self.add_error("config", str(error))
        return data


def _value(text: str) -> Any:
    """Read a number, true, false, null or a list; anything else is a word."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


STRATEGY_HELP = {
    Round.Strategy.RELABEL: "What is on file and the models disbelieve: finds most errors for the readings it costs.",
    Round.Strategy.UNCERTAINTY: "The model can't decide, whatever is on file: hard recordings, few of them wrong.",
    Round.Strategy.COMMITTEE: "Models trained alike disagree: an answer teaches them most.",
    Round.Strategy.NOVELTY: "Far from all that was read: for a new centre or device.",
    Round.Strategy.RANDOM: "By chance, without a model: the only way to read the test split.",
}


class RoundForm(forms.Form):
    """A round as it is planned."""

    dataset_ids = DatasetsField(label="Datasets")
    strategy = forms.ChoiceField(
        choices=[
            (
                value,
                format_html('<span>{} <span class="hint">{}</span></span>', name, STRATEGY_HELP[Round.Strategy(value)]),
            )
            for value, name in Round.Strategy.choices
        ],
        initial=Round.Strategy.RELABEL,
        widget=forms.RadioSelect,
        label="Choose by",
    )
    checkpoint = forms.ModelChoiceField(
        Checkpoint.objects.order_by("-pk"), required=False, empty_label="None (random only)", label="Scores of"
    )
    split = forms.ChoiceField(
        choices=Recording.Split.choices,
        initial=Recording.Split.TRAIN,
        help_text="The test split judges models: it is drawn at random and never revealed.",
    )
    budget = forms.IntegerField(min_value=1, initial=200, label="Recordings to read", error_messages=WHOLE_NUMBER)
    audit_percent = forms.FloatField(
        min_value=0, max_value=100, initial=10, label="Audit share, %",
        help_text="Of the budget, drawn at random; it alone tells how many labels are wrong.",
    )  # fmt: skip
    repeat_percent = forms.FloatField(
        min_value=0, max_value=20, initial=3, label="Repeats, %",
        help_text="Added to the budget: readers meet some of their earlier recordings again, and aren't told. "
        "Shows how often they agree with themselves.",
    )  # fmt: skip
    control_percent = forms.FloatField(
        min_value=0, max_value=20, initial=0, label="Controls, %",
        help_text="Added to the budget: recordings whose answer is known. Shows how often a reader finds it.",
    )  # fmt: skip
    readers_per_item = forms.IntegerField(min_value=1, max_value=5, initial=1, label="Readers a recording")
    reveal = forms.ChoiceField(choices=Round.Reveal.choices, initial=Round.Reveal.AFTER_FIRST_READ)
    seed = forms.IntegerField(
        min_value=0, max_value=2**32 - 1, initial=0, error_messages=WHOLE_NUMBER,
        help_text="The same seed draws the same recordings.",
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """Return what the service takes: shares as parts of one."""
        data = super().clean() or {}
        for name in ("audit", "repeat", "control"):
            data[f"{name}_share"] = (data.pop(f"{name}_percent", None) or 0) / 100
        if data.get("checkpoint") is None and data.get("strategy") not in (None, Round.Strategy.RANDOM):
            self.add_error(
                "checkpoint", "This strategy needs a checkpoint's scores; train and score first, or draw at random."
            )
        return data


class ReleaseForm(forms.Form):
    """A curated release as it is asked for."""

    title = forms.CharField(max_length=120, error_messages={"required": "Give the release a title."})
    notes = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}))
    dataset_ids = DatasetsField(label="Datasets")
    only_consensus = forms.BooleanField(required=False, label="Only recordings that were read")


class ProspectiveForm(forms.Form):
    """A prospective test as it is started."""

    name = forms.CharField(max_length=100, error_messages={"required": "Give the test a name."})
    checkpoint = forms.ModelChoiceField(
        Checkpoint.objects.order_by("-pk"), empty_label=None, error_messages={"required": "Choose a checkpoint."}
    )
    dataset_name = forms.CharField(
        max_length=60, label="Arrivals go into dataset", error_messages={"required": "Name the dataset."}
    )
    watch_path = forms.CharField(
        required=False, max_length=1000, label="Watch folder", help_text="Below the import folder; none for API alone."
    )
    threshold = forms.FloatField(
        required=False,
        min_value=0,
        max_value=1,
        label="Abnormal from probability",
        help_text="Left empty: the threshold that was best on the checkpoint's validation split.",
    )
    with_text = forms.BooleanField(required=False, initial=True, label="Write a text for each recording")


class ReadingForm(forms.Form):
    """A round over arrivals that nobody has read."""

    budget = forms.IntegerField(required=False, min_value=1, label="Recordings", error_messages=WHOLE_NUMBER)
    readers_per_item = forms.IntegerField(min_value=1, max_value=5, initial=1, label="Readers a recording")
    reveal = forms.ChoiceField(
        choices=[
            (Round.Reveal.NEVER.value, "Never"),
            (Round.Reveal.AFTER_FIRST_READ.value, "After a blind first read"),
        ],
        label="Readers see the model",
    )


class PersonForm(forms.Form):
    """A new person."""

    username = forms.CharField(
        max_length=150, label="Name", error_messages={"required": "Give a name to sign in with."}
    )
    role = forms.ChoiceField(choices=Role.choices, initial=Role.READER)


class RoleForm(forms.Form):
    """Another role for a person."""

    role = forms.ChoiceField(choices=Role.choices)
