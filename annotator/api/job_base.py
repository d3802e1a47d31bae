"""What the views of recordings, jobs and releases share."""

from collections.abc import Iterable, Sequence
from typing import Any

from rest_framework import serializers as s
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.pagination import CursorPagination
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from annotator.models.jobs import Job

JOB_FIELDS = ("id", "state", "attempt", "progress", "failure", "created_by", "created_at", "started_at", "finished_at")


class Newest(CursorPagination):
    """Pages from the newest row on; `next` and `previous` are addresses."""

    ordering = "-pk"
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000


class AnyContent(BaseContentNegotiation):
    """Take the first renderer whatever the client asks for: these views answer with files."""

    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:  # noqa: ARG002
        """Return the first parser."""
        return next(iter(parsers), None)

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002
        renderers: Sequence[BaseRenderer],  # type: ignore[override]
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        """Return the first renderer."""
        return renderers[0], renderers[0].media_type


class JobSerializer(s.ModelSerializer[Any]):
    """What every job says of itself."""

    progress = s.DictField(read_only=True, help_text="done, total, unit and message.")
    created_by = s.CharField(source="created_by.username", default=None, read_only=True)

    class Meta:
        model: type[Job]
        fields: tuple[str, ...] = JOB_FIELDS
