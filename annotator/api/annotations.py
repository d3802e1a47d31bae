"""Stored answers: a reader's own, all for adjudicators and admins."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api import reading_serializers as shapes
from annotator.api.reading_base import person
from annotator.errors import InvalidInput
from annotator.models import Annotation, Role
from annotator.permissions import roles
from annotator.selectors import readings
from annotator.services import annotations

FILTERS = {"round": "item__round__number", "recording": "recording", "stage": "stage"}


class NewestFirst(CursorPagination):
    """Newest first, by id."""

    ordering = "-pk"


class Annotations(ListAPIView[Annotation]):
    """Answers, newest first."""

    permission_classes = (roles(Role.READER, Role.ADJUDICATOR, Role.ADMIN),)
    serializer_class = shapes.AnnotationSerializer
    pagination_class = NewestFirst

    @extend_schema(
        parameters=[
            OpenApiParameter("round", OpenApiTypes.INT, description="Number of a round."),
            OpenApiParameter("recording", OpenApiTypes.INT, description="Id of a recording."),
            OpenApiParameter("stage", OpenApiTypes.STR, enum=Annotation.Stage.values),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the answers that you may see: readers their own, adjudicators and admins all."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Annotation]:
        """Narrow what the person may see by the query's filters."""
        rows = readings.annotations(person(self.request))
        for name, field in FILTERS.items():
            if value := self.request.query_params.get(name):
                if name != "stage" and not value.isdecimal():
                    raise InvalidInput(f"?{name}={value}: it is a whole number.")
                rows = rows.filter(**{field: value})
        return rows


class Revise(APIView):
    """A newer answer."""

    permission_classes = (roles(Role.READER),)

    @extend_schema(request=shapes.AnswerSerializer, responses={201: shapes.StoredSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Store a newer final read beside one of your own; the earlier one stays."""
        (answer, key, _), reader = shapes.parsed_answer(request), person(request)
        older = readings.annotation_by_id(pk, reader)
        stored = annotations.revise(annotation=older, reader=reader, answer=answer, idempotency_key=key)
        return Response({"annotation": shapes.receipt(stored)}, status=201)
