"""What every admin page shares: rendering whole or live, forms that keep their input, buttons that act."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from annotator.errors import AnnotatorError
from annotator.models import Role, User
from annotator.permissions import page_roles
from ecgfm_core.errors import EcgfmError

PAGE_ROWS = 50


class AdminRequest(HttpRequest):
    """A request that `admin_page` let through."""

    user: User


admin_page = page_roles(Role.ADMIN)
Row = TypeVar("Row")


def page(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    """Render manage/<name>.html, or, asked for `?live=1`, only its live part manage/live/<name>.html."""
    if request.method == "GET" and "live" in request.GET:
        response = render(request, f"manage/live/{name}.html", context)
        response["Cache-Control"] = "no-store"
        return response
    form = context.get("form")
    status = 400 if isinstance(form, Form) and form.is_bound and form.errors else 200
    return render(request, f"manage/{name}.html", context, status=status)


def attempt(form: Form, service: Callable[..., Row], **given: Any) -> Row | None:
    """Call a service with the form's values; None where the form or the service refuses, in words beside the form."""
    if not form.is_valid():
        return None
    try:
        return service(**form.cleaned_data, **given)
    except (AnnotatorError, EcgfmError) as error:
        form.add_error(None, str(error))
        return None


def action(to: str) -> Callable[[Callable[..., str]], Callable[..., HttpResponseBase]]:
    """Decorate a button's view: POST by an admin; its words become a message on page `to` (`to/` keeps the id)."""

    def decorate(view: Callable[..., str]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def acted(request: HttpRequest, **ids: int) -> HttpResponseBase:
            try:
                messages.success(request, view(request, **ids))
            except (AnnotatorError, EcgfmError) as error:
                messages.error(request, str(error))
            return redirect(reverse(to.rstrip("/"), kwargs=ids if to.endswith("/") else {}))

        return admin_page(require_POST(acted))

    return decorate


def paged(request: HttpRequest, rows: QuerySet[Any]) -> Page[Any]:
    """Return the page of rows that `?page=` asks for."""
    return Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))


def words(form: Form) -> str:
    """Return everything that a form or its service refuses, in one line."""
    return " ".join(str(error) for errors in form.errors.values() for error in errors)
