"""Reads of closed periods. They run on the organization's schema."""

from datetime import date

from django.db.models import QuerySet

from recharge.models import ClosedPeriod


def closed_periods() -> QuerySet[ClosedPeriod]:
    """All of them, the last first."""
    return ClosedPeriod.objects.order_by("-last_day")


def closed_until() -> date | None:
    """The last day that is closed; None: none is."""
    return closed_periods().values_list("last_day", flat=True).first()
