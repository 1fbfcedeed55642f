"""Selling one recharge, as pages: what to sell, a look at what it comes to, the sale, its outcome, its receipt.

A sale's key is made when its form is shown, and stays the same while it is looked at, sent, and sent again. So neither
a double click nor a reload, the Back button or a lost connection sells twice: all of them lead to the same outcome.

With script all of it happens on one page (recharge/static/recharge/sell.js): form, look and the next form take each
other's place, and the outcome stands below. The same views answer then, with a part instead of a page. Without script
each is a page of its own.
"""

import re
import uuid
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from recharge.delivery.gateways import simulator
from recharge.limits.queries import room_of
from recharge.models import Recharge
from recharge.operators import Operator, operator_of
from recharge.pages import words
from recharge.reports.sums import sold_by
from recharge.selling import queries
from recharge.selling.errors import AmountNotSold, PossibleDuplicate
from recharge.selling.queries import LATELY_SECONDS
from recharge.selling.sale import Item, read_sale
from recharge.selling.services import refusal_of, sell_recharge
from recharge.terms.queries import OperatorTerms, added_operators, terms_of_operator
from shared.console.forms import ChoiceField, Form, PhoneNumberFormField, Select, TextInput, TomansFormField
from shared.console.languages import is_shown_again
from shared.console.messages import message_for
from shared.console.views import FORM, add_problem, is_fragment, own_seller, page, show, signed_in
from shared.days import start_of_day, today
from shared.errors import FIELD_MESSAGES, IdempotencyKeyReused, InvalidRequest, Problem, SellerBusy
from shared.identity.permissions import Permission
from shared.phones import InvalidPhoneNumber, normalize_phone_number
from tenants.routing import organization_of

USUAL_AMOUNTS = (10_000, 20_000, 50_000, 100_000, 200_000)
"""Tomans; the amounts that are offered where the organization has no list of its own."""

TO_ITS_SELLER: dict[type[Problem], str | Promise] = {
    SellerBusy: _("Other sales of yours are still in progress, and nothing was done. Try again in a moment."),
}
"""What a seller who sells is told in place of what an admin is told, too."""

_KEY = re.compile(r"[0-9a-f]{32}")

LAST_SALES = 5
"""How many are shown beside the form."""

# Seconds between two looks at a recharge that has not ended: soon after its sale, and later.
_OFTEN, _SELDOM, _SOON = 1, 10, 60


def _is_in_place(request: HttpRequest) -> bool:
    """Whether the answer is put into the page on which one sells (sale_form.html), instead of being a page itself."""
    return is_fragment(request) and request.headers.get("HX-Target") == "sale"


class SeeOther(HttpResponseRedirect):
    """303: done, and this is what there is to see; to be fetched with GET (RFC 9110 section 15.4.4)."""

    status_code = 303


class OperatorSelect(Select):
    """Operators of which some are not sold: they can't be chosen. One that has been is left, so that what is sent is
    what is seen, and is refused."""

    not_sold: frozenset[str] = frozenset()

    def create_option(
        self, name: str, value: Any, label: Any, selected: Any, *args: Any, **more: Any
    ) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, label, selected, *args, **more)
        if value in self.not_sold and not selected:
            option["attrs"]["disabled"] = True
        return option


class SaleForm(Form):
    """What to sell; ``item`` is it, once it is valid."""

    phone_number = PhoneNumberFormField(
        widget=TextInput(
            attrs={"inputmode": "tel", "autocomplete": "off", "dir": "ltr", "maxlength": 40, "autofocus": True}
        )
    )
    operator = ChoiceField(
        label=_("Operator"),
        required=False,
        widget=OperatorSelect,
        help_text=_("Choose one if the number was ported, or if its operator is not detected."),
    )
    amount = TomansFormField()
    item: Item

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        operator, (choices, not_sold) = self.fields["operator"], words.operators_to_sell()
        operator.choices = [("", _("Detect automatically")), *choices]  # type: ignore[attr-defined]
        operator.widget.not_sold = not_sold

    def focus_what_is_wrong(self) -> None:
        """The cursor is at the first field that was refused, where one was."""
        wrong = [name for name in self.fields if name in self.errors]
        if wrong:
            self.fields["phone_number"].widget.attrs.pop("autofocus", None)
            self.fields[wrong[0]].widget.attrs["autofocus"] = True

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                self.item = read_sale({name: value for name, value in cleaned.items() if value})
            except InvalidRequest as problem:
                add_problem(self, problem)
        return cleaned


def new_key() -> str:
    """For one form, which does what it does once."""
    return uuid.uuid4().hex


def is_key(key: str) -> bool:
    """Whether ``new_key`` may have made it."""
    return _KEY.fullmatch(key) is not None


def stored_key(key: str) -> str:
    """The idempotency key that a form's key becomes."""
    return f"page-{key}"


