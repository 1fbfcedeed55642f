"""What sellers ask about recharges that their customers did not get, as pages: the queue, one question, and its end."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credit.models import Adjustment
from credit.pages.credit import KeyField, new_key
from recharge.claims import queries, services
from recharge.claims.errors import ClaimClosed
from recharge.models import Claim, Recharge
from recharge.pages.tables import claims_table
from recharge.selling.queries import attempts_of, recharge_by_id
from recharge.selling.short_numbers import short_number
from recharge.terms.queries import settings
from shared.console.formats import format_moment, format_number
from shared.console.forms import AS_WRITTEN, ChoiceField, Form, TextField, TextInput
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
from shared.errors import NotFound, Problem, SellerBusy
from shared.identity.accounts import Account
from shared.identity.permissions import Permission
from shared.identity.roles import may, sees_all_sellers, seller_in_view
from shared.pagination import page_of_rows
from tenants.routing import organization_of

ROWS = 25


@page(Permission.VIEW_CLAIMS)
def claims(request: HttpRequest) -> HttpResponse:
    """The queue of who answers, the oldest deadline first, or what is closed; a seller's own, newest first."""
    account = signed_in(request)
    seller_id, sees_all = seller_in_view(account), sees_all_sellers(account)
    shows_closed = request.GET.get("show") == "closed"
    is_queue = sees_all and not shows_closed
    cursor = request.GET.get("cursor") or None
    if is_queue:
        shown = queries.queue(limit=ROWS, cursor=cursor)
    else:
        found = queries.claims(seller_id=seller_id)
        found = found.exclude(state=Claim.State.OPEN) if sees_all else found
        shown = page_of_rows(found, limit=ROWS, cursor=cursor)
    context = {"shows_closed": shows_closed, "is_queue": is_queue, "page": shown}
    return show(request, "recharge/claims.html", context | {"table": claims_table(shown.rows, sees_all=sees_all)})


# --- Asking -----------------------------------------------------------------------------------------------------------


class MessageField(TextField):
    """Some sentences. Their lines become one: they go into short messages, too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            max_length=services.LONGEST_TEXT,
            widget=forms.Textarea(attrs={"rows": 3, "maxlength": services.LONGEST_TEXT, "dir": "auto"}),
            **options,
        )

    def to_python(self, value: Any) -> str:
        return super().to_python(" ".join(str(value or "").split()))


class OpenForm(Form):
    message = MessageField(
        label=_("What does the customer say?"),
        required=False,
        help_text=_("Such as: the balance before and after, or what the operator's hotline said."),
    )


@page(Permission.OPEN_CLAIMS, methods=FORM)
def open_claim(request: HttpRequest, recharge_id: UUID) -> HttpResponse:
    """Asks what became of a recharge; where that can't be asked, what is known of it."""
    seller_id = own_seller(request)
    row = recharge_by_id(recharge_id, seller_id=seller_id)
    form = OpenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            written = services.open_claim(
                organization=organization_of(request),
                recharge_id=recharge_id,
                seller_id=seller_id,
                message=form.cleaned_data["message"],
                **_who(request),
            )
        except Problem as problem:
            add_problem(form, problem)
        else:
            if written.is_replay:
                return done(
                    request,
                    _("You have asked about this recharge already; nothing was done twice."),
                    "claim",
                    written.row.pk,
                )
            said = _("Your question is sent. You get an answer by %(moment)s.") % {
                "moment": format_moment(written.row.deadline)[1]
            }
            return done(request, said, "claim", written.row.pk)
    claims_of = queries.claims_of(recharge_id)
    context = {
        "recharge": row,
        "form": form,
        "hours": settings().claim_hours,
        "is_open_for": row.status in (Recharge.Status.SUCCEEDED, Recharge.Status.UNKNOWN),
        "open_claim": next((one for one in claims_of if one.state == Claim.State.OPEN), None),
    }
    return show(request, "recharge/open_claim.html", context, status=status_of_form(form))


