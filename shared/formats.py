"""How numbers and moments are written for people: in Persian with Persian digits and Jalali dates, in English without.

It goes by the language and the time zone that are active (see preferences.py).
"""

import re
from datetime import UTC, date, datetime, time, timedelta

import jdatetime
from django.utils import timezone
from django.utils.translation import get_language

_PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
_LATIN = str.maketrans("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩", "01234567890123456789")
_DAY = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})")
_FIRST_GREGORIAN_YEAR = 1700  # Jalali years are 621 less; nobody asks here for what was in between


def is_persian() -> bool:
    """Whether the reader reads Persian."""
    return (get_language() or "").startswith("fa")


def in_digits(text: str) -> str:
    """The text with the digits of the reader's language."""
    return text.translate(_PERSIAN) if is_persian() else text


def latin_digits(text: str) -> str:
    """The text with Persian and Arabic digits replaced by ASCII ones."""
    return text.translate(_LATIN)


def format_number(value: int) -> str:
    """Grouped by threes: 700,000 or ۷۰۰٬۰۰۰; a negative one with U+2212, and marks that keep it before the digits."""
    grouped = f"{abs(value):,}"
    if is_persian():
        grouped = grouped.replace(",", "٬").translate(_PERSIAN)
    # LRM: between right-to-left words a bare sign would wander behind the number.
    return f"\u200e−{grouped}" if value < 0 else grouped


def format_day(day: date) -> str:
    """2026-11-25, or in Persian ۱۴۰۵/۰۹/۰۴."""
    if is_persian():
        jalali: str = jdatetime.date.fromgregorian(date=day).strftime("%Y/%m/%d")
        return jalali.translate(_PERSIAN)
    return day.isoformat()


def format_moment(moment: datetime, *, seconds: bool = False) -> str:
    """Day and time in the reader's time zone."""
    local = timezone.localtime(moment)
    clock = local.strftime("%H:%M:%S" if seconds else "%H:%M")
    return f"{format_day(local.date())} {in_digits(clock)}"


def read_day(written: str) -> date:
    """A day as people write it: 2026-11-25, 2026/11/25 or, Jalali, ۱۴۰۵/۹/۴.

    Raises:
        ValueError: it is no day.
    """
    found = _DAY.fullmatch(latin_digits(written.strip()))
    if found is None:
        raise ValueError(written)
    year, month, day = (int(part) for part in found.groups())
    if year >= _FIRST_GREGORIAN_YEAR:
        return date(year, month, day)
    gregorian: date = jdatetime.date(year, month, day).togregorian()
    return gregorian


def start_of_day(day: date) -> datetime:
    """The moment at which this day begins in the reader's time zone."""
    return datetime.combine(day, time(), timezone.get_current_timezone()).astimezone(UTC)


def end_of_day(day: date) -> datetime | None:
    """The moment at which the day after this one begins; None where the calendar ends."""
    return None if day == date.max else start_of_day(day + timedelta(days=1))


def today() -> date:
    """The day that it is in the reader's time zone."""
    return timezone.localdate()


def days_before(day: date, count: int) -> date:
    return day - timedelta(days=count)
