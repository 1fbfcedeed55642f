"""Reads of limits, and of what they leave. They run on the organization's schema."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection as django_connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from recharge.models import Limit
from shared.database import call_function

connection: Any = django_connection  # django-tenants' own, with schema_name

LIMITS = ("per_sale", "per_day", "sales_per_day", "per_number_per_day", "from_hour", "to_hour")
"""The limits that there are."""

_OF_LIMITS = (*LIMITS, "time_zone", "hour", "day_ends")
_ROOM = ", ".join((*(f"(limits).{name}" for name in _OF_LIMITS), "sales", "amount"))


@dataclass(frozen=True, slots=True)
class Room:
    """What limits leave a seller now: his own, or where he has none those of all."""

    per_sale: int | None
    """Tomans."""
    per_day: int | None
    """Tomans."""
    sales_per_day: int | None
    per_number_per_day: int | None
    """Tomans."""
    from_hour: int | None
    to_hour: int | None
    time_zone: str | None
    """Of the organization; None: there are no limits at all."""
    hour: int | None
    """Of the day, in that zone."""
    resets_at: datetime | None
    """When the organization's next day begins."""
    sales_today: int | None
    """How many he has sold and not had refunded; None: nobody asks."""
    sold_today: int | None
    """The Tomans of them."""

    @property
    def left_today(self) -> int | None:
        """Tomans; None: there is no limit."""
        return None if self.per_day is None else max(0, self.per_day - (self.sold_today or 0))

    @property
    def sales_left_today(self) -> int | None:
        """None: there is no limit."""
        return None if self.sales_per_day is None else max(0, self.sales_per_day - (self.sales_today or 0))

    @property
    def is_closed(self) -> bool:
        """Whether it is no hour of sale."""
        if self.hour is None:
            return False
        return self.hour < (self.from_hour or 0) or self.hour >= (24 if self.to_hour is None else self.to_hour)

    @property
    def is_limited(self) -> bool:
        return any(getattr(self, name) is not None for name in LIMITS)


def limits() -> QuerySet[Limit]:
    """What is settled of all sellers (whose ``seller`` is None) and of single ones, newest first."""
    return Limit.objects.all()


def own_limits() -> QuerySet[Limit]:
    """The sellers' that have any of their own."""
    return limits().filter(_SOME, seller__isnull=False).select_related("seller")


def limits_of(seller_id: int | None) -> Limit:
    """What is settled of one seller, or (None) of all; without any limit, where nothing is."""
    whose = Q(seller__isnull=True) if seller_id is None else Q(seller_id=seller_id)
    return limits().filter(whose).first() or Limit(seller_id=seller_id)


def room_of(seller_id: int) -> Room:
    """What his limits leave a seller now."""
    return Room(*call_function(connection.schema_name, "recharge_room", _ROOM, [seller_id]))


_SOME = Q(pk__in=Limit.objects.annotate(some=Coalesce(*LIMITS)).filter(some__isnull=False).values("pk"))
