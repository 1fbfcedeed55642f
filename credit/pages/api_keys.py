"""API keys, as pages: a seller manages own ones, an admin everybody's and the organization's. A secret is shown once:
on the page that follows making it."""

from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit import services
from credit.models import Seller
from credit.pages.filters import SellerField
from credit.queries import seller_by_id, sellers
from shared.console.danger import Danger, ask
from shared.console.forms import AS_WRITTEN, DayField, Form, TextField
from shared.console.shown_once import show_once, take_shown
from shared.console.views import FORM, add_problem, done, page, show, signed_in, status_of_form
from shared.days import end_of_day
from shared.errors import Problem
from shared.identity import keys
from shared.identity.permissions import Permission
from shared.identity.roles import ASKING, READ, SELLING, may, seller_in_view
from shared.mails import tell_of_new_key
from shared.models import ApiKey
from shared.pagination import page_of_rows
from tenants.routing import organization_of

ON_A_PAGE = 25
"""Rows of a list."""

SCOPES: dict[str, str | Promise] = {
    SELLING: _("Sell recharges, and transfer credit"),
    READ: _("Read: balance, recharges, statement, credit requests"),
    ASKING: _("Ask for credit"),
}

_SECRET = "new_api_key_secret"  # noqa: S105 - what a session keeps one as (shown_once.py)


