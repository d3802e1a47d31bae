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


def locked_out(request: HttpRequest, credentials: dict[str, Any], *_: Any, **__: Any) -> HttpResponse:
    """Say how long the door stays shut after too many wrong passwords (called by django-axes)."""
    minutes = round(settings.AXES_COOLOFF_TIME * 60)
    context = {"minutes": minutes, "username": credentials.get("username", ""), "limit": settings.AXES_FAILURE_LIMIT}
    return render(request, "registration/locked_out.html", context, status=429)
