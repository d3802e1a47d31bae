"""Application config."""

from django.apps import AppConfig


class AnnotatorConfig(AppConfig):
    """The web side of ECGFM."""

    name = "annotator"
    verbose_name = "ECGFM"
