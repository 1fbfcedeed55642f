"""Writes numbers and moments for people: with Persian digits and Jalali dates in Persian, without them in English.

The active language and time zone decide (see preferences.py).
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache

import jdatetime
from django.utils import timezone
from django.utils.translation import get_language

from shared.texts import latin_digits, without_invisible

_PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
_DAY = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})")
_FIRST_GREGORIAN_YEAR = 1700  # Jalali years are 621 less; nobody asks here for what was in between


def is_persian() -> bool:
    """Whether the reader reads Persian."""
    return (get_language() or "").startswith("fa")


def in_digits(text: str) -> str:
    """The text with the digits of the reader's language."""
    return text.translate(_PERSIAN) if is_persian() else text


def isolated(text: str) -> str:
    """What somebody wrote, within a sentence: in its own direction, so that its full stop stays at its end. Where both
    are Latin it is bare: a short message with any other character holds half as much."""
    return text if not text or (text.isascii() and not is_persian()) else f"\u2068{text}\u2069"


def format_list(names: Iterable[str]) -> str:
    """Names one after the other, with the comma of the reader's language."""
    return ("، " if is_persian() else ", ").join(names)


def format_number(value: int) -> str:
    """Grouped by threes: 700,000 or ۷۰۰٬۰۰۰; a negative one with U+2212, and marks that keep it before the digits."""
    grouped = f"{abs(value):,}"
    if is_persian():
        grouped = grouped.replace(",", "٬").translate(_PERSIAN)
    # LRM: between right-to-left words a bare sign would wander behind the number.
    return f"\u200e−{grouped}" if value < 0 else grouped


def format_day(day: date) -> str:
    """2026-11-25, or in Persian ۱۴۰۵/۰۹/۰۴."""
    return _jalali_day(day) if is_persian() else day.isoformat()


@lru_cache(maxsize=1000)
def _jalali_day(day: date) -> str:
    jalali = jdatetime.date.fromgregorian(date=day)
    return f"{jalali.year:04}/{jalali.month:02}/{jalali.day:02}".translate(_PERSIAN)


def first_day_of_month(day: date) -> date:
    """The first day of the month that a day is in: of the Jalali calendar in Persian, else of the Gregorian one."""
    if not is_persian():
        return day.replace(day=1)
    first: date = jdatetime.date.fromgregorian(date=day).replace(day=1).togregorian()
    return first


def format_moment(moment: datetime) -> tuple[str, str]:
    """Day and time in the reader's time zone: to the second, and to the minute."""
    return _moment_in(moment.astimezone(UTC), timezone.get_current_timezone(), is_persian())


# A list has each of its moments twice, for desks and for phones. Moments are kept by their UTC: the two of an hour
# that comes twice in another zone are equal to Python.
@lru_cache(maxsize=1000)
def _moment_in(moment: datetime, zone: tzinfo, persian: bool) -> tuple[str, str]:
    local = moment.astimezone(zone)
    clock = f"{local.hour:02}:{local.minute:02}:{local.second:02}"
    exact = f"{_jalali_day(local.date())} {clock.translate(_PERSIAN)}" if persian else f"{local.date()} {clock}"
    return exact, exact[:-3]


def read_day(written: str) -> date:
    """A day as people write it: 2026-11-25, 2026/11/25 or, Jalali, ۱۴۰۵/۹/۴.

    Raises:
        ValueError: it is no day.
    """
    found = _DAY.fullmatch(latin_digits(without_invisible(written)).strip())
    if found is None:
        raise ValueError(written)
    year, month, day = (int(part) for part in found.groups())
    if year >= _FIRST_GREGORIAN_YEAR:
        return date(year, month, day)
    gregorian: date = jdatetime.date(year, month, day).togregorian()
    return gregorian
