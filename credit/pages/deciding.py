"""Many decisions at once: credit requests or adjustments that were chosen in a list.

They are confirmed together, with their number, their sum and their sellers, and then decided one by one, each by the
same service and in a transaction of its own as if it were alone: who may not, a second person who is needed, a balance
that does not bear it, somebody who was quicker are said row by row, and stop no other row. The services decide
everything once, so a form that is sent twice finds it done.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit.models import Adjustment, CreditRequest
from credit.services import Written
from shared.console.forms import Form, TextField
from shared.console.lists import NOTHING_CHOSEN, chosen_ids
from shared.console.messages import message_for
from shared.console.tables import Table
from shared.console.views import is_fragment, on_to, show, signed_in, status_of_form
from shared.errors import InvalidRequest, Problem, SellerBusy
from shared.identity.accounts import Account
from tenants.routing import organization_of

APPROVE, REJECT = "approve", "reject"

MOST_SECONDS = 10.0
"""For how long decisions are begun. What is left then still waits, and can be sent again: a page that does not answer
leaves somebody in doubt."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """What is decided: a list of documents, and what its pages say of them."""

    name: str
    """Of the list and of its page."""
    address: str
    """The name of the page that decides."""
    titles: dict[str, Promise]
    """Of the question, by decision."""
    rows: Callable[[Sequence[UUID]], list[Any]]
    """Those with these ids, with their sellers; the others are not there."""
    decide: Callable[..., Written[Any]]
    """Decides one: takes ``approve`` (bool), ``row_id`` and ``reason`` and what the services take of who decides."""
    table: Callable[[HttpRequest, list[Any]], Table]
    hindrance: Callable[[Any, Account, str], str | Promise | None]
    """Why this person can't decide a row so, as far as is known before it is tried; None: nothing is in the way."""
    detail: str
    """The template that shows one row whole: takes ``row`` and ``balance_then``."""
    instead: dict[type[Problem], str | Promise]
    """What is said of some problems in place of their own words."""


class ReasonForm(Form):
    reason = TextField(label=_("Reason"), max_length=500, help_text=_("One for all that are selected."))


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of one row. ``is_done``: it is as it was wanted."""

    row: Any
    said: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Rows together: how many, and their Tomans."""

    name: str
    count: int
    amount: int


def decide_page(request: HttpRequest, what: Deciding) -> HttpResponse:
    """The question, and (``confirmed``) the answer.

    Raises:
        InvalidRequest: no such decision, or no such rows.
    """
    sent = request.POST if request.method == "POST" else request.GET
    ids, decision = chosen_ids(sent), sent.get("decision", "")
    if not ids:
        messages.error(request, str(NOTHING_CHOSEN))
        return on_to(request, what.name)
    if decision not in (APPROVE, REJECT):
        raise InvalidRequest.of_field("decision", "invalid", "This must be approve or reject.")
    confirmed = request.method == "POST" and "confirmed" in sent
    form = ReasonForm(request.POST if confirmed else None) if decision == REJECT else None
    if confirmed and (form is None or form.is_valid()):
        reason = form.cleaned_data["reason"] if form else ""
        return _answer(request, what, _decide_each(request, what, ids, decision, reason))
    return _question(request, what, ids, decision, form)


def _question(
    request: HttpRequest, what: Deciding, ids: Sequence[UUID], decision: str, form: ReasonForm | None
) -> HttpResponse:
    account = signed_in(request)
    rows, left_out = [], []
    for row in what.rows(ids):
        hindrance = what.hindrance(row, account, decision)
        if hindrance:
            left_out.append(Decided(row, str(hindrance), is_done=False))
        else:
            rows.append(row)
    context: dict[str, Any] = {
        "is_dialog": is_fragment(request),
        "title": what.titles[decision],
        "address": what.address,
        "list": what.name,
        "decision": decision,
        "rows": rows,
        "amount": sum(row.amount for row in rows),
        "sellers": _groups((row.seller.name, row) for row in rows),
        "of_dealers": sum(getattr(row, "parent_id", None) is not None for row in rows),
        "left_out": left_out,
        "form": form,
    }
    if len(rows) == 1:
        context |= {"row": rows[0], "detail": what.detail}
        context["balance_then"] = rows[0].seller.account.balance + rows[0].amount
    if not is_fragment(request):
        return show(request, "credit/decide.html", context, status=status_of_form(form) if form else 200)
    response = show(request, "credit/decide_form.html", context, status=status_of_form(form) if form else 200)
    if response.status_code == 422:  # into the dialog that asks already
        response["HX-Retarget"] = "#decide-form"
        response["HX-Reswap"] = "outerHTML"
    return response


def _decide_each(
    request: HttpRequest, what: Deciding, ids: Sequence[UUID], decision: str, reason: str
) -> list[Decided]:
    account, until = signed_in(request), time.monotonic() + MOST_SECONDS
    busy: dict[int, str] = {}
    """What was said of sellers for whose lock one decision has waited in vain: the others would, too."""
    decided = []
    for row in what.rows(ids):
        if time.monotonic() > until:
            decided.append(Decided(row, gettext("Not tried: this took too long. Send it again."), is_done=False))
            continue
        if row.seller_id in busy:
            decided.append(Decided(row, busy[row.seller_id], is_done=False))
            continue
        try:
            written = what.decide(
                approve=decision == APPROVE,
                row_id=row.pk,
                reason=reason,
                organization=organization_of(request),
                decided_by=account.username,
                decided_by_id=account.user.pk,
                access=account.access,
            )
        except Problem as problem:
            said = message_for(problem, instead=what.instead)
            if isinstance(problem, SellerBusy):
                busy[row.seller_id] = said
            decided.append(Decided(row, said, is_done=False))
        else:
            decided.append(Decided(row, _said(written), is_done=True))
    return decided


def _said(written: Written[Any]) -> str:
    if written.is_replay:
        return gettext("Already decided the same way")
    match written.row.status:
        case CreditRequest.Status.APPROVED:
            return gettext("Approved")
        case CreditRequest.Status.REJECTED:
            return gettext("Rejected")
    return gettext("Approved once; a second person is needed")


def _answer(request: HttpRequest, what: Deciding, decided: list[Decided]) -> HttpResponse:
    context = {
        "done": _groups((one.said, one.row) for one in decided if one.is_done),
        "not_done": [one for one in decided if not one.is_done],
        "list": what.name,
        "title": _("What was decided"),
    }
    if not is_fragment(request):
        return show(request, "credit/decided.html", context)
    context["table"] = what.table(request, what.rows([one.row.pk for one in decided]))
    return show(request, "credit/decided_rows.html", context)


def _groups(named: Iterable[tuple[str, Any]]) -> list[Group]:
    counts: Counter[str] = Counter()
    amounts: Counter[str] = Counter()
    for name, row in named:
        counts[name] += 1
        amounts[name] += row.amount
    return [Group(name, count, amounts[name]) for name, count in counts.items()]


def in_order(rows: Iterable[Any], ids: Sequence[UUID]) -> list[Any]:
    """The rows in the order in which they were chosen."""
    by_id = {row.pk: row for row in rows}
    return [by_id[one] for one in ids if one in by_id]


def decided_already(row: CreditRequest | Adjustment) -> str | Promise | None:
    """Why nobody can decide a row any more: it was decided. None: it waits."""
    return None if row.status == CreditRequest.Status.PENDING else _("It was decided already.")
