"""Addresses of the admin pages."""

from typing import Any

urlpatterns: list[Any] = []
