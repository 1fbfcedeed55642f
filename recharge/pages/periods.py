"""Closed periods, as pages: which months are closed, and closing the next."""

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit.queries import first_entry_at, policy
from recharge.models import ClosedPeriod
from recharge.periods import queries, services
from recharge.periods.errors import PeriodClosed, PeriodNotOver
from recharge.reports.posted import Corrections, corrections
from shared.console.danger import Danger, ask
from shared.console.formats import format_day
from shared.console.months import Month, month_of, months_between
from shared.console.views import FORM, done, not_done, on_to, page, show, signed_in
from shared.days import today
from shared.errors import NotFound, SellerBusy
from shared.identity.permissions import Permission
from shared.identity.roles import may
from tenants.routing import organization_of


@dataclass(frozen=True, slots=True)
class ShownPeriod:
    """A closed period, and what came later to what was sold in it or before."""

    row: ClosedPeriod
    months: str
    sold_amount: int
    given_back_amount: int
    later: Corrections


@page(Permission.VIEW_REPORTS)
def periods(request: HttpRequest) -> HttpResponse:
    """Those that are closed, and the months that can be."""
    rows = list(queries.closed_periods())
    shown = [_shown(row) for row in rows]
    context = {
        "periods": shown,
        # What came later has no sum: of each period it is what came to it and to those before.
        "sold_amount": sum(one.sold_amount for one in shown),
        "given_back_amount": sum(one.given_back_amount for one in shown),
        "open_months": _open_months(rows) if may(signed_in(request), Permission.CLOSE_PERIODS) else [],
        "time_zone": policy().time_zone,
    }
    return show(request, "recharge/periods.html", context)


@page(Permission.CLOSE_PERIODS, methods=FORM)
def close_period(request: HttpRequest, month: str) -> HttpResponse:
    """Asks for confirmation, and closes all until the end of a month."""
    chosen = next((one for one in _open_months(list(queries.closed_periods())) if one.code == month), None)
    if request.method == "POST":
        try:
            last_day = Month.read(month).last_day
        except ValueError:
            raise NotFound("There is no such month.") from None
        try:
            services.close_period(
                organization=organization_of(request), last_day=last_day, closed_by=signed_in(request).username
            )
        except (PeriodNotOver, PeriodClosed, SellerBusy) as problem:
            return not_done(request, problem, "periods")
        return done(request, gettext("Closed. Reports of these days no longer change."), "periods")
    if chosen is None:
        return on_to(request, "periods")
    days = {"last": format_day(chosen.last_day)}
    if closed_until := queries.closed_until():
        what = gettext("All days after %(first)s until %(last)s are closed.") % {
            "first": format_day(closed_until),
            **days,
        }
    else:
        what = gettext("All days until %(last)s are closed.") % days
    danger = Danger(
        question=gettext("Close %(month)s?") % {"month": chosen},
        meaning=[
            what,
            _("Their reports go by the day of the entry and no longer change. A closed period can't be opened again."),
        ],
        act=_("Close the period"),
        back=reverse("periods"),
    )
    return ask(request, danger)


def _open_months(rows: list[ClosedPeriod]) -> list[Month]:
    """The months that are over and not closed, the first one first."""
    if rows:
        first: date = rows[0].last_day + timedelta(days=1)
    else:
        began = first_entry_at()
        if began is None:
            return []
        first = began.astimezone(ZoneInfo(policy().time_zone)).date()
    with timezone.override(ZoneInfo(policy().time_zone)):
        now = today()
    return [month for month in months_between(first, now) if month.last_day < now]


def _shown(row: ClosedPeriod) -> ShownPeriod:
    def amount(*kinds: str) -> int:
        return sum(row.totals.get(kind, {}).get("amount", 0) for kind in kinds)

    last = month_of(row.last_day)
    name = str(last) if last.last_day == row.last_day else ""
    if name and row.first_day and (first := month_of(row.first_day)) < last:
        name = f"{first} – {last}"
    return ShownPeriod(
        row=row,
        months=name,
        sold_amount=-amount("recharge"),
        given_back_amount=amount("refund", "reversal"),
        later=corrections(sold_before=row.ends, posted_from=row.ends),
    )
