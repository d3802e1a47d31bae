"""People: create, another role, a new password, deactivate; passwords are shown once, on the answer itself."""

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from annotator.errors import InvalidInput
from annotator.models import Role, User
from annotator.pages.manage.base import AdminRequest, action, admin_page, attempt, page
from annotator.pages.manage.forms import PersonForm, RoleForm
from annotator.selectors import manage
from annotator.services import people as service


@admin_page
@never_cache
def people(request: AdminRequest) -> HttpResponse:
    """List people; POST creates one and shows the password once."""
    form = PersonForm(request.POST or None)
    made = attempt(form, service.create_user, by=request.user) if request.method == "POST" else None
    return _render(request, PersonForm() if made else form, made)


def _render(request: HttpRequest, form: Form, shown: tuple[User, str] | None) -> HttpResponse:
    return page(request, "people", {"form": form, "people": manage.people(), "roles": Role.choices, "shown": shown})


@admin_page
@never_cache
@require_POST
def reset_password(request: AdminRequest, pk: int) -> HttpResponse:
    """Give a person a new password and show it once."""
    person = get_object_or_404(User, pk=pk)
    return _render(request, PersonForm(), (person, service.reset_password(user=person, by=request.user)))


@action("manage-people")
def change_role(request: AdminRequest, pk: int) -> str:
    """Give a person another role."""
    form = RoleForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(f"There is no role {request.POST.get('role', '')!r}; {', '.join(Role.values)} are allowed.")
    person = service.set_role(user=get_object_or_404(User, pk=pk), role=form.cleaned_data["role"], by=request.user)
    return f"{person} is {person.get_role_display().lower()} now."


@action("manage-people")
def deactivate(request: AdminRequest, pk: int) -> str:
    """Keep a person from signing in."""
    person = service.set_active(user=get_object_or_404(User, pk=pk), active=False, by=request.user)
    return f"{person} can't sign in any more; what they read stays."


@action("manage-people")
def activate(request: AdminRequest, pk: int) -> str:
    """Let a person sign in again."""
    person = service.set_active(user=get_object_or_404(User, pk=pk), active=True, by=request.user)
    return f"{person} can sign in again."
