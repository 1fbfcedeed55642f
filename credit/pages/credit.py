"""Credit requests and the ledger, as pages."""

import uuid
import zlib
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit import queries, services
from credit.errors import AlreadyDecided, BalanceLimitExceeded, BankReferenceUsed
from credit.models import CreditRequest
from credit.pages.deciding import APPROVE, REJECT, Deciding, decide_page, decided_already, in_order
from credit.pages.exports import Exports
from credit.pages.filters import CreditRequestFilters, EntryFilters, read_filters
from credit.pages.tables import ENTRIES_SHEET, credit_requests_table, entries_table, last_entries_table
from credit.slips.answers import slip_response
from credit.slips.errors import SlipTooLarge
from credit.slips.pictures import CONTENT_TYPES, LARGEST_SLIP, Picture, read_picture
from credit.slips.services import has_slip, put_slip, slip_in_view
from shared.console.danger import Danger, ask
from shared.console.formats import format_number
from shared.console.forms import AS_WRITTEN, FileInput, Form, TextField, TextInput, TomansFormField
from shared.console.lists import chosen_columns, listing_of, remember
from shared.console.messages import message_for
from shared.console.views import (
    FORM,
    add_problem,
    done,
    is_fragment,
    not_done,
    on_to,
    own_seller,
    page,
    show,
    signed_in,
    status_of_form,
)
from shared.days import days_before, start_of_day, today
from shared.errors import IdempotencyKeyReused, Problem, SellerBusy
from shared.idempotency import is_idempotency_key
from shared.identity.accounts import Account
from shared.identity.permissions import Permission
from shared.identity.roles import may, sees_all_sellers, seller_in_view
from shared.templatetags.console import tomans
from tenants.routing import organization_of

SORTS = {"amount": "amount"}
"""What these lists can be sorted by besides the time, and the field."""
HISTORY_ROWS = 5
"""Of each list beside a credit request."""
HISTORY_DAYS = (7, 30)

# --- Credit requests --------------------------------------------------------------------------------------------------


@page(Permission.VIEW_CREDIT_REQUESTS)
def credit_requests(request: HttpRequest) -> HttpResponse:
    """All of them; a seller sees only the own. A page with some that wait asks again whether they were decided."""
    form, filters = read_filters(request, CreditRequestFilters)
    listing = listing_of(request, "credit_requests", SORTS)
    account = signed_in(request)
    rows, sees_all = queries.credit_requests(**filters), sees_all_sellers(account)
    rows = rows.none() if form.errors else rows  # all rows would be taken for those that were asked for
    shown = listing.page(rows.select_related("seller") if sees_all else rows)
    may_decide = may(account, Permission.DECIDE_CREDIT_REQUESTS)
    table = credit_requests_table(shown.rows, sees_all=sees_all, may_decide=may_decide, listing=listing)
    if chosen := chosen_columns(listing, table):
        return chosen
    waiting = sum(row.status == CreditRequest.Status.PENDING for row in shown.rows)
    version = _version(shown.rows)
    if is_fragment(request) and request.headers.get("Known-Version") == version:
        return HttpResponse(status=204)  # nothing has changed, and nothing moves under who reads or types
    context = {
        "page": shown,
        "table": table.added_up(rows, page=shown),
        "listing": listing,
        "form": form,
        "version": version,
        "waiting": waiting,
        "polls": not sees_all and waiting > 0,
        "is_changed": is_fragment(request),
    }
    template = "credit/credit_request_rows.html" if is_fragment(request) else "credit/credit_requests.html"
    return remember(listing, show(request, template, context))


def _version(rows: list[CreditRequest]) -> str:
    """The same for the same requests in the same states."""
    return f"{zlib.crc32(repr([(row.pk, row.status, row.approvals) for row in rows]).encode()):08x}"


