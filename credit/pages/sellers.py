"""Sellers, as pages: the list, adding one, and what is changed of one.

The page of one seller is in recharge/pages/seller.py: what is in flight is recharges.
"""

import time
import uuid
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit import queries, services
from credit.models import Seller
from credit.pages.filters import SellerField
from credit.pages.tables import sellers_table
from shared.console.danger import Danger, ask
from shared.console.forms import (
    AS_WRITTEN,
    EditForm,
    FilterForm,
    Form,
    GivenPasswordField,
    SearchField,
    TextField,
    TextInput,
)
from shared.console.languages import SHOWN_SECONDS, is_shown_again
from shared.console.lists import chosen_columns, listing_of, remember
from shared.console.views import FORM, add_problem, done, not_done, page, show, status_of_form
from shared.errors import PasswordChanged, Problem, SellerBusy
from shared.identity.lockout import client_address
from shared.identity.password_changes import password_state, suggest_password
from shared.identity.permissions import Permission
from shared.identity.queries import seller_ids_by_username, seller_usernames
from shared.identity.sellers_members import member_of_seller
from shared.outbound.secrets import SecretUnreadable, decrypt, encrypt
from tenants.routing import organization_of

MOST_BY_USERNAME = 200
"""Sellers that a search finds by their username; whoever is beyond them is found by writing more of it."""


class SearchForm(FilterForm):
    search = SearchField(label=_("Name or username"), required=False, max_length=200)
    dealer = SellerField(label=_("Dealer (name or id)"), required=False)


@page(Permission.VIEW_SELLERS)
def sellers(request: HttpRequest) -> HttpResponse:
    """All sellers with their balances, newest first."""
    organization = organization_of(request)
    form, listing = SearchForm(request.GET), listing_of(request, "sellers", _SORTS)
    filters = form.filters()
    search = filters.get("search", "")
    rows = queries.sellers()
    by_username: list[int] = []
    if search:
        by_username = seller_ids_by_username(organization_id=organization.pk, search=search, limit=MOST_BY_USERNAME)
        rows = queries.sellers_found(search, ids=by_username)
    if form.errors:
        rows = rows.none()
    elif "dealer" in filters:
        rows = rows.filter(parent=filters["dealer"])
    shown = listing.page(rows.select_related("account", "parent"))
    usernames = seller_usernames(organization_id=organization.pk, seller_ids=[seller.pk for seller in shown.rows])
    owed = queries.owed_by([seller.pk for seller in shown.rows])
    table = sellers_table(shown.rows, usernames, owed, listing=listing)
    if chosen := chosen_columns(listing, table):
        return chosen
    context = {
        "page": shown,
        "table": table.added_up(rows, page=shown),
        "listing": listing,
        "form": form,
        "is_cut_off": len(by_username) == MOST_BY_USERNAME,
    }
    return remember(listing, show(request, "credit/sellers.html", context))


_SORTS = {"name": "name", "balance": "account__balance"}


class NameForm(EditForm):
    name = TextField(label=_("Name"), max_length=200, help_text=_("The shop or the person, as shown in your lists."))


class NewChildForm(Form):
    """A seller whose dealer is known: whoever adds him."""

    name = NameForm.base_fields["name"]
    username = TextField(
        label=_("Username"),
        max_length=150,
        help_text=_("The seller signs in with it: letters, digits and @/./+/-/_ only."),
        widget=TextInput(attrs=AS_WRITTEN),
    )
    password = GivenPasswordField()
    email = forms.EmailField(
        label=_("Email address"),
        required=False,
        help_text=_("Password resets are sent here."),
        widget=forms.EmailInput(attrs=AS_WRITTEN),
    )


class NewSellerForm(NewChildForm):
    parent = SellerField(
        label=_("Dealer (name or id)"), required=False, help_text=_("The dealer above. Empty: no dealer.")
    )


@page(Permission.MANAGE_SELLERS, methods=FORM, proof=True)
def new_seller(request: HttpRequest) -> HttpResponse:
    """Adds a seller, and shows once what they sign in with."""
    if again := credentials_again(request):
        return again
    form = NewSellerForm(request.POST or None, initial={"password": suggest_password()})
    if request.method == "POST" and form.is_valid():
        fields = dict(form.cleaned_data)
        parent = fields.pop("parent")
        try:
            seller = services.create_seller(
                organization=organization_of(request), parent_id=parent and parent.pk, **fields
            )
        except Problem as problem:
            add_problem(form, problem, fields={"parent_id": "parent"})
        else:
            return show_credentials(request, seller, form.cleaned_data["password"], is_new=True)
    return show(request, "credit/new_seller.html", {"form": form}, status=status_of_form(form))


def show_credentials(request: HttpRequest, seller: Seller, password: str, *, is_new: bool) -> HttpResponse:
    """The answer to the form itself, shown this once."""
    # For the same page in another language, encrypted and not for long. The page names what it shows: that of another
    # seller, in the same session, may be asked for in another language, too.
    shown = uuid.uuid4().hex
    request.session[_SHOWN] = [shown, seller.pk, encrypt(password), is_new, time.time()]
    return _credentials(request, seller, password, is_new=is_new, shown=shown)


def _credentials(request: HttpRequest, seller: Seller, password: str, *, is_new: bool, shown: str) -> HttpResponse:
    username = member_of_seller(organization_id=organization_of(request).pk, seller_id=seller.pk).username
    context = {
        "seller": seller,
        "username": username,
        "password": password,
        "is_new": is_new,
        "sent": {"shown": shown},
    }
    return show(request, "credit/seller_credentials.html", context)


