"""Addresses: pages at the root, the API under /api/v1/."""

from django.urls import include, path

from annotator.pages import health

urlpatterns = [
    path("health", health.health, name="health"),
    path("ready", health.ready, name="ready"),
    path("api/v1/", include("annotator.api.urls")),
    path("", include("annotator.pages.urls")),
]
