"""Transfers of credit between a dealer and his children, as pages."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit import transfers, tree
from credit.errors import InsufficientCredit
from credit.models import Account
from credit.pages.credit import KeyField, new_key, with_new_key
from credit.pages.filters import SellerFilters, read_filters
from credit.pages.tables import transfers_table
from shared.console.forms import ChoiceField, DaysForm, Form, TextField, TomansFormField
from shared.console.lists import chosen_columns, listing_of, remember
from shared.console.messages import message_for
from shared.console.views import FORM, add_problem, done, own_seller, page, show, signed_in, status_of_form
from shared.errors import IdempotencyKeyReused, NotFound, Problem
from shared.identity.permissions import Permission
from shared.identity.roles import sees_all_sellers, seller_in_view
from tenants.routing import organization_of

MOST_CHOICES = 200
"""Sellers to choose from; one beyond them is given to from his own page."""


class TransferFilters(SellerFilters, DaysForm):
    direction = ChoiceField(
        label=_("Direction"),
        required=False,
        choices=[("", _("Both")), (transfers.GIVEN, _("Given")), (transfers.RECEIVED, _("Received"))],
    )

    field_order = ("direction", "from_day", "to_day")

    def __init__(self, *args: Any, sees_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, sees_all=sees_all, **kwargs)
        if sees_all:
            del self.fields["direction"]


@page(Permission.VIEW_TRANSFERS)
def transfer_list(request: HttpRequest) -> HttpResponse:
    """What a seller has given and received; who sees all sellers sees everybody's."""
    form, filters = read_filters(request, TransferFilters)
    own = seller_in_view(signed_in(request))
    # One's own are shown, and so sorted, with the sign of what they did to the balance.
    listing = listing_of(request, "transfers", {"amount": "amount" if own is None else "change"})
    rows = transfers.transfers(**filters)
    rows = rows.none() if form.errors else rows  # all rows would be taken for those that were asked for
    rows = rows if own is None else transfers.with_change(rows, own)
    shown = listing.page(rows.select_related("giver", "receiver"))
    table = transfers_table(transfers.shown_to(shown.rows, own), own=own, listing=listing)
    if chosen := chosen_columns(listing, table):
        return chosen
    context = {
        "page": shown,
        "table": table.added_up(rows, page=shown),
        "form": form,
        "may_give": own and _may_give(own),
        "listing": listing,
    }
    return remember(listing, show(request, "credit/transfers.html", context))


def _may_give(own: int) -> bool:
    return any(tree.place_of(own))


@page(Permission.VIEW_TRANSFERS)
def transfer(request: HttpRequest, transfer_id: UUID) -> HttpResponse:
    """One transfer: who gave what to whom; to be printed."""
    account = signed_in(request)
    own = seller_in_view(account)
    row = transfers.transfer_by_id(transfer_id, seller_id=own)
    (shown,) = transfers.shown_to([row], own)
    context = {
        "row": row,
        "balance_after": shown.balance_after,
        "is_given": row.giver_id == own,
        "links": sees_all_sellers(account),
    }
    return show(request, "credit/transfer.html", context)


class TransferForm(Form):
    to = ChoiceField(label=_("Receiver"))
    amount = TomansFormField()
    note = TextField(label=_("Note"), required=False, max_length=500, help_text=_("Both sides see it."))
    key = KeyField()

    def __init__(self, *args: Any, own: int, chosen: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        related = tree.related_to(own)
        sellers = list(related.order_by("name", "pk")[:MOST_CHOICES])
        if (
            chosen.isascii()
            and chosen.isdigit()
            and len(chosen) < 19
            and int(chosen) not in {one.pk for one in sellers}
        ):
            sellers += related.filter(pk=int(chosen))
        self.names = {str(one.pk): one.name for one in sellers}
        self.fields["to"].choices = list(self.names.items())  # type: ignore[attr-defined]


def _form(request: HttpRequest, data: QueryDict | None) -> TransferForm:
    chosen = (data or request.GET).get("to", "")
    initial = {"key": new_key(), "to": chosen}
    return TransferForm(data, own=own_seller(request), chosen=chosen, initial=initial)


@page(Permission.TRANSFER)
def new_transfer(request: HttpRequest) -> HttpResponse:
    """Asks to whom and how much."""
    data = request.GET if "amount" in request.GET else None  # back from the next page, to change it
    form = _form(request, data)
    if not form.names:
        raise NotFound("There is nobody to give to.")
    return _show_form(request, form)


def _show_form(request: HttpRequest, form: TransferForm) -> HttpResponse:
    context = {"form": form, "balance": _balance(own_seller(request))}
    return show(request, "credit/new_transfer.html", context, status=status_of_form(form))


def _balance(seller_id: int) -> int:
    return Account.objects.values_list("balance", flat=True).get(pk=seller_id)


@page(Permission.TRANSFER, methods=FORM)
def confirm_transfer(request: HttpRequest) -> HttpResponse:
    """What it would come to, and the transfer itself: once, however often the form is sent."""
    given: QueryDict = request.POST if request.method == "POST" else request.GET
    form = _form(request, given)
    if not form.is_valid():
        return _show_form(request, form)
    own, cleaned, said = own_seller(request), form.cleaned_data, ""
    if request.method == "POST":
        try:
            made = transfers.transfer_credit(
                organization=organization_of(request),
                giver_id=own,
                receiver_id=int(cleaned["to"]),
                idempotency_key=cleaned["key"],
                amount=cleaned["amount"],
                note=cleaned["note"],
                access=signed_in(request).access,
            )
        except IdempotencyKeyReused:
            form.data = with_new_key(given)
            form.add_error(None, _SENT_BEFORE)
            return _show_form(request, form)
        except InsufficientCredit as problem:
            said = message_for(problem, instead=_INSTEAD)
        except Problem as problem:
            add_problem(form, problem)
            return _show_form(request, form)
        else:
            text = gettext("This was already done the same way. Nothing was done twice.")
            if not made.is_replay:
                text = gettext("Done: the credit is transferred.")
            return done(request, text, "transfer", made.row.row.pk)
    balance = _balance(own)
    context = {
        "name": form.names[cleaned["to"]],
        "given": cleaned,
        "balance": balance,
        "balance_then": balance - cleaned["amount"],
        "problem": said,
        "change": urlencode({name: cleaned[name] for name in ("to", "amount", "note", "key")}),
    }
    return show(request, "credit/confirm_transfer.html", context, status=422 if said else 200)


_SENT_BEFORE = _(
    "This form was already sent with other content: check the transfers. To transfer this as well, send it now."
)
_INSTEAD: dict[type[Problem], str | Promise] = {
    InsufficientCredit: _("Your balance is %(balance)s Tomans: %(required)s can't be transferred. Nothing was done."),
}
