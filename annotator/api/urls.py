"""Addresses of the REST API."""

from annotator.api import job_urls, reading_urls

urlpatterns = [*reading_urls.urlpatterns, *job_urls.urlpatterns]
