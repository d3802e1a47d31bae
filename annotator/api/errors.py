"""Errors as a client sees them: `{"error": kind, "message": words, ...}` with the fitting status."""

from typing import Any

from django.db import DataError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from annotator.errors import AnnotatorError
from ecgfm_core.errors import EcgfmError

KINDS = {401: "not_signed_in", 403: "not_allowed", 404: "not_found", 405: "wrong_method", 429: "too_many_requests"}

UNSTORABLE = "A value is too large or too long, or holds characters that can't be stored (NUL, half a surrogate pair)."


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an error of either package or of the framework into a response; None for what is a fault of ours."""
    if isinstance(error, AnnotatorError):
        set_rollback()
        return Response({**error.detail, "error": error.kind, "message": error.message}, status=error.status)
    if isinstance(error, EcgfmError):
        set_rollback()
        return Response({"error": "invalid", "message": str(error)}, status=400)
    if isinstance(error, DataError | UnicodeEncodeError):
        set_rollback()
        return Response({"error": "invalid", "message": UNSTORABLE}, status=400)
    response = exception_handler(error, context)
    if response is None:
        return None
    body: dict[str, Any] = {"error": KINDS.get(response.status_code, "invalid"), "message": _words(response.data)}
    if isinstance(error, exceptions.ValidationError) and isinstance(response.data, dict):
        body["fields"] = response.data
    response.data = body
    return response


def _words(data: Any, field: str = "") -> str:
    """Say a framework error's nested detail in one line."""
    if isinstance(data, dict):
        if set(data) == {"detail"}:
            return _words(data["detail"])
        parts = [_words(value, "" if key == "non_field_errors" else str(key)) for key, value in data.items()]
        return f"{field}: {' '.join(parts)}" if field else " ".join(parts)
    if isinstance(data, list):
        return _words(" ".join(_words(value) for value in data), field)
    return f"{field}: {data}" if field else str(data)
