"""Claim, hold, draft and answer queue items: readers only."""

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api import reading_serializers as shapes
from annotator.api.reading_base import parsed, person
from annotator.models import QueueItem, Role
from annotator.permissions import roles
from annotator.selectors import worklists
from annotator.selectors.readings import item_by_id
from annotator.selectors.reveal import reveal
from annotator.services import annotations, queue

NOTHING = OpenApiResponse(description="Done")


class ReaderView(APIView):
    """Base: only readers."""

    permission_classes = (roles(Role.READER),)


def shown_item(pk: int, recording: int | None) -> QueueItem:
    """Return the item that an answer is for; refuses it where another recording was shown."""
    item = item_by_id(pk)
    queue.refuse_other(item, recording)
    return item


class Claims(ReaderView):
    """What a reader holds."""

    @extend_schema(operation_id="claims_list", responses=shapes.ItemSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Return the items that you hold, first claimed first."""
        reader = person(request)
        return Response(worklists.describe(worklists.held_items(reader), reader))

    @extend_schema(request=None, responses={201: shapes.ClaimSerializer, 200: shapes.ClaimSerializer})
    def post(self, request: Request) -> Response:
        """Claim the next item; 200 with `item: null` says why there is none."""
        reader = person(request)
        item = queue.claim_next(reader=reader)
        if item is None:
            return Response({"item": None, "why": worklists.why_nothing(reader, queue.HELD_MAX)})
        return Response({"item": worklists.describe([item], reader)[0]}, status=201)


class Heartbeat(ReaderView):
    """A sign of life."""

    @extend_schema(request=None, responses=shapes.LeaseSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Extend the lease of this item and of all else you hold."""
        until = queue.heartbeat(item=item_by_id(pk), reader=person(request))
        return Response({"lease_until": until})


class GiveBack(ReaderView):
    """Back into the queue."""

    @extend_schema(request=None, responses={204: NOTHING})
    def post(self, request: Request, pk: int) -> Response:
        """Give an item back; you or others may claim it again."""
        queue.give_back(item=item_by_id(pk), reader=person(request))
        return Response(status=204)


class Skip(ReaderView):
    """Not for me."""

    @extend_schema(request=shapes.SkipSerializer, responses={204: NOTHING})
    def post(self, request: Request, pk: int) -> Response:
        """Pass an item on to other readers; it is not offered to you again."""
        reason = parsed(shapes.SkipSerializer, request).validated_data["reason"]
        queue.skip(item=item_by_id(pk), reader=person(request), reason=reason)
        return Response(status=204)


class DraftView(ReaderView):
    """An unfinished reading."""

    @extend_schema(request=shapes.DraftSerializer, responses={200: shapes.DraftSerializer})
    def put(self, request: Request, pk: int) -> Response:
        """Keep a draft made on `version`; 409 with the server's `draft` where that is stale."""
        fields = parsed(shapes.DraftSerializer, request).validated_data
        item = shown_item(pk, fields.pop("recording", None))
        draft = annotations.save_draft(item=item, reader=person(request), **fields)
        return Response({"content": draft.content, "version": draft.version})


class FirstRead(ReaderView):
    """The blind first read."""

    @extend_schema(request=shapes.AnswerSerializer, responses={201: shapes.FirstReadSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Store the blind first read and see the reveal."""
        answer, key, shown = shapes.parsed_answer(request)
        item = shown_item(pk, shown)
        stored = annotations.submit_first(item=item, reader=person(request), answer=answer, idempotency_key=key)
        return Response({"annotation": shapes.receipt(stored), "reveal": reveal(item)}, status=201)


class FinalRead(ReaderView):
    """The answer that counts."""

    @extend_schema(request=shapes.AnswerSerializer, responses={201: shapes.StoredSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Store the final read; the item is answered."""
        answer, key, shown = shapes.parsed_answer(request)
        item = shown_item(pk, shown)
        stored = annotations.submit_final(item=item, reader=person(request), answer=answer, idempotency_key=key)
        return Response({"annotation": shapes.receipt(stored)}, status=201)


class Worklist(ReaderView):
    """What waits."""

    @extend_schema(responses=shapes.WorklistSerializer)
    def get(self, request: Request) -> Response:
        """Return the open rounds as you have them, and why nothing waits where nothing does."""
        return Response(worklists.worklist(person(request)))
