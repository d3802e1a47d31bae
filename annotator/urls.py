"""Addresses: pages at the root, the API under /api/v1/."""

from django.urls import include, path

urlpatterns = [
    path("api/v1/", include("annotator.api.urls")),
    path("", include("annotator.pages.urls")),
]