@page(Permission.SELL)
def sell(request: HttpRequest) -> HttpResponse:
    """The form; a number, operator and amount in the address fill it in."""
    given = {name: request.GET[name] for name in SaleForm.base_fields if name in request.GET}
    # Who comes back to the form with what was in it has its key, too: it may have sold.
    key = request.GET.get("key", "")
    return _show_form(
        request, SaleForm(initial=given), key if is_key(key) else new_key(), given.get("phone_number", "")
    )


def _show_form(
    request: HttpRequest,
    form: SaleForm,
    key: str,
    number: str,
    *,
    sold_before: Recharge | None = None,
) -> HttpResponse:
    given = form.data.get("operator", "") if form.is_bound else form.initial.get("operator", "")
    form.focus_what_is_wrong()
    context = {
        "form": form,
        "key": key,
        "hint": _hint(number, given, seller_id=own_seller(request)),
        "sold_before": sold_before,
    }
    template = "recharge/sale_form.html"
    if not _is_in_place(request):
        template, context = "recharge/sell.html", context | _day(request)
    return show(request, template, context, status=422 if form.is_bound else 200)


def _day(request: HttpRequest) -> dict[str, Any]:
    """What stands beside the form."""
    last_sales = list(queries.recharges(seller_id=own_seller(request)).order_by("-pk")[:LAST_SALES])
    return {
        "day": sold_by(own_seller(request), since=start_of_day(today())),
        "last_sales": last_sales,
        "is_open": any(one.completed_at is None for one in last_sales),
        "room": room_of(own_seller(request)),
    }


@page(Permission.SELL)
def selling_day(request: HttpRequest) -> HttpResponse:
    """What was sold today, the last sales, and what limits leave: the part beside the form, after each sale."""
    return show(request, "recharge/selling_day.html", _day(request))


@dataclass(frozen=True, slots=True)
class Hint:
    """What can be said of a number while it is typed."""

    phone_number: str
    operator: str | None
    is_chosen: bool
    """Whether the operator is not the number's own, but was chosen."""
    problem: str
    amounts: list[int]
    terms: OperatorTerms | None

    @property
    def needs_operator(self) -> bool:
        """Whether it is not known whose the number is, so that somebody must say it."""
        return bool(self.phone_number) and self.operator is None


@page(Permission.SELL)
def number(request: HttpRequest) -> HttpResponse:
    """What is to be said of the number that is being typed, and the amounts of its operator."""
    hint = _hint(request.GET.get("phone_number", ""), request.GET.get("operator", ""), seller_id=own_seller(request))
    return show(request, "recharge/number_hint.html", {"hint": hint, "is_update": True})


def _hint(written: str, chosen: str, *, seller_id: int) -> Hint:
    is_known = chosen in Operator or (chosen and chosen in added_operators())
    operator: str | None = chosen if is_known else None
    is_chosen, phone_number, problem = operator is not None, "", ""
    if written.strip():
        try:
            phone_number = normalize_phone_number(written)
            operator = operator or operator_of(phone_number)
        except InvalidPhoneNumber as error:
            problem = str(FIELD_MESSAGES[error.code])
    terms = terms_of_operator(operator, seller_id=seller_id) if operator else None
    return Hint(phone_number, operator, is_chosen, problem, _usual_amounts(terms), terms)


def _usual_amounts(terms: OperatorTerms | None) -> list[int]:
    if terms and terms.amounts:
        return terms.amounts
    return [amount for amount in USUAL_AMOUNTS if terms is None or terms.sells(amount)]


