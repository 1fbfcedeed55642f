"""What sellers earn by a recharge, as pages: the rates and their history, setting one, and a seller's own earnings."""

import re
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from credit.pages.filters import SellerField, SellerFilters, read_filters
from recharge.commissions import queries, services
from recharge.pages import words
from recharge.pages.tables import commissions_table
from recharge.reports.sums import earned_by
from recharge.terms.queries import terms_of_operators
from shared.console.formats import first_day_of_month
from shared.console.forms import ChoiceField, Form, TextInput, TomansFormField
from shared.console.views import (
    FORM,
    add_problem,
    done,
    is_fragment,
    own_seller,
    page,
    show,
    signed_in,
    status_of_form,
)
from shared.days import today
from shared.errors import Problem
from shared.identity.permissions import Permission
from shared.identity.roles import may
from shared.pagination import page_of_rows
from shared.texts import latin_digits, without_invisible
from tenants.routing import organization_of

ROWS = 25
IN_FORCE, ALL = "", "all"
PERCENT, FIXED, NONE = "percent", "fixed", "none"

_ALL_OPERATORS = _("All operators")
_PERCENT = re.compile(r"([0-9]{1,2})(?:[.٫/]([0-9]{1,2}))?\s*[%٪]?")


class CommissionFilters(SellerFilters):
    """A seller, and whether rates that have ended are shown, too."""

    which = ChoiceField(
        label=_("Rates"),
        required=False,
        choices=[(IN_FORCE, _("Current rates")), (ALL, _("All, including ended ones"))],
    )
    field_order = ("which",)


@page(Permission.VIEW_COMMISSIONS)
def commissions(request: HttpRequest) -> HttpResponse:
    """The rates, those set last first; with those that have ended, it is the history of their changes."""
    form, filters = read_filters(request, CommissionFilters)
    seller_id = filters.get("seller_id")
    if filters.get("which") == ALL:
        rows = queries.all_rates(seller_id=seller_id)
    else:
        rows = queries.rates_in_force(seller_id=seller_id)
    rows = rows.none() if form.errors else rows.select_related("seller")
    shown = page_of_rows(rows, limit=ROWS, cursor=request.GET.get("cursor"))
    may_change = may(signed_in(request), Permission.MANAGE_SETTINGS)
    table = commissions_table(shown.rows, has_ended=filters.get("which") == ALL, may_change=may_change)
    context = {"form": form, "page": shown, "table": table}
    return show(request, "recharge/commissions.html", context)


class PercentField(forms.Field):
    """A percentage with two decimals at most, as people write it: 2.5, ۲٫۵, 3 %. Hundredths of a percent come out."""

    default_error_messages = {
        "required": _("Write a percentage."),
        "invalid": _("Write a percentage from 0 to 99.99, like 2.5."),
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Percent of the amount"))
        kwargs.setdefault(
            "widget", TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "dir": "ltr", "maxlength": 10})
        )
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        written = _PERCENT.fullmatch(latin_digits(without_invisible(str(value))).strip())
        if written is None:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return int(written[1]) * 100 + int((written[2] or "").ljust(2, "0"))


class CommissionForm(Form):
    seller = SellerField(
        label=_("Seller (name or id)"), required=False, help_text=_("Empty: all sellers without a rate of their own.")
    )
    operator = ChoiceField(label=_("Operator"), required=False)
    kind = ChoiceField(
        label=_("Commission"),
        choices=[
            (PERCENT, _("A percentage")),
            (FIXED, _("A fixed sum for each recharge")),
            (NONE, _("No rate of its own: the more general rate applies again")),
        ],
    )
    percent = PercentField(required=False)
    fixed = TomansFormField(label=_("Or a fixed sum (Tomans)"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", _ALL_OPERATORS), *words.operators_to_choose_from()]
        self.fields["operator"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for kind, name in ((PERCENT, "percent"), (FIXED, "fixed")):
            if cleaned.get("kind") == kind:
                if cleaned.get(name) is None and name not in self.errors:
                    self.add_error(name, self.fields[name].error_messages["required"])
            elif name in cleaned:
                cleaned[name] = None  # what was written of the other kind is not meant
        return cleaned


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def set_commission(request: HttpRequest) -> HttpResponse:
    """Sets a rate, from the next sale on."""
    form = CommissionForm(request.POST or None, initial={name: request.GET.get(name, "") for name in _GIVEN})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            services.set_commission(
                organization=organization_of(request),
                by=signed_in(request).username,
                seller_id=given["seller"].pk if given["seller"] else None,
                operator=given["operator"] or None,
                basis_points=given["percent"],
                fixed=given["fixed"],
            )
        except Problem as problem:
            add_problem(form, problem, fields={"seller_id": "seller", "basis_points": "percent"})
        else:
            return done(request, _SAVED[given["kind"]], "commissions")
    return show(request, "recharge/set_commission.html", {"form": form}, status=status_of_form(form))


_GIVEN = ("seller", "operator")
_SAVED = {
    PERCENT: _("Saved. Applies from the next sale."),
    FIXED: _("Saved. Applies from the next sale."),
    NONE: _("Saved. From the next sale the more general rate applies."),
}


@page(Permission.VIEW_OWN_EARNINGS)
def earnings(request: HttpRequest) -> HttpResponse:
    """What a seller has earned today and this month, and what each operator's recharges earn. A part of it stands on
    the page on which one sells."""
    seller_id = own_seller(request)
    earned = earned_by(seller_id, today=today(), month=first_day_of_month(today()))
    if is_fragment(request):
        return show(request, "recharge/earned_now.html", {"earned": earned})
    terms = terms_of_operators(seller_id=seller_id)
    return show(request, "recharge/earnings.html", {"earned": earned, "terms": terms, "today": today()})
