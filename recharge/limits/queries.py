"""Reads of limits, and of what they leave. They run on the organization's schema."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.db import connection as django_connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from recharge.models import Limit
from shared.database import call_function

connection: Any = django_connection  # django-tenants' own, with schema_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The limits that there are; None: no such limit. Days and hours are the organization's."""

    per_sale: int | None = None
    """Tomans."""
    per_day: int | None = None
    """Tomans."""
    sales_per_day: int | None = None
    per_number_per_day: int | None = None
    """Tomans."""
    from_hour: int | None = None
    """The hour in which selling begins."""
    to_hour: int | None = None
    """The hour in which nothing is sold any more."""


LIMITS = tuple(field.name for field in fields(Bounds))
"""Their names: of the columns, in the API, and to whoever is refused."""

_ROOM = {
    **{name: f"(limits).{name}" for name in LIMITS},
    "time_zone": "(limits).time_zone",
    "hour": "(limits).hour",
    "resets_at": "(limits).day_ends",
    "sales_today": "sales",
    "sold_today": "amount",
}
"""What recharge_room tells, by the fields of a Room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room(Bounds):
    """What limits leave a seller now: his own, or where he has none those of all."""

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
    told = call_function(connection.schema_name, "recharge_room", ", ".join(_ROOM.values()), [seller_id])
    return Room(**dict(zip(_ROOM, told, strict=True)))


_SOME = Q(pk__in=Limit.objects.annotate(some=Coalesce(*LIMITS)).filter(some__isnull=False).values("pk"))
