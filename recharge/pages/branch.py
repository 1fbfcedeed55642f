"""A dealer's own pages: the sellers below him, what they sell and have, and what they ask him for. They are here and
not in credit, since what was sold is recharges."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit import queries as credit_queries
from credit import services as credit_services
from credit import transfers, tree
from credit.errors import AlreadyDecided, BalanceLimitExceeded, GiverOwes, InsufficientCredit, OtherSellerInactive
from credit.models import Account, CreditRequest, Seller
from credit.pages.credit import RejectionForm
from credit.pages.sellers import NewChildForm, credentials_again, show_credentials, switching
from credit.pages.tables import entries_table_of_child, seller_state
from credit.slips.services import has_slip
from recharge.pages.tables import recharges_table_of_child
from recharge.selling import queries
from recharge.selling.branch import BranchSeller, shown_to_dealer
from shared.console.danger import Danger, ask
from shared.console.formats import format_number
from shared.console.links import address_of
from shared.console.messages import message_for
from shared.console.tables import AMOUNT, WIDE, Table, TableColumn
from shared.console.views import (
    FORM,
    add_problem,
    done,
    not_done,
    own_seller,
    page,
    show,
    signed_in,
    status_of_form,
)
from shared.errors import PermissionDenied, Problem, SellerBusy
from shared.identity.password_changes import suggest_password
from shared.identity.permissions import Permission
from shared.identity.queries import seller_usernames
from shared.pagination import page_of_rows
from shared.templatetags.console import moment, number
from tenants.routing import organization_of

ROWS_ON_A_PAGE = 25
ROWS_BESIDE = 5
"""Of each list on a seller's page."""

# --- The branch -------------------------------------------------------------------------------------------------------


def branch_table(rows: Sequence[BranchSeller], *, is_whole: bool = False) -> Table:
    """Sellers below a dealer, each with the way to those below him; summed up, if these are all."""

    def name(row: BranchSeller) -> SafeString:
        below = row.children and format_html(
            '<div class="small text-secondary">{}</div>',
            gettext("Sub-sellers: %(number)s") % {"number": format_number(row.children)},
        )
        off = "" if row.seller.is_active else format_html('<div class="d-md-none">{}</div>', seller_state(row.seller))
        address = address_of("branch_seller", row.seller.pk)
        return format_html('<a href="{}"><bdi>{}</bdi></a>{}{}', address, row.seller.name, below or "", off)

    table = Table(
        _("Sellers"),
        (
            TableColumn(_("Name"), name),
            TableColumn(_("Balance"), lambda row: number(row.balance), AMOUNT, adds="balance"),
            TableColumn(_("Sold today"), lambda row: number(row.sold_today), AMOUNT, adds="sold_today", yields=True),
            TableColumn(_("State"), lambda row: seller_state(row.seller), WIDE),
        ),
        rows,
    )
    return table.added_up_here() if is_whole and len(rows) > 1 else table


def _requests_table(rows: Sequence[CreditRequest]) -> Table:
    def asked(row: CreditRequest) -> SafeString:
        return format_html('<a href="{}">{}</a>', address_of("branch_request", row.pk), moment(row.created_at))

    return Table(
        _("Credit requests to you"),
        (
            TableColumn(_("Seller"), lambda row: format_html("<bdi>{}</bdi>", row.seller.name)),
            TableColumn(_("Requested"), asked),
            TableColumn(_("Tomans"), lambda row: number(row.amount), AMOUNT),
        ),
        rows,
    )


@page(Permission.VIEW_BRANCH)
def branch(request: HttpRequest) -> HttpResponse:
    """Those who sell for this dealer himself, newest first, and what they have asked him for."""
    own = own_seller(request)
    shown = page_of_rows(tree.children_of(own), limit=ROWS_ON_A_PAGE, cursor=request.GET.get("cursor"))
    waiting = transfers.requests_to(own, status=CreditRequest.Status.PENDING).select_related("seller")
    rows = shown_to_dealer(shown.rows)
    context = {
        "page": shown,
        "table": branch_table(rows, is_whole=not (shown.newer or shown.older)),
        "has_below": any(row.children for row in rows),
        "requests": _requests_table(list(waiting.order_by("pk")[:ROWS_ON_A_PAGE])),
    }
    return show(request, "recharge/branch.html", context)


