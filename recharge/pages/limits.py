"""How much may be sold, as pages: of all sellers, and of one."""

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credit.queries import policy, seller_by_id
from recharge.limits import queries
from recharge.limits.queries import LIMITS
from recharge.limits.services import MOST_SALES, Limits, set_limits
from recharge.models import Limit
from recharge.pages.tables import own_limits_table
from shared.console.forms import EditForm, TomansFormField, WholeNumberFormField
from shared.console.views import FORM, add_problem, done, page, show, signed_in, status_of_form
from shared.errors import Problem
from shared.identity.permissions import Permission
from shared.pagination import page_of_rows
from tenants.routing import organization_of

SELLERS_SHOWN = 25


class LimitsForm(EditForm):
    """The limits of all, or of one."""

    together = ("from_hour", "to_hour")

    per_sale = TomansFormField(label=_("Per sale (Tomans)"), required=False)
    per_day = TomansFormField(label=_("Per day (Tomans)"), required=False)
    sales_per_day = WholeNumberFormField(label=_("Sales per day"), least=1, most=MOST_SALES, required=False)
    per_number_per_day = TomansFormField(label=_("Per number and day (Tomans)"), required=False)
    from_hour = WholeNumberFormField(
        label=_("Selling begins at (hour)"), least=0, most=23, required=False, help_text=_("From 0 to 23.")
    )
    to_hour = WholeNumberFormField(
        label=_("Selling ends at (hour)"),
        least=1,
        most=24,
        required=False,
        help_text=_("From 1 to 24."),
    )


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def limits(request: HttpRequest) -> HttpResponse:
    """The limits of all sellers, and who has any of his own."""
    form, saved = _form(request, None, _("Saved. Applies from the next sale."), "limits")
    if saved:
        return saved
    shown = page_of_rows(queries.own_limits(), limit=SELLERS_SHOWN, cursor=request.GET.get("cursor") or None)
    context = {"form": form, "page": shown, "table": own_limits_table(shown.rows), "time_zone": policy().time_zone}
    return show(request, "recharge/limits.html", context, status=status_of_form(form))


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def seller_limits(request: HttpRequest, seller_id: int) -> HttpResponse:
    """The limits of one seller, which go over those of all."""
    seller = seller_by_id(seller_id)
    form, saved = _form(request, seller_id, _("Saved. Applies from the next sale."), "seller", seller_id)
    if saved:
        return saved
    of_all = queries.limits_of(None)
    for name in LIMITS:
        form.fields[name].widget.attrs["placeholder"] = getattr(of_all, name) or ""
    context = {"form": form, "seller": seller, "time_zone": policy().time_zone}
    return show(request, "recharge/seller_limits.html", context, status=status_of_form(form))


def _form(
    request: HttpRequest, seller_id: int | None, message: Promise, *where: Any
) -> tuple[LimitsForm, HttpResponse | None]:
    """The form, and where to go on if it was sent and is saved."""
    stored = _as_settled(queries.limits_of(seller_id))
    form = LimitsForm(request.POST or None, initial={name: getattr(stored, name) for name in LIMITS})
    if request.method == "POST" and form.is_valid():
        try:
            set_limits(
                organization=organization_of(request),
                by=signed_in(request).username,
                limits=Limits(**asdict(stored) | form.edits()),
            )
        except Problem as problem:
            add_problem(form, problem)
        else:
            return form, done(request, message, *where)
    return form, None


def _as_settled(row: Limit) -> Limits:
    return Limits(seller_id=row.seller_id, **{name: getattr(row, name) for name in LIMITS})
