"""What the views of the reading side share."""

from typing import Any, TypeVar

from rest_framework.request import Request
from rest_framework.serializers import Serializer

from annotator.models import User

Form = TypeVar("Form", bound=Serializer[Any])


def person(request: Request) -> User:
    """Return the person who asks; permissions have made sure that there is one."""
    assert isinstance(request.user, User)
    return request.user


def parsed(form: type[Form], request: Request) -> Form:
    """Return the request's body as a valid form; refuses an invalid one with 400."""
    serializer = form(data=request.data)
    serializer.is_valid(raise_exception=True)
    return serializer
