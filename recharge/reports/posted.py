"""What was posted for recharges, summed up by the day of the entry: the report of days that are closed.

It says for ever what it says once the days are over, since entries are only ever added. :mod:`recharge.reports.sums`
counts a recharge for the day on which it was sold; here its refund, its late charge and its reversal count for their
own days.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone

from credit.queries import policy
from recharge.periods.queries import closed_periods
from shared.days import start_of_day
from shared.uuid7 import least_id

_REPORT = (Path(__file__).parents[1] / "sql" / "report_of_entries.sql").read_text()


@dataclass(frozen=True, slots=True)
class PostedSums:
    """Entries of recharges; amounts are Tomans."""

    sold: int = 0
    sold_amount: int = 0
    given_back: int = 0
    """Refunds and reversals."""
    given_back_amount: int = 0
    charged_late: int = 0
    charged_late_amount: int = 0
    sold_refunded: int = 0
    """Of those that were sold on the days of the report: the ones that stand refunded at their end. (What is given back
    may be of earlier recharges, too, and so may be more than is sold.)"""
    commission: int = 0
    """Of sellers, less what was taken back of it."""
    earlier: int = 0
    """Those of the entries that are of recharges which were sold before the days of the report."""
    earlier_amount: int = 0
    """What they add to the net amount."""
    margins: int = 0
    """Of dealers, less what was taken back of it; not of an operator."""

    @property
    def net_amount(self) -> int:
        return self.sold_amount - self.given_back_amount + self.charged_late_amount


@dataclass(frozen=True, slots=True)
class PostedReport:
    """As :class:`recharge.reports.sums.Report`."""

    total: PostedSums = PostedSums()
    days: dict[date, PostedSums] = field(default_factory=dict)
    operators: dict[str, PostedSums] = field(default_factory=dict)
    sellers: list[tuple[int, str, PostedSums]] = field(default_factory=list)
    losses: list[tuple[int, str, PostedSums]] = field(default_factory=list)
    """Of those to whom something was given back; those with most Tomans given back first."""


def posted_report(*, first: date, last: date, most_sellers: int) -> PostedReport:
    """What was posted from the first to the last day (both included) in the organization's time zone."""
    days = [first + timedelta(days=count) for count in range((last - first).days + 1)]
    with timezone.override(ZoneInfo(policy().time_zone)):
        bounds: list[datetime] = [start_of_day(day) for day in [*days, last + timedelta(days=1)]]
    with connection.cursor() as cursor:
        cursor.execute(_REPORT, {"bounds": bounds, "most_sellers": most_sellers})
        rows = cursor.fetchall()
    found = PostedReport(days=dict.fromkeys(days, PostedSums()))
    losses: dict[int, tuple[int, str, PostedSums]] = {}
    total = PostedSums()
    for by_day, by_operator, by_seller, day, operator, seller_id, name, place, place_of_losses, *figures in rows:
        sums = PostedSums(*figures)
        if by_day:
            found.days[days[day - 1]] = sums
        elif by_operator:
            found.operators[operator] = sums
        elif by_seller:
            if place <= most_sellers:
                found.sellers.append((seller_id, name, sums))
            if place_of_losses is not None and place_of_losses <= most_sellers:
                losses[place_of_losses] = (seller_id, name, sums)
        else:
            total = sums
    return replace(found, total=total, losses=[losses[place] for place in sorted(losses)])


@dataclass(frozen=True, slots=True)
class Corrections:
    """What came later to recharges that had been sold before some moment."""

    entries: int
    amount: int
    """Tomans that they add to the net amount; negative: more was given back."""


def corrections_of_closed(*, first: date, last: date) -> Corrections | None:
    """What was posted from the first to the last day of the reader's time zone for recharges that had been sold in
    periods that are closed; None: nothing was."""
    ends = closed_periods().values_list("ends", flat=True).first()
    if ends is None:
        return None
    found = corrections(
        sold_before=ends,
        posted_from=max(ends, start_of_day(first)),
        posted_until=start_of_day(last + timedelta(days=1)),
    )
    return found if found.entries else None


_CORRECTIONS = """
    SELECT count(*), coalesce(-sum(entry.amount), 0)::bigint
    FROM credit_entry AS entry
    INNER JOIN recharge_recharge AS recharge ON recharge.id = entry.reference
    WHERE entry.kind = ANY (entry_kinds_of('recharge')) AND entry.kind <> 'recharge'
        AND entry.id >= %(first_id)s AND entry.created_at >= %(posted_from)s
        AND (%(posted_until)s IS NULL OR entry.created_at < %(posted_until)s)
        AND recharge.created_at < %(sold_before)s
"""


def corrections(*, sold_before: datetime, posted_from: datetime, posted_until: datetime | None = None) -> Corrections:
    """What was posted from one moment until another (None: now) for recharges that had been sold before a third."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CORRECTIONS,
            {
                "first_id": least_id(posted_from),
                "posted_from": posted_from,
                "posted_until": posted_until,
                "sold_before": sold_before,
            },
        )
        return Corrections(*cursor.fetchone())
