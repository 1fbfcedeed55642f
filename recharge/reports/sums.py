"""What an organization sold on some days, summed up. Runs on the organization's schema.

A day's sums are those of its end: no later reversal, refund or late charge changes them. What changed since is beside
them, so that both together are what is so now.
"""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

from django.db import connection

from shared.days import start_of_day
from shared.uuid7 import from_moment, until_moment

MOST_DAYS = 92

_REPORT = (Path(__file__).parents[1] / "sql" / "report.sql").read_text()


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of recharges after the day on which they were sold: how many, and their Tomans."""

    taken_back: int = 0
    """They had been delivered; the operator took them back, and their sellers have the amount again."""
    taken_back_amount: int = 0
    delivered_after_all: int = 0
    """They had failed; they were delivered after all, and are charged again, or owed."""
    delivered_after_all_amount: int = 0
    delivered: int = 0
    """They were open."""
    delivered_amount: int = 0
    refunded: int = 0
    """They were open, and failed."""
    refunded_amount: int = 0

    def __bool__(self) -> bool:
        return bool(self.taken_back or self.delivered_after_all or self.delivered or self.refunded)

    # What this adds to each of the sums of the day.

    @property
    def sold(self) -> int:
        return self.delivered + self.delivered_after_all - self.taken_back

    @property
    def amount(self) -> int:
        return self.delivered_amount + self.delivered_after_all_amount - self.taken_back_amount

    @property
    def failed(self) -> int:
        return self.refunded + self.taken_back - self.delivered_after_all

    @property
    def open(self) -> int:
        return -self.delivered - self.refunded


@dataclass(frozen=True, slots=True)
class Sums:
    """Recharges that were sold on some days, as each was when its day ended: how many were delivered (``sold``) and
    their Tomans (``amount``), how many had failed, how many had not ended (pending or unknown); all together are those
    that were accepted. ``changed`` is what became of them after their day."""

    sold: int = 0
    amount: int = 0
    failed: int = 0
    open: int = 0
    changed: Changes = Changes()

    @property
    def ended(self) -> int:
        """Of these, the failed ones are the failure rate."""
        return self.sold + self.failed


@dataclass(frozen=True, slots=True)
class Training:
    """How many of those that are summed up as sold were sold in training, and so delivered to nobody; their Tomans."""

    sold: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The sums of a range of days: of all, of each day, of each operator and of each seller (those that sold most)."""

    total: Sums = field(default_factory=Sums)
    training: Training = Training()
    """Of the total."""
    days: dict[date, Sums] = field(default_factory=dict)
    """In order; a day without sales is there too."""
    operators: dict[str, Sums] = field(default_factory=dict)
    sellers: list[tuple[int, str, Sums]] = field(default_factory=list)
    """Id, name and sums; those with most Tomans first."""


def report(*, first: date, last: date, most_sellers: int) -> Report:
    """What was sold from the first to the last day (both included) in the reader's time zone."""
    days = [first + timedelta(days=count) for count in range((last - first).days + 1)]
    bounds = [start_of_day(day) for day in [*days, last + timedelta(days=1)]]
    parameters = {
        "bounds": bounds,
        "most_sellers": most_sellers,
        **from_moment(bounds[0]),
        **until_moment(bounds[-1]),
    }
    with connection.cursor() as cursor:
        cursor.execute(_REPORT, parameters)
        rows = cursor.fetchall()
    found = Report(days=dict.fromkeys(days, Sums()), operators={}, sellers=[])
    total, training = Sums(), Training()
    for by_day, by_operator, by_seller, day, operator, seller_id, name, *figures in rows:
        sold, amount, failed, still_open, *changed, trained, trained_amount = figures
        sums = Sums(sold, amount, failed, still_open, Changes(*changed))
        if by_day:
            found.days[days[day - 1]] = sums
        elif by_operator:
            found.operators[operator] = sums
        elif by_seller:
            found.sellers.append((seller_id, name, sums))
        else:
            total, training = sums, Training(trained, trained_amount)
    return replace(found, total=total, training=training)
