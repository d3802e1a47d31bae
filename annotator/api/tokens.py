"""Tokens for programs."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.api.reading_base import parsed, person
from annotator.permissions import AnyRole
from annotator.selectors.tokens import tokens_of
from annotator.services import tokens


class TokenSerializer(s.Serializer[Any]):
    """A token without its secret."""

    id = s.CharField()
    name = s.CharField()
    begins_with = s.CharField()
    created_at = s.DateTimeField()


class NewTokenSerializer(s.Serializer[Any]):
    """What a new token is for."""

    name = s.CharField(max_length=100)


class MadeTokenSerializer(s.Serializer[Any]):
    """A new token; the secret is shown this once."""

    id = s.CharField()
    name = s.CharField()
    token = s.CharField(help_text='Send it as "Authorization: Token ..."; it is stored nowhere.')


class Tokens(APIView):
    """One's own tokens."""

    permission_classes = (AnyRole,)

    @extend_schema(operation_id="tokens_list", responses=TokenSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Return one's tokens, the newest first."""
        return Response(TokenSerializer(tokens_of(person(request)), many=True).data)

    @extend_schema(request=NewTokenSerializer, responses={201: MadeTokenSerializer})
    def post(self, request: Request) -> Response:
        """Make a token with one's own rights."""
        name = parsed(NewTokenSerializer, request).validated_data["name"]
        secret, row = tokens.create_token(user=person(request), name=name)
        return Response({"id": row.token_key, "name": name, "token": secret}, status=201)


class TokenDetail(APIView):
    """One of one's own tokens."""

    permission_classes = (AnyRole,)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, token_id: str) -> Response:
        """Delete a token; a program that uses it is refused from now on."""
        tokens.delete_token(user=person(request), token_key=token_id)
        return Response(status=204)