@page(Permission.MANAGE_BRANCH, methods=FORM, proof=True)
def new_child(request: HttpRequest) -> HttpResponse:
    """Adds a seller who sells for this dealer, and shows once what he signs in with."""
    if again := credentials_again(request):
        return again
    form = NewChildForm(request.POST or None, initial={"password": suggest_password()})
    if request.method == "POST" and form.is_valid():
        try:
            seller = credit_services.create_seller(
                organization=organization_of(request), parent_id=own_seller(request), **form.cleaned_data
            )
        except Problem as problem:
            add_problem(form, problem)
        else:
            return show_credentials(request, seller, form.cleaned_data["password"], is_new=True)
    return show(request, "recharge/new_child.html", {"form": form}, status=status_of_form(form))


# --- One seller -------------------------------------------------------------------------------------------------------


def _path_to(seller: Seller, own: int) -> list[Seller]:
    """The sellers between the dealer and this one, from above."""
    above = (seller.ancestors or [])[: (seller.ancestors or []).index(own)]
    names = {one.pk: one for one in Seller.objects.filter(pk__in=above)}
    return [names[one] for one in reversed(above)]


@page(Permission.VIEW_BRANCH)
def branch_seller(request: HttpRequest, child_id: int) -> HttpResponse:
    """One seller below: what he has and sold, and who sells for him."""
    own = own_seller(request)
    seller = tree.seller_below(own, child_id)
    (shown,) = shown_to_dealer([seller])
    below = page_of_rows(tree.children_of(child_id), limit=ROWS_ON_A_PAGE, cursor=request.GET.get("cursor"))
    usernames = seller_usernames(organization_id=organization_of(request).pk, seller_ids=[child_id])
    context = {
        "seller": seller,
        "shown": shown,
        "in_flight": queries.balance_of(child_id).in_flight,
        "username": usernames.get(child_id, ""),
        "above": _path_to(seller, own),
        "is_child": seller.parent_id == own,
        "may_switch_on": seller.switched_off_by == own,
        "page": below,
        "table": branch_table(shown_to_dealer(below.rows)),
        "sales": recharges_table_of_child(list(queries.recharges(seller_id=child_id).order_by("-pk")[:ROWS_BESIDE])),
        "entries": entries_table_of_child(credit_queries.last_entries(child_id, limit=ROWS_BESIDE)),
    }
    return show(request, "recharge/branch_seller.html", context)


@page(Permission.VIEW_BRANCH)
def branch_sales(request: HttpRequest, child_id: int) -> HttpResponse:
    """What a seller below has sold; to be read alone."""
    seller = tree.seller_below(own_seller(request), child_id)
    rows = queries.recharges(seller_id=child_id)
    shown = page_of_rows(rows, limit=ROWS_ON_A_PAGE, cursor=request.GET.get("cursor"))
    context = {"seller": seller, "page": shown, "table": recharges_table_of_child(shown.rows), "title": _("Sales")}
    return show(request, "recharge/branch_list.html", context)


@page(Permission.VIEW_BRANCH)
def branch_entries(request: HttpRequest, child_id: int) -> HttpResponse:
    """The statement of a seller below; to be read alone."""
    seller = tree.seller_below(own_seller(request), child_id)
    by = credit_queries.order_of_entries(child_id)
    rows = credit_queries.entries(seller_id=child_id)
    shown = page_of_rows(rows, limit=ROWS_ON_A_PAGE, cursor=request.GET.get("cursor"), by=by)
    context = {"seller": seller, "page": shown, "table": entries_table_of_child(shown.rows), "title": _("Statement")}
    return show(request, "recharge/branch_list.html", context)


@page(Permission.MANAGE_BRANCH, methods=FORM)
def switch_child_off(request: HttpRequest, child_id: int) -> HttpResponse:
    """Asks for confirmation, and switches one off who sells for this dealer himself."""
    said = gettext("%(name)s is deactivated: no sales and no sign-in from now on.")
    return _switch(request, child_id, is_active=False, said=said)


@page(Permission.MANAGE_BRANCH, methods=FORM)
def switch_child_on(request: HttpRequest, child_id: int) -> HttpResponse:
    """Asks for confirmation, and switches one on again."""
    return _switch(request, child_id, is_active=True, said=gettext("%(name)s may sell and sign in again."))