# --- One claim --------------------------------------------------------------------------------------------------------


class AnswerForm(Form):
    text = MessageField(label=_("Message"))
    key = KeyField()


@page(Permission.VIEW_CLAIMS)
def claim(request: HttpRequest, claim_id: UUID) -> HttpResponse:
    """What was asked and said, and what is known of the recharge. Its seller has seen it by that."""
    account = signed_in(request)
    row = queries.claim_by_id(claim_id, seller_id=seller_in_view(account))
    if row.answered_at and not row.seen_at and may(account, Permission.OPEN_CLAIMS):
        with suppress(SellerBusy):  # then it is seen the next time
            services.note_seen(organization=organization_of(request), claim_id=claim_id, seller_id=row.seller_id)
    return _show_claim(request, account, row, AnswerForm(initial={"key": new_key()}))


def _show_claim(request: HttpRequest, account: Account, row: Claim, form: AnswerForm) -> HttpResponse:
    may_say = may(account, Permission.DECIDE_CLAIMS) or may(account, Permission.OPEN_CLAIMS)
    context = {
        "claim": row,
        "recharge": row.recharge,
        "number": short_number(row.recharge_id, seller_id=row.seller_id),
        "said": queries.messages_of(row),
        "attempts": attempts_of(row.recharge_id) if may(account, Permission.VIEW_DELIVERY) else [],
        "others": [one for one in queries.claims_of(row.recharge_id) if one.pk != row.pk],
        "twice": queries.refunded_twice(row.recharge) if sees_all_sellers(account) else None,
        "form": form if may_say and row.state == Claim.State.OPEN else None,
    }
    return show(request, "recharge/claim.html", context, status=status_of_form(form))


CLOSE = "close"
"""The name of the button that closes a claim with the answer."""


@page(Permission.DECIDE_CLAIMS, methods=FORM)
def answer_claim(request: HttpRequest, claim_id: UUID) -> HttpResponse:
    """The organization's answer, which closes the claim or leaves it open."""

    def answer(form: AnswerForm) -> Promise:
        if CLOSE in request.POST:
            services.close_claim(
                organization=organization_of(request),
                claim_id=claim_id,
                state=Claim.State.ANSWERED,
                text=form.cleaned_data["text"],
                **_who(request),
            )
            return _("Answered and closed. The seller is told.")
        _say(request, claim_id, None, form)
        return _("Answered. The seller is told, and it stays open.")

    return _talk(request, claim_id, answer)


@page(Permission.OPEN_CLAIMS, methods=FORM)
def reply_to_claim(request: HttpRequest, claim_id: UUID) -> HttpResponse:
    """What its seller says more."""

    def reply(form: AnswerForm) -> Promise:
        _say(request, claim_id, own_seller(request), form)
        return _("Sent.")

    return _talk(request, claim_id, reply)


def _say(request: HttpRequest, claim_id: UUID, seller_id: int | None, form: AnswerForm) -> None:
    services.answer_claim(
        organization=organization_of(request),
        claim_id=claim_id,
        seller_id=seller_id,
        text=form.cleaned_data["text"],
        key=form.cleaned_data["key"],
        **_who(request),
    )


def _talk(request: HttpRequest, claim_id: UUID, act: Any) -> HttpResponse:
    account = signed_in(request)
    if request.method != "POST":
        return redirect("claim", claim_id)  # the form is on the claim's own page
    form = AnswerForm(request.POST)
    if form.is_valid():
        try:
            said = act(form)
        except ClaimClosed as problem:
            return not_done(request, problem, "claim", claim_id)
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, said, "claim", claim_id)
    row = queries.claim_by_id(claim_id, seller_id=seller_in_view(account))
    return _show_claim(request, account, row, form)


# --- Its end ----------------------------------------------------------------------------------------------------------


