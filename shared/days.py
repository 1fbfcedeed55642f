"""Tells where a day begins and ends in the reader's time zone."""

from datetime import UTC, date, datetime, time, timedelta

from django.utils import timezone


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
