"""Deny by default: a view without its roles refuses everyone."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from rest_framework.permissions import BasePermission

from annotator.models import Role, User

if TYPE_CHECKING:  # rest_framework's views import this module through the settings
    from rest_framework.request import Request
    from rest_framework.views import APIView


def has_role(user: object, roles: frozenset[str] | set[str]) -> bool:
    """Whether a signed-in, active person holds one of the roles."""
    return isinstance(user, User) and user.is_active and user.role in roles


class DenyUnlessRole(BasePermission):
    """Default of every API view: refuses; `roles(...)` makes the permission that lets some in."""

    allowed: ClassVar[frozenset[str]] = frozenset()
    message = "Your role may not do this."

    def has_permission(self, request: "Request", view: "APIView") -> bool:  # noqa: ARG002
        return has_role(request.user, self.allowed)


def roles(*allowed: Role) -> type[DenyUnlessRole]:
    """Return a DRF permission class for these roles: `permission_classes = [roles(Role.ADMIN)]`."""
    return type("Roles" + "".join(role.title() for role in allowed), (DenyUnlessRole,), {"allowed": frozenset(allowed)})


AnyRole = roles(*Role)


def page_roles(*allowed: Role) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """Decorate a page view: 403 for everyone but these roles (anonymous visitors are sent to sign in)."""

    def decorate(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not has_role(request.user, frozenset(allowed)):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        guarded.allowed_roles = frozenset(allowed)  # type: ignore[attr-defined]
        return guarded

    return decorate
