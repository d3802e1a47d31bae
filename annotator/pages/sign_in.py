"""Signing in and out, and what a locked-out person is told."""

from typing import Any

from django.conf import settings
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


class SignIn(LoginView):
    """The sign-in page; someone who is signed in already goes straight on."""

    template_name = "registration/login.html"
    redirect_authenticated_user = True


def client_address(request: HttpRequest) -> str:
    """Return who asks (called by django-axes): behind the proxy, the address that the proxy itself saw.

    A proxy adds what it saw at the end; all before that is the client's own word. Without this, ten wrong passwords
    from anywhere would lock a person out everywhere.
    """
    seen: str = request.META.get("REMOTE_ADDR", "")  # none in a sign-in from code
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.BEHIND_PROXY else ""
    return forwarded.rpartition(",")[2].strip() or seen


def locked_out(request: HttpRequest, credentials: dict[str, Any], *_: Any, **__: Any) -> HttpResponse:
    """Say how long the door stays shut after too many wrong passwords (called by django-axes)."""
    minutes = round(settings.AXES_COOLOFF_TIME * 60)
    context = {"minutes": minutes, "username": credentials.get("username", ""), "limit": settings.AXES_FAILURE_LIMIT}
    return render(request, "registration/locked_out.html", context, status=429)
