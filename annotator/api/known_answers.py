"""Admins say which recordings may serve as controls because their answer is known."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api.reading_base import person
from annotator.models import Role
from annotator.permissions import roles
from annotator.services import known_answers


class KnownAnswer(APIView):
    """Whether an admin vouches for what holds for a recording."""

    permission_classes = (roles(Role.ADMIN),)

    @extend_schema(operation_id="known_answer_set", request=None, responses={204: None})
    def put(self, request: Request, pk: int) -> Response:
        """Vouch for it: the recording may be drawn as a control."""
        known_answers.vouch(recording_id=pk, by=person(request))
        return Response(status=204)

    @extend_schema(operation_id="known_answer_unset", request=None, responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Vouch for it no longer."""
        known_answers.withdraw(recording_id=pk, by=person(request))
        return Response(status=204)
