"""Spans of days that people ask for by name: today, this week, a month of the Jalali calendar."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.console.months import Month, month_of, months_between
from shared.days import days_before

MONTHS = 13
"""That are offered by name, with the one that it is."""

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Span:
    """From a day to a day; what it is called, and where that does not say it, which month it is."""

    name: str | Promise
    first: date
    last: date
    month: str = ""


def usual_spans(today: date) -> list[Span]:
    """Those that are asked for every day. Weeks begin on Saturday."""
    yesterday, this_month = days_before(today, 1), month_of(today)
    last_month = month_of(days_before(this_month.first_day, 1))
    return [
        Span(_("Today"), today, today),
        Span(_("Yesterday"), yesterday, yesterday),
        Span(_("This week"), days_before(today, (today.weekday() - _SATURDAY) % 7), today),
        Span(_("This month"), this_month.first_day, this_month.last_day, str(this_month)),
        Span(_("Last month"), last_month.first_day, last_month.last_day, str(last_month)),
    ]


def last_days(today: date, count: int, name: str | Promise) -> Span:
    """So many days until today."""
    return Span(name, days_before(today, count - 1), today)


def month_spans(today: date) -> Iterator[Span]:
    """The last months by name, the newest first."""
    months: list[Month] = [*months_between(days_before(today, 30 * (MONTHS - 1)), today)]
    for month in reversed(months):
        yield Span(str(month), month.first_day, month.last_day)
