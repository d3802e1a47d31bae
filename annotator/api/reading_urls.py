"""Addresses of the reading side of the API."""

from typing import Any

urlpatterns: list[Any] = []
