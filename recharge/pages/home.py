"""What needs a decision, and what happened today."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from credit.queries import adjustments_to_decide, credit_requests_to_decide, names_of_sellers
from recharge.claims.queries import claims_open
from recharge.pages.live import MOST_COUNTED, state_of
from recharge.reports.sums import totals
from recharge.selling import queries
from shared.console.views import page, show, signed_in
from shared.days import days_before, start_of_day, today
from shared.identity.permissions import Permission
from shared.identity.roles import may

ROWS_SHOWN = 5
DAYS_OF_LATE = 7
"""How many days a late result is shown. What is owed is shown until it is paid."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for a decision: the first few, and how many there are, up to a bound."""

    rows: Sequence[Any]
    count: int
    is_more: bool


def _waiting(rows: Sequence[Any], names: dict[int, str]) -> Waiting:
    for row in rows[:ROWS_SHOWN]:
        row.seller_name = names[row.seller_id]
    return Waiting(rows[:ROWS_SHOWN], min(len(rows), MOST_COUNTED - 1), len(rows) == MOST_COUNTED)


@page(Permission.VIEW_TODAY)
def home(request: HttpRequest) -> HttpResponse:
    """The first page of people who work for the organization: what waits, as far as they may see it. It takes eleven
    queries at most, whatever there is, and one that tells whether anything has changed."""
    live = state_of(signed_in(request))  # read first: so the page is never older than its version
    sees_requests = may(signed_in(request), Permission.VIEW_CREDIT_REQUESTS)
    requests = list(credit_requests_to_decide()[:MOST_COUNTED]) if sees_requests else []
    unknown = queries.unknown_recharges(limit=MOST_COUNTED)
    late = queries.late_recharges(since=start_of_day(days_before(today(), DAYS_OF_LATE - 1)), limit=MOST_COUNTED)
    may_see = may(signed_in(request), Permission.VIEW_ADJUSTMENTS)
    adjustments = list(adjustments_to_decide()[:MOST_COUNTED]) if may_see else []
    sees_claims = may(signed_in(request), Permission.VIEW_CLAIMS)
    claims = list(claims_open().select_related("recharge")[:MOST_COUNTED]) if sees_claims else []
    shown: list[Any] = [row for rows in (requests, adjustments, claims, unknown, late) for row in rows[:ROWS_SHOWN]]
    names = names_of_sellers(row.seller_id for row in shown)
    owed, owing = queries.owed_in_all()
    context = {
        "live_version": live.version,
        "requests": _waiting(requests, names),
        "adjustments": _waiting(adjustments, names),
        "claims": _waiting(claims, names),
        "unknown": _waiting(unknown, names),
        "late": _waiting(late, names),
        "today": today(),
        "owed": owed,
        "owing": owing,
        "totals": totals(created_from=start_of_day(today())),
    }
    return show(request, "recharge/home.html", context)


@page()
def start(request: HttpRequest) -> HttpResponse:
    """The organization's address alone: on to where one's work begins."""
    return redirect("sell" if may(signed_in(request), Permission.SELL) else "home")
