"""The label scheme in force."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api import reading_serializers as shapes
from annotator.errors import NotFound
from annotator.models import Role
from annotator.permissions import roles
from annotator.selectors import schemes
from annotator.services.answers import QUALIFIERS
from ecgfm_core import labels


class Scheme(APIView):
    """The newest scheme."""

    permission_classes = (roles(Role.READER, Role.ADJUDICATOR, Role.ADMIN, Role.RESEARCHER),)

    @extend_schema(responses=shapes.SchemeSerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002
        """Return all statements with their groups and synonyms, the qualifiers, and the pairs that clash."""
        scheme = schemes.current_scheme()
        if scheme is None:
            raise NotFound("There is no label scheme yet. Import recordings first.")
        rows = shapes.LabelSerializer(schemes.labels_by_code(scheme.pk).values(), many=True).data
        body = {"version": scheme.version, "labels": rows, "qualifiers": QUALIFIERS, "clashes": labels.clashing_pairs()}
        return Response(body)