@page(Permission.VIEW_CREDIT_REQUESTS)
def credit_request(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """One request; for who sees all sellers, with the history of its seller beside it."""
    account = signed_in(request)
    row = queries.credit_request_by_id(request_id, seller_id=seller_in_view(account))
    context: dict[str, Any] = {"row": row, "form": RejectionForm()}
    context["asked_of"] = queries.seller_by_id(row.parent_id) if row.parent_id else None
    context["has_slip"] = has_slip(request_id)
    context["has_approved"] = row.first_approved_by_id == account.user.pk
    if sees_all_sellers(account):
        context["history"] = history = _history(row.seller_id)
        row.seller = history.seller
        context["balance_then"] = history.balance + row.amount
        context["entries"] = last_entries_table(history.entries)
        context["net"] = list(zip(HISTORY_DAYS, history.net_amounts, strict=True))
    return show(request, "credit/credit_request.html", context)


def _history(seller_id: int) -> queries.History:
    moments = [start_of_day(days_before(today(), days - 1)) for days in HISTORY_DAYS]
    return queries.history_of(seller_id, net_since=moments, limit=HISTORY_ROWS)


class KeyField(forms.Field):
    """The idempotency key of a form, made when it is shown; one that is no key is as good as none."""

    widget = forms.HiddenInput

    def __init__(self) -> None:
        super().__init__(required=False)

    def clean(self, value: Any) -> str:
        key = str(value or "")
        return key if is_idempotency_key(key) else new_key()


def new_key() -> str:
    """Of a form that is shown."""
    return f"page-{uuid.uuid4().hex}"


def with_new_key(sent: QueryDict) -> QueryDict:
    """What was sent, with the key of a form that was not sent yet."""
    data = sent.copy()
    data["key"] = new_key()
    return data


class SlipField(forms.FileField):
    """The picture of a slip, read and written anew: a Picture comes out, or None."""

    def __init__(self, *, required: bool) -> None:
        super().__init__(
            label=_("Picture of the slip"),
            required=required,
            help_text=_("A bank or terminal slip, as JPEG, PNG or WebP of up to 5 MB."),
            widget=FileInput(accept=",".join(CONTENT_TYPES), most=LARGEST_SLIP, too_large=SlipTooLarge.message),
            error_messages={"required": _("Choose a picture.")},
        )

    def clean(self, data: Any, initial: Any = None) -> Picture | None:
        sent = super().clean(data, initial)
        if not sent:
            return None
        try:
            return read_picture(sent.read(LARGEST_SLIP + 1))
        except Problem as problem:
            raise forms.ValidationError(message_for(problem), code=problem.code) from None


class SlipForm(Form):
    slip = SlipField(required=True)


class CreditRequestForm(Form):
    amount = TomansFormField()
    bank_reference = TextField(
        label=_("Bank reference"),
        required=False,
        max_length=100,
        help_text=_("The reference of your payment, if there was one. Each can be used once."),
        widget=TextInput(attrs=AS_WRITTEN),
    )
    note = TextField(
        label=_("Note"),
        required=False,
        max_length=500,
        help_text=_("What helps to decide: how you paid, for example."),
    )
    slip = SlipField(required=False)
    key = KeyField()


@page(Permission.ASK_FOR_CREDIT, methods=FORM)
def new_credit_request(request: HttpRequest) -> HttpResponse:
    """Asks for credit: once, however often the form is sent."""
    form = CreditRequestForm(request.POST or None, request.FILES or None, initial={"key": new_key()})
    if request.method == "POST" and form.is_valid():
        try:
            services.create_credit_request(
                organization=organization_of(request),
                seller_id=own_seller(request),
                idempotency_key=form.cleaned_data["key"],
                amount=form.cleaned_data["amount"],
                note=form.cleaned_data["note"],
                bank_reference=form.cleaned_data["bank_reference"],
                access=signed_in(request).access,
                slip=form.cleaned_data["slip"],
            )
        except IdempotencyKeyReused:
            # What is sent from here on is another request.
            form.data = with_new_key(request.POST)
            form.add_error(None, _SENT_BEFORE)
        except BankReferenceUsed as problem:
            form.add_error("bank_reference", message_for(problem))
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Your credit request is sent. The decision shows here."), "credit_requests")
    context = {"form": form, "dealer": queries.dealer_asked_by(own_seller(request))}
    return show(request, "credit/new_credit_request.html", context, status=status_of_form(form))


_SENT_BEFORE = _(
    "This form was already sent with other content: check your credit requests. To ask for this as well, send it now."
)


@page(Permission.VIEW_CREDIT_REQUESTS)
def slip(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """The picture of a request's slip."""
    return slip_response(slip_in_view(request_id, seller_id=seller_in_view(signed_in(request))))


@page(Permission.ASK_FOR_CREDIT, methods=FORM)
def new_slip(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Adds a slip to an own request that waits, or puts another in its place."""
    row = queries.credit_request_by_id(request_id, seller_id=own_seller(request))
    if row.status != CreditRequest.Status.PENDING:
        return not_done(request, AlreadyDecided(), "credit_request", request_id)
    form = SlipForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        account = signed_in(request)
        try:
            put_slip(
                organization=organization_of(request),
                seller_id=own_seller(request),
                request_id=request_id,
                picture=form.cleaned_data["slip"],
                access=account.access,
            )
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("The slip is added."), "credit_request", request_id)
    return show(request, "credit/new_slip.html", {"row": row, "form": form}, status=status_of_form(form))


class RejectionForm(Form):
    reason = TextField(label=_("Reason"), max_length=500, help_text=_("The seller sees it."))


@page(Permission.DECIDE_CREDIT_REQUESTS, methods=FORM)
def approve_credit_request(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Asks for confirmation, and approves."""
    if request.method == "POST":
        return _decide(request, request_id, services.approve_credit_request)
    row = queries.credit_request_by_id(request_id, seller_id=None)
    if row.status != CreditRequest.Status.PENDING:
        return on_to(request, "credit_request", request_id)
    template = "credit/approve_dialog.html" if is_fragment(request) else "credit/approve.html"
    return show(request, template, {"row": row, "balance_then": row.seller.account.balance + row.amount})


@page(Permission.DECIDE_CREDIT_REQUESTS, methods=FORM)
def reject_credit_request(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Rejects, with a reason."""
    form = RejectionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _decide(request, request_id, services.reject_credit_request, reason=form.cleaned_data["reason"])
    row = queries.credit_request_by_id(request_id, seller_id=None)
    if row.status != CreditRequest.Status.PENDING:
        return on_to(request, "credit_request", request_id)
    meaning = gettext("%(name)s requested %(amount)s. Rejecting it does not change the balance.")
    danger = Danger(
        question=_("Reject a credit request"),
        meaning=[meaning % {"name": row.seller.name, "amount": tomans(row.amount)}],
        act=_("Reject"),
        back=reverse("credit_request", args=[request_id]),
        form=form,
    )
    return ask(request, danger)


def _decide(
    request: HttpRequest,
    request_id: UUID,
    service: Callable[..., services.Written[CreditRequest]],
    **arguments: str,
) -> HttpResponse:
    account = signed_in(request)
    try:
        written = service(
            organization=organization_of(request),
            request_id=request_id,
            decided_by=account.username,
            decided_by_id=account.user.pk,
            access=account.access,
            **arguments,
        )
    except (AlreadyDecided, BalanceLimitExceeded, SellerBusy) as problem:
        return not_done(request, problem, "credit_request", request_id)
    name = queries.seller_by_id(written.row.seller_id).name
    if written.is_replay:
        said = gettext("This was already decided the same way. Nothing was done twice.")
    elif written.row.status == CreditRequest.Status.PENDING:
        said = gettext("Approved by you. A second person has to approve it, too. The balance has not changed yet.")
    elif written.row.status == CreditRequest.Status.APPROVED:
        said = gettext("Approved: %(amount)s Tomans added to the balance of %(name)s.")
    else:
        said = gettext("Rejected: %(name)s was told why.")
    # On to what else waits.
    where = reverse("credit_requests") + f"?status={CreditRequest.Status.PENDING}"
    return done(request, said % {"name": name, "amount": format_number(written.row.amount)}, where)


def _decide_row(*, approve: bool, row_id: UUID, reason: str, **who: Any) -> services.Written[CreditRequest]:
    if approve:
        return services.approve_credit_request(request_id=row_id, **who)
    return services.reject_credit_request(request_id=row_id, reason=reason, **who)


def _hindrance(row: CreditRequest, account: Account, decision: str) -> str | Promise | None:
    if decision == APPROVE and row.first_approved_by_id == account.user.pk:
        return _("You have approved it: a second person has to.")
    return decided_already(row)


def _of_ids(ids: Sequence[UUID]) -> list[CreditRequest]:
    rows = queries.credit_requests().filter(pk__in=ids).select_related("seller__account", "parent")
    return in_order(rows, ids)


_DECIDING = Deciding(
    name="credit_requests",
    address="decide_credit_requests",
    titles={APPROVE: _("Approve these credit requests?"), REJECT: _("Reject these credit requests?")},
    rows=lambda ids: in_order(
        queries.credit_requests().filter(pk__in=ids).select_related("seller__account", "parent"), ids
    ),
    decide=_decide_row,
    table=lambda request, rows: credit_requests_table(
        rows, sees_all=True, may_decide=True, listing=listing_of(request, "credit_requests", SORTS)
    ),
    hindrance=_hindrance,
    detail="credit/approval.html",
    instead={},
)


@page(Permission.DECIDE_CREDIT_REQUESTS, methods=FORM)
def decide_credit_requests(request: HttpRequest) -> HttpResponse:
    """Asks for confirmation of those that were chosen, and decides each."""
    return decide_page(request, _DECIDING)


# --- The ledger -------------------------------------------------------------------------------------------------------


@page(Permission.VIEW_ENTRIES)
def entries(request: HttpRequest) -> HttpResponse:
    """The ledger; of a seller, the statement."""
    form, filters = read_filters(request, EntryFilters)
    listing = listing_of(request, "entries", SORTS)
    rows, sees_all = queries.entries(**filters), sees_all_sellers(signed_in(request))
    rows = rows.none() if form.errors else rows  # all rows would be taken for those that were asked for
    by = queries.order_of_entries(filters.get("seller_id"))
    shown = listing.page(rows.select_related("seller__seller") if sees_all else rows, key=by)
    table = entries_table(shown.rows, sees_all=sees_all, listing=listing)
    if chosen := chosen_columns(listing, table):
        return chosen
    context = {
        "page": shown,
        "table": table.added_up(rows, page=shown, key=by),
        "form": form,
        "listing": listing,
        "exports": _EXPORTS.links(),
    }
    return remember(listing, show(request, "credit/entries.html", context))


_EXPORTS = Exports(
    name="entries",
    form_class=EntryFilters,
    rows=lambda **filters: queries.entries(**filters).annotate(seller_name=F("seller__seller__name")),
    columns=queries.ENTRY_COLUMNS,
    sheet=_("Entries"),
    sheet_columns=ENTRIES_SHEET,
    order=queries.order_of_entries,
    sorts=SORTS,
)


@page(Permission.VIEW_ENTRIES)
def entries_file(request: HttpRequest, ending: str) -> HttpResponseBase:
    """The same rows as a file of one of FORMATS."""
    return _EXPORTS.file(request, ending)
