"""Addresses of the API for recordings, training, checkpoints, releases and tokens."""

from typing import Any

urlpatterns: list[Any] = []