class ApiKeyForm(Form):
    name = TextField(label=_("Name"), max_length=100, help_text=_("The program that uses it, such as your till."))
    seller = SellerField(
        label=_("Belongs to (name or id of a seller)"),
        required=False,
        help_text=_("Empty: the organization's own key. It reads what belongs to all sellers, and changes nothing."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("Permissions"), choices=list(SCOPES.items()), widget=forms.CheckboxSelectMultiple
    )
    allowed_addresses = forms.CharField(
        label=_("Allowed addresses"),
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs=AS_WRITTEN | {"rows": 3}),
        help_text=_("IP addresses or networks, one per line, like 203.0.113.0/24. Empty: any address."),
    )
    last_day = DayField(
        label=_("Last day"), required=False, help_text=_("Valid until the end of this day. Empty: until you revoke it.")
    )

    def __init__(self, *args: Any, sees_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not sees_all:
            del self.fields["seller"]

    def content(self) -> dict[str, Any]:
        """What was written, as the service takes it; without whose key it is."""
        written = self.cleaned_data
        return {
            "name": written["name"],
            "scopes": written["scopes"],
            "allowed_addresses": written["allowed_addresses"].replace(",", " ").split(),
            "expires_at": end_of_day(written["last_day"]) if written["last_day"] else None,
        }


def _owner(request: HttpRequest) -> int | None:
    """Whose keys the account manages: its seller's, or (None) everybody's."""
    return seller_in_view(signed_in(request))


@page(Permission.VIEW_API_KEYS)
def api_keys(request: HttpRequest) -> HttpResponse:
    """Which programs may sign in."""
    rows = keys.api_keys(organization_id=organization_of(request).pk, seller_id=_owner(request))
    found = page_of_rows(rows, limit=ON_A_PAGE, cursor=request.GET.get("cursor"))
    owners = (
        sellers().in_bulk([key.seller_id for key in found.rows if key.seller_id]) if _owner(request) is None else {}
    )
    shown = [(key, state_of(key), owners.get(key.seller_id or 0)) for key in found.rows]
    return show(request, "credit/api_keys.html", {"page": found, "keys": shown})


def state_of(key: ApiKey) -> str:
    """In a word: active, ended, expired."""
    if key.ended_at is not None:
        return "ended"
    return "active" if keys.is_living(key) else "expired"


@page(Permission.MANAGE_API_KEYS, methods=FORM, proof=True)
def make_api_key(request: HttpRequest) -> HttpResponse:
    """A new key."""
    own = _owner(request)
    initial = {"scopes": [READ] if own is None else [SELLING, READ]}
    form = ApiKeyForm(request.POST or None, initial=initial, sees_all=own is None)
    if request.method == "POST" and form.is_valid():
        seller: Seller | None = form.cleaned_data.get("seller")
        try:
            key, secret = services.create_api_key(
                organization=organization_of(request),
                seller_id=own or (seller.pk if seller else None),
                created_by=signed_in(request).username,
                **form.content(),
            )
        except Problem as problem:
            add_problem(form, problem, fields={"expires_at": "last_day", "seller_id": "seller"})
        else:
            tell_of_new_key(request, key, user_id=signed_in(request).user.pk)
            show_once(request, _SECRET, str(key.pk), secret)
            return done(request, _("The API key is created."), "api_key", key.pk)
    return show(request, "credit/api_key_form.html", {"form": form}, status=status_of_form(form))


@page(Permission.VIEW_API_KEYS)
def api_key(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """One key, and how a program uses it."""
    key = _own_key(request, key_id)
    context: dict[str, Any] = {
        "key": key,
        "state": state_of(key),
        "scopes": [(scope, SCOPES[scope]) for scope in SCOPES if scope in key.scopes],
        "seller": seller_by_id(key.seller_id) if key.seller_id and _owner(request) is None else None,
        "has_former": key.former_until is not None and key.former_until > timezone.now(),
        "may_change": may(signed_in(request), Permission.MANAGE_API_KEYS) and keys.is_living(key),
        "secret": take_shown(request, _SECRET, str(key.pk)),
        "base": f"{request.scheme}://{request.get_host()}/api/v1",
        "sells": SELLING in key.scopes,
        "reads": READ in key.scopes,
    }
    return show(request, "credit/api_key.html", context)


class NewSecretForm(Form):
    end_old = forms.BooleanField(label=_("Revoke the old secret now: others know it."), required=False)


@page(Permission.MANAGE_API_KEYS, methods=FORM, proof=True)
def rotate_api_key(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """Asks for confirmation, and makes a new secret; with ``end_old`` it alone is good from now on."""
    if request.method != "POST":
        danger = Danger(
            question=_("Create a new secret?"),
            meaning=[_("The old secret stays valid for 24 hours. Update your program by then.")],
            act=_("Create a new secret"),
            back=reverse("api_key", args=[_own_key(request, key_id).pk]),
            form=NewSecretForm(),
            looks="primary",
        )
        return ask(request, danger)
    end_old = request.POST.get("end_old") == "on"
    key, secret = keys.rotate_key(
        organization_id=organization_of(request).pk, key_id=key_id, seller_id=_owner(request), end_old=end_old
    )
    tell_of_new_key(request, key, user_id=signed_in(request).user.pk, is_rotated=True)
    show_once(request, _SECRET, str(key.pk), secret)
    told = (
        _("A new secret was created. The old one is no longer valid.")
        if end_old
        else _("A new secret was created. The old one stays valid for 24 hours.")
    )
    return done(request, told, "api_key", key.pk)


def _own_key(request: HttpRequest, key_id: UUID) -> ApiKey:
    return keys.api_key_by_id(key_id, organization_id=organization_of(request).pk, seller_id=_owner(request))


@page(Permission.MANAGE_API_KEYS, methods=FORM, proof=True)
def end_api_key(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """Asks for confirmation, and ends it, at once and for good."""
    if request.method != "POST":
        key = _own_key(request, key_id)
        danger = Danger(
            question=gettext("Revoke the API key %(name)s?") % {"name": key.name},
            meaning=[_("The program that uses it can no longer sell or read anything. This can't be undone.")],
            act=_("Revoke"),
            back=reverse("api_key", args=[key.pk]),
        )
        return ask(request, danger)
    keys.end_key(organization_id=organization_of(request).pk, key_id=key_id, seller_id=_owner(request))
    return done(request, _("The API key is revoked: no program can sign in with it."), "api_keys")
