"""Addresses of the pages."""

from annotator.pages import desk_urls, manage_urls

urlpatterns = [*desk_urls.urlpatterns, *manage_urls.urlpatterns]