def _switch(request: HttpRequest, seller_id: int, *, is_active: bool, said: str) -> HttpResponse:
    own = own_seller(request)
    seller = tree.seller_below(own, seller_id)
    if request.method == "POST":
        try:
            credit_services.switch_child(
                organization=organization_of(request), dealer_id=own, seller_id=seller_id, is_active=is_active
            )
        except (SellerBusy, PermissionDenied) as problem:
            return not_done(request, problem, "branch_seller", seller_id)
        return done(request, said % {"name": seller.name}, "branch_seller", seller_id)
    return ask(request, switching(seller, is_active=is_active, back=reverse("branch_seller", args=[seller_id])))


# --- What they ask for ------------------------------------------------------------------------------------------------


@page(Permission.VIEW_BRANCH)
def branch_request(request: HttpRequest, asked_id: UUID) -> HttpResponse:
    """A credit request that was asked of this dealer."""
    return show(request, "recharge/branch_request.html", _context(request, asked_id))


def _context(request: HttpRequest, request_id: UUID) -> dict[str, Any]:
    own = own_seller(request)
    row = transfers.request_to(own, request_id)
    balance = Account.objects.values_list("balance", flat=True).get(pk=own)
    return {
        "row": row,
        "has_slip": has_slip(request_id),
        "balance": balance,
        "balance_then": balance - row.amount,
    }


@page(Permission.MANAGE_BRANCH, methods=FORM)
def approve_branch_request(request: HttpRequest, asked_id: UUID) -> HttpResponse:
    """Asks for confirmation, and gives what was asked for."""
    if request.method == "POST":
        return _decide(request, asked_id, transfers.approve_request_of_child)
    context = _context(request, asked_id)
    if context["row"].status != CreditRequest.Status.PENDING:
        return redirect("branch_request", asked_id)
    return show(request, "recharge/approve_branch_request.html", context)


@page(Permission.MANAGE_BRANCH, methods=FORM)
def reject_branch_request(request: HttpRequest, asked_id: UUID) -> HttpResponse:
    """Rejects, with a reason."""
    form = RejectionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _decide(request, asked_id, transfers.reject_request_of_child, reason=form.cleaned_data["reason"])
    context = _context(request, asked_id)
    if context["row"].status != CreditRequest.Status.PENDING:
        return redirect("branch_request", asked_id)
    danger = Danger(
        question=_("Reject a credit request"),
        meaning=[_("Rejecting it does not change the balance. The seller sees the reason.")],
        act=_("Reject"),
        back=reverse("branch_request", args=[asked_id]),
        details="recharge/branch_request_details.html",
        form=form,
    )
    return ask(request, danger, context)


def _decide(
    request: HttpRequest,
    request_id: UUID,
    service: Callable[..., credit_services.Written[CreditRequest]],
    **arguments: str,
) -> HttpResponse:
    account = signed_in(request)
    try:
        written = service(
            organization=organization_of(request),
            dealer_id=own_seller(request),
            request_id=request_id,
            decided_by=account.username,
            decided_by_id=account.user.pk,
            access=account.access,
            **arguments,
        )
    except InsufficientCredit as problem:
        messages.error(request, message_for(problem, instead=_INSTEAD))
        return redirect("branch_request", request_id)
    except (AlreadyDecided, BalanceLimitExceeded, GiverOwes, OtherSellerInactive, SellerBusy) as problem:
        return not_done(request, problem, "branch_request", request_id)
    name = credit_queries.seller_by_id(written.row.seller_id).name
    if written.is_replay:
        said = gettext("This was already decided the same way. Nothing was done twice.")
    elif written.row.status == CreditRequest.Status.APPROVED:
        said = gettext("Approved: %(amount)s Tomans added to the balance of %(name)s.")
    else:
        said = gettext("Rejected: %(name)s was told why.")
    return done(request, said % {"name": name, "amount": format_number(written.row.amount)}, "branch")


_INSTEAD: dict[type[Problem], str | Promise] = {
    InsufficientCredit: _("Your balance is %(balance)s Tomans: %(required)s can't be transferred. Nothing was done."),
}