class DeliveredForm(Form):
    reference = TextField(
        label=_("Operator's reference"),
        max_length=services.LONGEST_REFERENCE,
        widget=TextInput(attrs=AS_WRITTEN),
        help_text=_("Evidence that it was delivered. The seller sees it."),
    )
    text = MessageField(label=_("Message to the seller"), required=False)


class RefundedForm(Form):
    text = MessageField(label=_("Message to the seller"), required=False)


class AdjustedForm(RefundedForm):
    adjustment = ChoiceField(label=_("Adjustment that refunds it"))
    field_order = ("adjustment", "text")

    def __init__(self, *args: Any, adjustments: list[Adjustment], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["adjustment"].choices = [(str(one.pk), _adjustment_words(one)) for one in adjustments]  # type: ignore[attr-defined]


def _adjustment_words(row: Adjustment) -> str:
    return f"{format_moment(row.created_at)[1]} · {format_number(row.amount)} · {row.reason[:60]}"


@page(Permission.DECIDE_CLAIMS, methods=FORM)
def close_claim(request: HttpRequest, claim_id: UUID) -> HttpResponse:
    """Closes a claim as delivered or as refunded (``?as=``). No money moves by that: of what is not refunded yet, the
    page says by what it can be."""
    row = queries.claim_by_id(claim_id, seller_id=None)
    end = request.GET.get("as")
    if end not in (Claim.State.DELIVERED, Claim.State.REFUNDED):
        raise NotFound("There is no such end of a claim.")
    if row.state != Claim.State.OPEN and request.method != "POST":
        return redirect("claim", claim_id)
    state = Claim.State(end)
    form = _closing_form(request, row, state)
    if request.method == "POST" and form is not None and form.is_valid():
        given = form.cleaned_data
        adjustment = given.get("adjustment")
        try:
            services.close_claim(
                organization=organization_of(request),
                claim_id=claim_id,
                state=state,
                text=given["text"],
                reference=given.get("reference", ""),
                adjustment_id=UUID(adjustment) if adjustment else None,
                **_who(request),
            )
        except ClaimClosed as problem:
            return not_done(request, problem, "claim", claim_id)
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Closed. The seller is told."), "claim", claim_id)
    context = {"claim": row, "recharge": row.recharge, "form": form, "state": end}
    return show(request, "recharge/close_claim.html", context, status=status_of_form(form) if form else 200)


def _closing_form(request: HttpRequest, row: Claim, state: Claim.State) -> Form | None:
    """None: there is nothing yet that it could be closed by."""
    sent = request.POST or None
    if state == Claim.State.DELIVERED:
        is_delivered = row.recharge.status == Recharge.Status.SUCCEEDED
        return DeliveredForm(sent, initial={"reference": _reference_of(row)}) if is_delivered else None
    if row.recharge.status == Recharge.Status.FAILED:
        return RefundedForm(sent)
    may_name = row.recharge.status == Recharge.Status.SUCCEEDED and may(signed_in(request), Permission.VIEW_ADJUSTMENTS)
    adjustments = queries.adjustments_that_refund(row.recharge) if may_name else []
    return AdjustedForm(sent, adjustments=adjustments) if adjustments else None


def _reference_of(row: Claim) -> str:
    """What the operator's gateway has called it, if it has."""
    references = [one.operator_reference for one in attempts_of(row.recharge_id) if one.operator_reference]
    return references[-1] if references else ""


@page(Permission.OPEN_CLAIMS, methods=("POST",))
def withdraw_claim(request: HttpRequest, claim_id: UUID) -> HttpResponse:
    """The customer has it: its seller closes it."""
    try:
        services.withdraw_claim(
            organization=organization_of(request), claim_id=claim_id, seller_id=own_seller(request), **_who(request)
        )
    except (ClaimClosed, SellerBusy) as problem:
        return not_done(request, problem, "claim", claim_id)
    return done(request, _("Closed: your customer has received it."), "claim", claim_id)


def _who(request: HttpRequest) -> dict[str, Any]:
    account = signed_in(request)
    return {"by": account.username, "access": account.access}
