"""Months of the Jalali calendar, by name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import jdatetime
from django.utils.translation import gettext_lazy as _

from shared.console.formats import in_digits

LAST_YEAR = 9377
"""After which dates end."""

_NAMES = (
    _("Farvardin"),
    _("Ordibehesht"),
    _("Khordad"),
    _("Tir"),
    _("Mordad"),
    _("Shahrivar"),
    _("Mehr"),
    _("Aban"),
    _("Azar"),
    _("Dey"),
    _("Bahman"),
    _("Esfand"),
)


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A month, from 1 to 12, of a Jalali year."""

    year: int
    number: int

    @classmethod
    def read(cls, code: str) -> "Month":
        """The month of a :attr:`code`.

        Raises:
            ValueError: it is none.
        """
        found = re.fullmatch(r"([0-9]{4})-([0-9]{2})", code, re.ASCII)
        if found is None or not (1 <= int(found[1]) < LAST_YEAR and 1 <= int(found[2]) <= len(_NAMES)):
            raise ValueError(code)
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{_NAMES[self.number - 1]} {in_digits(str(self.year))}"

    @property
    def first_day(self) -> date:
        day: date = jdatetime.date(self.year, self.number, 1).togregorian()
        return day

    @property
    def last_day(self) -> date:
        return self.next.first_day - timedelta(days=1)

    @property
    def next(self) -> "Month":
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def code(self) -> str:
        """As an address has it: 1405-08."""
        return f"{self.year:04}-{self.number:02}"


def month_of(day: date) -> Month:
    """The month that a (Gregorian) day is in."""
    jalali = jdatetime.date.fromgregorian(date=day)
    return Month(jalali.year, jalali.month)


def months_between(first: date, last: date) -> Iterator[Month]:
    """The months from that of the first day to that of the last, in their order."""
    month, end = month_of(first), month_of(last)
    while month <= end:
        yield month
        month = month.next