@page(Permission.SELL, methods=FORM)
def confirm(request: HttpRequest) -> HttpResponse:
    """What a sale would come to, and the sale itself."""
    given: QueryDict = request.POST if request.method == "POST" else request.GET
    form, key, written = SaleForm(given), given.get("key", ""), given.get("phone_number", "")
    if not is_key(key):
        form.add_error(None, _("This form was not complete. Check it and send it again."))
        key = new_key()
    if not form.is_valid():
        return _show_form(request, form, key, written)

    allow_duplicate = given.get("allow_duplicate") == "on"
    item = replace(form.item, idempotency_key=stored_key(key), allow_duplicate=allow_duplicate)
    problem: Problem | None = None
    if request.method == "POST" and not is_shown_again(request):
        try:
            sold = sell_recharge(
                organization=organization_of(request),
                seller_id=own_seller(request),
                item=item,
                guard=LATELY_SECONDS,
                access=signed_in(request).access,
            )
        except IdempotencyKeyReused:
            pass  # what it was used for is looked up below
        except Problem as refused:
            problem = refused
        else:
            if _is_in_place(request):
                return _show_sold(request, queries.recharge_by_id(UUID(sold.row.id), seller_id=own_seller(request)))
            return _see(request, reverse("recharge_outcome", args=[sold.row.id]))

    (prospect,) = queries.prospects_of(seller_id=own_seller(request), items=[item], guard=LATELY_SECONDS)
    match prospect.outcome:
        case "replayed" if _is_in_place(request):
            return _show_sold(request, _sold_with(request, item), is_replayed=True)
        case "replayed":
            return show(request, "recharge/sold_already.html", {"recharge": _sold_with(request, item)})
        case "key_reused":
            form.add_error(
                None, _("The form you sent had already sold something else. Nothing was sold now: continue here.")
            )
            return _show_form(request, form, new_key(), written, sold_before=_sold_with(request, item))
        case "amount_not_sold":
            form.add_error("amount", message_for(AmountNotSold(item.operator)))
            return _show_form(request, form, key, written)
        case "created" | "insufficient_credit" | "possible_duplicate":
            pass  # the page itself says so
        case _:
            add_problem(form, refusal_of(prospect.outcome, item, prospect.balance, prospect.passed))
            return _show_form(request, form, key, written)
    context = {
        "sale": item,
        "is_ported": operator_of(item.phone_number) not in (None, item.operator),
        "key": key,
        "change": urlencode(
            {
                "phone_number": item.phone_number,
                # The number's own is none that was chosen: who corrects the number means that of the new one.
                "operator": "" if operator_of(item.phone_number) == item.operator else item.operator,
                "amount": item.amount,
                "key": key,
            }
        ),
        "balance": prospect.balance,
        "balance_after": prospect.balance - item.amount + prospect.commission,
        "commission": prospect.commission,
        "suffices": prospect.suffices,
        # Also where it was sold by another form: after a lost answer, people begin anew.
        "is_duplicate": isinstance(problem, PossibleDuplicate) or prospect.is_repeated,
        "problem": message_for(problem, instead=TO_ITS_SELLER)
        if problem and problem.code not in ("possible_duplicate", "insufficient_credit")
        else "",
    }
    template = "recharge/sale_confirm.html" if _is_in_place(request) else "recharge/confirm.html"
    return show(request, template, context, status=422 if problem else 200)


def _show_sold(request: HttpRequest, recharge: Recharge, *, is_replayed: bool = False) -> HttpResponse:
    """The form of the next sale, and below it what became of this one."""
    context = {
        "form": SaleForm(),
        "key": new_key(),
        "hint": _hint("", "", seller_id=own_seller(request)),
        "sold": recharge,
        "is_replayed": is_replayed,
        "seconds": _seconds_to_next_look(recharge),
    }
    response = show(request, "recharge/sale_form.html", context)
    response["HX-Trigger"] = "balance-changed"
    return response


def _sold_with(request: HttpRequest, item: Item) -> Recharge:
    """What was sold with the item's key before."""
    sold = queries.recharges_by_key(seller_id=own_seller(request), keys=[item.idempotency_key])
    return sold[item.idempotency_key]


def _see(request: HttpRequest, address: str) -> HttpResponse:
    if is_fragment(request):
        return HttpResponse(status=204, headers={"HX-Redirect": address})
    return SeeOther(address)


@page(Permission.SELL)
def outcome(request: HttpRequest, recharge_id: UUID) -> HttpResponse:
    """What became of a sale; the part that may change asks for itself until the recharge has ended."""
    recharge = queries.recharge_by_id(recharge_id, seller_id=own_seller(request))
    context = {"recharge": recharge, "seconds": _seconds_to_next_look(recharge)}
    if not is_fragment(request):
        return show(request, "recharge/outcome.html", context)
    # Below the form of the next sale it is shorter.
    is_last = request.headers.get("HX-Target") == "last-outcome"
    response = show(request, "recharge/last_sale.html" if is_last else "recharge/outcome_now.html", context)
    if recharge.completed_at:
        response["HX-Trigger"] = "balance-changed"
    return response


def _seconds_to_next_look(recharge: Recharge) -> int | None:
    if recharge.completed_at:
        return None
    age = (timezone.now() - recharge.created_at).total_seconds()
    return _OFTEN if age < _SOON else _SELDOM


@page(Permission.VIEW_OWN_BALANCE)
def balance_now(request: HttpRequest) -> HttpResponse:
    """The balance above every page of a seller, asked for again and again."""
    return show(request, "recharge/balance_now.html")


# Their texts are marked where they are written.
SANDBOX = tuple((rule.endings, translation.gettext_lazy(rule.words)) for rule in simulator.SANDBOX)
"""What the numbers of the sandbox do, by their last two digits; none: all others."""


@page(Permission.SELL)
def api_access(request: HttpRequest) -> HttpResponse:
    """How a program of the seller's own sells."""
    base = f"{request.scheme}://{request.get_host()}/api/v1"
    return show(request, "recharge/api_access.html", {"base": base, "sandbox": SANDBOX})
