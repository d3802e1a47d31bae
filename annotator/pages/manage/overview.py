"""The loop at a glance, and the audit trail."""

from django.http import HttpRequest, HttpResponse

from annotator.pages.manage.base import admin_page, page, paged
from annotator.pages.manage.next_step import next_step
from annotator.pages.manage.stopping import stop_words
from annotator.selectors import manage
from annotator.selectors.loop import fresh_failures, jobs_under_way, loop
from annotator.selectors.stopping import newest


@admin_page
def overview(request: HttpRequest) -> HttpResponse:
    """What runs, what waits, and the next step."""
    state = loop()
    read = newest()
    stop = stop_words(read.estimate) if read else None
    context = {"loop": state, "next": next_step(state), "jobs": jobs_under_way(), "failures": fresh_failures()}
    return page(request, "overview", context | {"stop": stop, "read": read})


@admin_page
def audit(request: HttpRequest) -> HttpResponse:
    """Who did what, newest first."""
    return page(request, "audit", {"events": paged(request, manage.audit_events())})
