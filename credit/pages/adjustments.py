"""Adjustments of sellers' balances, as pages."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit import adjustments as services
from credit import queries
from credit.errors import AlreadyDecided, BalanceLimitExceeded, FourEyes, InsufficientCredit
from credit.models import Adjustment
from credit.pages.credit import KeyField, new_key, with_new_key
from credit.pages.deciding import APPROVE, REJECT, Deciding, decide_page, decided_already, in_order
from credit.pages.filters import CreditRequestFilters, SellerField, read_filters
from credit.pages.tables import adjustments_table
from credit.services import Written
from shared.console.danger import Danger, ask
from shared.console.formats import format_number
from shared.console.forms import ChoiceField, Form, TextField, TomansFormField
from shared.console.lists import chosen_columns, listing_of, remember
from shared.console.messages import message_for
from shared.console.views import FORM, add_problem, done, not_done, on_to, page, show, signed_in, status_of_form
from shared.errors import IdempotencyKeyReused, Problem, SellerBusy
from shared.identity.accounts import Account
from shared.identity.permissions import Permission
from shared.identity.roles import may
from tenants.routing import organization_of

SORTS = {"amount": "amount"}
MORE, LESS = "more", "less"


class AdjustmentFilters(CreditRequestFilters):
    """The same: a state, days and a seller."""


@page(Permission.VIEW_ADJUSTMENTS)
def adjustments(request: HttpRequest) -> HttpResponse:
    """All of them, newest first."""
    form, filters = read_filters(request, AdjustmentFilters)
    listing, account = listing_of(request, "adjustments", SORTS), signed_in(request)
    rows = queries.adjustments(**filters)
    rows = rows.none() if form.errors else rows  # all rows would be taken for those that were asked for
    shown = listing.page(rows.select_related("seller"))
    may_decide = may(account, Permission.MAKE_ADJUSTMENTS)
    table = adjustments_table(shown.rows, listing=listing, decider=account.user.pk if may_decide else None)
    if chosen := chosen_columns(listing, table):
        return chosen
    context = {"page": shown, "table": table.added_up(rows, page=shown), "form": form, "listing": listing}
    return remember(listing, show(request, "credit/adjustments.html", context))


class AdjustmentForm(Form):
    seller = SellerField()
    direction = ChoiceField(
        label=_("Type of adjustment"), choices=[(MORE, _("Add to the balance")), (LESS, _("Take from the balance"))]
    )
    amount = TomansFormField()
    reason = TextField(label=_("Reason"), max_length=500, help_text=_("It is kept with the adjustment."))
    reference = TextField(
        label=_("Reference"),
        required=False,
        max_length=100,
        help_text=_("For example the number of a letter, or the bank's reference."),
    )
    key = KeyField()


@page(Permission.MAKE_ADJUSTMENTS, methods=FORM)
def new_adjustment(request: HttpRequest) -> HttpResponse:
    """Asks for one: once, however often the form is sent."""
    asked = {name: request.GET.get(name, "") for name in ("seller", "amount", "direction", "reference")}
    form = AdjustmentForm(request.POST or None, initial={"key": new_key(), **asked})
    if request.method == "POST" and form.is_valid():
        given, account = form.cleaned_data, signed_in(request)
        try:
            row = services.create_adjustment(
                organization=organization_of(request),
                seller_id=given["seller"].pk,
                idempotency_key=given["key"],
                amount=given["amount"] if given["direction"] == MORE else -given["amount"],
                reason=given["reason"],
                reference=given["reference"],
                asked_by=account.username,
                asked_by_id=account.user.pk,
                access=account.access,
            ).row
        except IdempotencyKeyReused:
            # What is sent from here on is another adjustment.
            form.data = with_new_key(request.POST)
            form.add_error(None, _SENT_BEFORE)
        except InsufficientCredit as problem:
            form.add_error("amount", message_for(problem, instead=_INSTEAD))
        except Problem as problem:
            add_problem(form, problem, fields={"seller_id": "seller"})
        else:
            if row.status == Adjustment.Status.PENDING:
                said = gettext("Waiting for a second person to approve it. The balance has not changed yet.")
            else:
                said = gettext("Done: the balance of %(name)s has changed.") % {"name": given["seller"].name}
            return done(request, said, "adjustment", row.pk)
    context = {"form": form, "four_eyes_from": queries.policy().four_eyes_from}
    return show(request, "credit/new_adjustment.html", context, status=status_of_form(form))


_SENT_BEFORE = _(
    "This form was already sent with other content: check the adjustments. To make this one as well, send it now."
)
_INSTEAD: dict[type[Problem], str | Promise] = {
    InsufficientCredit: _("The balance is %(balance)s Tomans: %(required)s can't be taken from it. Nothing was done.")
}


@page(Permission.VIEW_ADJUSTMENTS)
def adjustment(request: HttpRequest, adjustment_id: UUID) -> HttpResponse:
    """One adjustment."""
    return show(request, "credit/adjustment.html", _context(request, adjustment_id))


def _context(request: HttpRequest, adjustment_id: UUID) -> dict[str, Any]:
    row = queries.adjustment_by_id(adjustment_id)
    account = signed_in(request)
    is_own = row.asked_by_id == account.user.pk
    return {
        "row": row,
        "is_own": is_own,
        "may_decide": row.status == Adjustment.Status.PENDING and may(account, Permission.MAKE_ADJUSTMENTS),
        "balance_then": row.seller.account.balance + row.amount,
    }


@page(Permission.MAKE_ADJUSTMENTS, methods=FORM)
def approve_adjustment(request: HttpRequest, adjustment_id: UUID) -> HttpResponse:
    """Asks for confirmation, and approves."""
    if request.method == "POST":
        return _decide(request, adjustment_id, services.approve_adjustment)
    context = _context(request, adjustment_id)
    if not context["may_decide"] or context["is_own"]:
        return on_to(request, "adjustment", adjustment_id)
    return show(request, "credit/approve_adjustment.html", context)


class RejectionForm(Form):
    reason = TextField(label=_("Reason"), max_length=500)


@page(Permission.MAKE_ADJUSTMENTS, methods=FORM)
def reject_adjustment(request: HttpRequest, adjustment_id: UUID) -> HttpResponse:
    """Rejects, with a reason; whoever asked for it withdraws it."""
    form = RejectionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _decide(request, adjustment_id, services.reject_adjustment, reason=form.cleaned_data["reason"])
    context = _context(request, adjustment_id)
    if not context["may_decide"]:
        return on_to(request, "adjustment", adjustment_id)
    is_own = context["is_own"]
    danger = Danger(
        question=_("Withdraw an adjustment") if is_own else _("Reject an adjustment"),
        meaning=[_("This does not change any balance.")],
        act=_("Withdraw") if is_own else _("Reject"),
        back=reverse("adjustment", args=[adjustment_id]),
        form=form,
    )
    return ask(request, danger)


def _decide(
    request: HttpRequest, adjustment_id: UUID, service: Callable[..., Written[Adjustment]], **arguments: str
) -> HttpResponse:
    account = signed_in(request)
    try:
        written = service(
            organization=organization_of(request),
            adjustment_id=adjustment_id,
            decided_by=account.username,
            decided_by_id=account.user.pk,
            access=account.access,
            **arguments,
        )
    except InsufficientCredit as problem:
        messages.error(request, message_for(problem, instead=_INSTEAD))
        return redirect("adjustment", adjustment_id)
    except (AlreadyDecided, BalanceLimitExceeded, FourEyes, SellerBusy) as problem:
        return not_done(request, problem, "adjustment", adjustment_id)
    name = queries.seller_by_id(written.row.seller_id).name
    if written.is_replay:
        text = gettext("This was already decided the same way. Nothing was done twice.")
    elif written.row.status == Adjustment.Status.REJECTED:
        text = gettext("Rejected: the balance has not changed.")
    elif written.row.amount > 0:
        text = gettext("Approved: %(amount)s Tomans added to the balance of %(name)s.")
    else:
        text = gettext("Approved: %(amount)s Tomans taken from the balance of %(name)s.")
    text %= {"name": name, "amount": format_number(abs(written.row.amount))}
    return done(request, text, "adjustment", adjustment_id)


def _decide_row(*, approve: bool, row_id: UUID, reason: str, **who: Any) -> Written[Adjustment]:
    if approve:
        return services.approve_adjustment(adjustment_id=row_id, **who)
    return services.reject_adjustment(adjustment_id=row_id, reason=reason, **who)


def _hindrance(row: Adjustment, account: Account, decision: str) -> str | Promise | None:
    if decision == APPROVE and row.asked_by_id == account.user.pk:
        return _("You have asked for it: somebody else has to approve it.")
    return decided_already(row)


_DECIDING = Deciding(
    name="adjustments",
    address="decide_adjustments",
    titles={APPROVE: _("Approve these adjustments?"), REJECT: _("Reject these adjustments?")},
    rows=lambda ids: in_order(queries.adjustments().filter(pk__in=ids).select_related("seller__account"), ids),
    decide=_decide_row,
    table=lambda request, rows: adjustments_table(
        rows, listing=listing_of(request, "adjustments", SORTS), decider=signed_in(request).user.pk
    ),
    hindrance=_hindrance,
    detail="credit/adjustment_details.html",
    instead=_INSTEAD,
)


@page(Permission.MAKE_ADJUSTMENTS, methods=FORM)
def decide_adjustments(request: HttpRequest) -> HttpResponse:
    """Asks for confirmation of those that were chosen, and decides each."""
    return decide_page(request, _DECIDING)
