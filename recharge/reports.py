"""What an organization sold on some days, summed up. Runs on the organization's schema."""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

from django.db import connection

from shared.formats import start_of_day
from shared.times import from_moment, until_moment

MOST_DAYS = 92

_REPORT = (Path(__file__).parent / "sql" / "report.sql").read_text()


@dataclass(frozen=True, slots=True)
class Sums:
    """Recharges that were sold at some time: how many were delivered and their Tomans, how many failed, how many have
    not ended (pending or unknown)."""

    sold: int = 0
    amount: int = 0
    failed: int = 0
    open: int = 0

    @property
    def ended(self) -> int:
        """Of these, the failed ones are the failure rate."""
        return self.sold + self.failed


@dataclass(frozen=True, slots=True)
class Report:
    """The sums of a range of days: of all, of each day, of each operator and of each seller (those that sold most)."""

    total: Sums = field(default_factory=Sums)
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
    total = Sums()
    for by_day, by_operator, by_seller, day, operator, seller_id, name, *figures in rows:
        sums = Sums(*figures)
        if by_day:
            found.days[days[day - 1]] = sums
        elif by_operator:
            found.operators[operator] = sums
        elif by_seller:
            found.sellers.append((seller_id, name, sums))
        else:
            total = sums
    return replace(found, total=total)