_SHOWN = "credentials_shown"


def credentials_again(request: HttpRequest) -> HttpResponse | None:
    """The page of the credentials that were shown a moment ago, where it is asked for in another language."""
    kept = request.session.get(_SHOWN)
    if not is_shown_again(request) or not kept:
        return None
    shown, seller_id, password, is_new, moment = kept
    if request.POST.get("shown") != shown or time.time() > moment + SHOWN_SECONDS:
        return None
    try:
        return _credentials(request, queries.seller_by_id(seller_id), decrypt(password), is_new=is_new, shown=shown)
    except SecretUnreadable:
        return None


@page(Permission.MANAGE_SELLERS, methods=FORM)
def rename_seller(request: HttpRequest, seller_id: int) -> HttpResponse:
    """Another name for a seller; what was sold under the former one shows the new one."""
    seller = queries.seller_by_id(seller_id)
    form = NameForm(request.POST or None, initial={"name": seller.name})
    if request.method == "POST" and form.is_valid():
        try:
            if edits := form.edits():
                services.update_seller(organization=organization_of(request), seller_id=seller_id, **edits)
        except SellerBusy as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Saved."), "seller", seller_id)
    return show(request, "credit/rename_seller.html", {"seller": seller, "form": form}, status=status_of_form(form))


class PlaceForm(Form):
    parent = SellerField(
        label=_("Dealer (name or id)"),
        required=False,
        help_text=_("The dealer above. Empty: no dealer. Sub-sellers move along."),
    )


@page(Permission.MANAGE_SELLERS, methods=FORM)
def place_seller(request: HttpRequest, seller_id: int) -> HttpResponse:
    """Places a seller below another, or below nobody."""
    seller = queries.seller_by_id(seller_id)
    form = PlaceForm(request.POST or None, initial={"parent": seller.parent_id or ""})
    if request.method == "POST" and form.is_valid():
        parent = form.cleaned_data["parent"]
        try:
            services.update_seller(
                organization=organization_of(request), seller_id=seller_id, parent_id=parent and parent.pk
            )
        except Problem as problem:
            add_problem(form, problem, fields={"parent_id": "parent"})
        else:
            return done(request, _("Saved."), "seller", seller_id)
    return show(request, "credit/place_seller.html", {"seller": seller, "form": form}, status=status_of_form(form))


@page(Permission.MANAGE_SELLERS, methods=FORM)
def switch_seller_off(request: HttpRequest, seller_id: int) -> HttpResponse:
    """Asks for confirmation, and switches the seller off."""
    said = gettext("%(name)s is deactivated: no sales and no sign-in from now on.")
    return _switch(request, seller_id, is_active=False, said=said)


@page(Permission.MANAGE_SELLERS, methods=FORM)
def switch_seller_on(request: HttpRequest, seller_id: int) -> HttpResponse:
    """Asks for confirmation, and switches the seller on again."""
    return _switch(request, seller_id, is_active=True, said=gettext("%(name)s may sell and sign in again."))


def _switch(request: HttpRequest, seller_id: int, *, is_active: bool, said: str) -> HttpResponse:
    if request.method == "POST":
        try:
            seller = services.update_seller(
                organization=organization_of(request), seller_id=seller_id, is_active=is_active
            )
        except SellerBusy as problem:
            return not_done(request, problem, "seller", seller_id)
        return done(request, said % {"name": seller.name}, "seller", seller_id)
    danger = switching(queries.seller_by_id(seller_id), is_active=is_active, back=reverse("seller", args=[seller_id]))
    return ask(request, danger)


def switching(seller: Seller, *, is_active: bool, back: str) -> Danger:
    """Asks whether a seller is to be switched on, or off; ``is_active``: what the seller becomes."""
    if is_active:
        meaning = _(
            "The seller may sign in and sell again at once, with the same password and the balance that is there."
        )
        question, act, looks = gettext("Activate %(name)s?"), _("Activate"), "primary"
    else:
        meaning = _(
            "From now on the seller can't sell or sign in; open sessions end. The balance stays, and recharges without "
            "an outcome are delivered or refunded. You can activate the seller again."
        )
        question, act, looks = gettext("Deactivate %(name)s?"), _("Deactivate"), "danger"
    return Danger(question=question % {"name": seller.name}, meaning=[meaning], act=act, back=back, looks=looks)


class NewPasswordForm(Form):
    password = GivenPasswordField()
    state = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)


@page(Permission.MANAGE_SELLERS, methods=FORM, proof=True)
def reset_seller_password(request: HttpRequest, seller_id: int) -> HttpResponse:
    """A new password for a seller, shown once."""
    if again := credentials_again(request):
        return again
    organization = organization_of(request)
    seller = queries.seller_by_id(seller_id)
    member = member_of_seller(organization_id=organization.pk, seller_id=seller_id)
    initial: dict[str, Any] = {"password": suggest_password(), "state": password_state(member.user)}
    form = NewPasswordForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            services.reset_seller_password(
                organization=organization, seller_id=seller_id, address=client_address(request), **form.cleaned_data
            )
        except PasswordChanged as problem:
            return not_done(request, problem, "seller", seller_id)
        except Problem as problem:
            add_problem(form, problem, fields={"new": "password"})
        else:
            return show_credentials(request, seller, form.cleaned_data["password"], is_new=False)
    context = {"seller": seller, "username": member.username, "form": form}
    return show(request, "credit/reset_seller_password.html", context, status=status_of_form(form))
