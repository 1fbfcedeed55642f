"""What organizations sold, summed up: by day for the reports, today, and of many organizations for the platform.

"Sold" has three names, and each figure says which it is:

- ``accepted``: every recharge that was sold, whatever became of it.
- ``delivered``: those of them that have succeeded.
- ``net``: those of them that have not failed, and so were not refunded: the delivered ones and those still open
  (pending or unknown). ``accepted = net + failed`` and ``net = delivered + open``.

A bare name counts recharges; the same name with ``_amount`` adds up their Tomans, and with ``_commission`` what their
sellers earned by them. ``margins`` are what dealers earned by the sales of those below them, less what was taken back,
by the day on which it was posted: workers post them in batches. Both together are the organization's cost.

A day's sums in a report are those of its end: no later reversal, refund or late charge changes them. What changed since
is beside them: both together are how it is now. The sums of a day that is not over are how it is now, which is what
:func:`totals` and :func:`figures_of` say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Count, Q, Sum
from psycopg2 import sql

from credit.models import Entry, kinds_of_document
from credit.queries import entries
from recharge.models import Recharge
from recharge.selling.queries import recharges
from shared.days import start_of_day
from shared.uuid7 import from_moment
from tenants.functions import BATCH
from tenants.models import Organization
from tenants.together import read_together

MOST_DAYS = 92

_MARGINS = kinds_of_document("margin_batch")

_REPORT = (Path(__file__).parents[1] / "sql" / "report.sql").read_text()

# A recharge's id begins with its time (credit/sql/uuid7.sql): what was sold before is not looked at.
_FIGURES = """
    SELECT
        {organization_id},
        (SELECT count(*) FROM {schema}.credit_seller WHERE is_active),
        count(*) AS accepted,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status = 'unknown') AS unknown,
        coalesce(sum(amount) FILTER (WHERE status <> 'failed'), 0)::bigint AS net_amount
    FROM {schema}.recharge_recharge
    WHERE id >= {first_id} AND created_at >= {since}
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of recharges after the day on which they were sold: how many, and their Tomans."""

    taken_back: int = 0
    """They had been delivered; the operator took them back, and their sellers have the amount again."""
    taken_back_amount: int = 0
    delivered_after_all: int = 0
    """They had failed; they were delivered after all, and are charged again, or owed."""
    delivered_after_all_amount: int = 0
    delivered_later: int = 0
    """They were open."""
    delivered_later_amount: int = 0
    refunded_later: int = 0
    """They were open, and failed."""
    refunded_later_amount: int = 0
    taken_back_commission: int = 0
    delivered_after_all_commission: int = 0
    delivered_later_commission: int = 0

    def __bool__(self) -> bool:
        return bool(self.taken_back or self.delivered_after_all or self.delivered_later or self.refunded_later)

    # What this adds to each of the sums of the day.

    @property
    def delivered(self) -> int:
        return self.delivered_later + self.delivered_after_all - self.taken_back

    @property
    def delivered_amount(self) -> int:
        return self.delivered_later_amount + self.delivered_after_all_amount - self.taken_back_amount

    @property
    def delivered_commission(self) -> int:
        return self.delivered_later_commission + self.delivered_after_all_commission - self.taken_back_commission

    @property
    def failed(self) -> int:
        return self.refunded_later + self.taken_back - self.delivered_after_all

    @property
    def failed_amount(self) -> int:
        return self.refunded_later_amount + self.taken_back_amount - self.delivered_after_all_amount

    @property
    def open(self) -> int:
        return -self.delivered_later - self.refunded_later


@dataclass(frozen=True, slots=True)
class Sums:
    """Recharges that were accepted on some days, as each was when its day ended. ``changed`` is what became of them
    after their day."""

    delivered: int = 0
    delivered_amount: int = 0
    failed: int = 0
    open: int = 0
    net_amount: int = 0
    changed: Changes = Changes()
    delivered_commission: int = 0
    margins: int = 0
    """What was posted on these days; not of an operator."""
    failed_amount: int = 0

    @property
    def net(self) -> int:
        return self.delivered + self.open

    @property
    def accepted(self) -> int:
        return self.net + self.failed

    @property
    def ended(self) -> int:
        """Of these, the failed ones are the failure rate."""
        return self.delivered + self.failed


@dataclass(frozen=True, slots=True)
class Training:
    """How many of those that are summed up as delivered were sold in training, and so reached nobody; their Tomans."""

    delivered: int = 0
    delivered_amount: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The sums of a range of days: of all, of each day, of each operator and of sellers: those who sold most, and those
    who lost most by failures."""

    total: Sums = field(default_factory=Sums)
    training: Training = Training()
    """Of the total."""
    days: dict[date, Sums] = field(default_factory=dict)
    """In order; a day without sales is there too."""
    operators: dict[str, Sums] = field(default_factory=dict)
    sellers: list[tuple[int, str, Sums]] = field(default_factory=list)
    """Id, name and sums; those with most Tomans delivered first."""
    losses: list[tuple[int, str, Sums]] = field(default_factory=list)
    """The same of those of whose recharges some failed; those with most Tomans of failed ones first."""


def report(*, first: date, last: date, most_sellers: int) -> Report:
    """What was sold from the first to the last day (both included) in the reader's time zone."""
    days = [first + timedelta(days=count) for count in range((last - first).days + 1)]
    bounds = [start_of_day(day) for day in [*days, last + timedelta(days=1)]]
    with connection.cursor() as cursor:
        cursor.execute(_REPORT, {"bounds": bounds, "most_sellers": most_sellers})
        rows = cursor.fetchall()
    found = Report(days=dict.fromkeys(days, Sums()))
    losses: dict[int, tuple[int, str, Sums]] = {}
    total, training = Sums(), Training()
    for by_day, by_operator, by_seller, day, operator, seller_id, name, place, place_of_losses, *figures in rows:
        *of_day, commission, trained, trained_amount, margins = figures
        delivered, delivered_amount, failed, failed_amount, still_open, net_amount, *changed = of_day
        sums = Sums(
            delivered,
            delivered_amount,
            failed,
            still_open,
            net_amount,
            Changes(*changed),
            commission,
            margins,
            failed_amount,
        )
        if by_day:
            found.days[days[day - 1]] = sums
        elif by_operator:
            found.operators[operator] = sums
        elif by_seller:
            if place <= most_sellers:
                found.sellers.append((seller_id, name, sums))
            if place_of_losses is not None and place_of_losses <= most_sellers:
                losses[place_of_losses] = (seller_id, name, sums)
        else:
            total, training = sums, Training(trained, trained_amount)
    return replace(found, total=total, training=training, losses=[losses[place] for place in sorted(losses)])


@dataclass(frozen=True, slots=True)
class Totals:
    """What is so now of the recharges that were accepted in some time, and what was credited in it."""

    net: int
    net_amount: int
    delivered: int
    delivered_amount: int
    failed: int
    unknown: int
    pending: int
    credited_amount: int
    """What sellers were given, in Tomans."""
    training_net: int = 0
    """Of the net ones, how many were sold in training, and so reached nobody."""
    training_net_amount: int = 0
    net_commission: int = 0
    """What sellers earned by the net ones."""
    margins: int = 0
    """What was posted for dealers in that time, less what was taken back."""

    @property
    def open(self) -> int:
        return self.unknown + self.pending

    @property
    def accepted(self) -> int:
        return self.net + self.failed


@dataclass(frozen=True, slots=True)
class Figures:
    """An organization's sellers who are switched on, and what is so now of the recharges that were accepted since some
    moment."""

    sellers: int
    accepted: int
    failed: int
    unknown: int
    net_amount: int

    @property
    def net(self) -> int:
        return self.accepted - self.failed


def totals(*, created_from: datetime) -> Totals:
    """What was sold and credited from this moment on; two queries, each over the ids of that time alone."""
    delivered = Q(status=Recharge.Status.SUCCEEDED)
    net = ~Q(status=Recharge.Status.FAILED)
    in_training = net & Q(training=True)
    sold = recharges(created_from=created_from).aggregate(
        net=Count("pk", filter=net),
        net_amount=Sum("amount", filter=net, default=0),
        delivered=Count("pk", filter=delivered),
        delivered_amount=Sum("amount", filter=delivered, default=0),
        failed=Count("pk", filter=~net),
        unknown=Count("pk", filter=Q(status=Recharge.Status.UNKNOWN)),
        pending=Count("pk", filter=Q(status=Recharge.Status.PENDING)),
        training_net=Count("pk", filter=in_training),
        training_net_amount=Sum("amount", filter=in_training, default=0),
        net_commission=Sum("commission", filter=net, default=0),
    )
    posted = entries(created_from=created_from).filter(kind__in=[Entry.Kind.CREDIT, *_MARGINS])
    credited = posted.aggregate(
        credited_amount=Sum("amount", filter=Q(kind=Entry.Kind.CREDIT), default=0),
        margins=Sum("amount", filter=Q(kind__in=_MARGINS), default=0),
    )
    return Totals(**{name: int(value) for name, value in (sold | credited).items()})


@dataclass(frozen=True, slots=True)
class Earned:
    """What a seller has earned in some time, in Tomans: commissions of net recharges that were sold in it (not of
    those that are owed), and margins that were posted in it, less what was taken back."""

    today: int
    this_month: int
    margins_today: int = 0
    margins_this_month: int = 0

    def __bool__(self) -> bool:
        return bool(self.this_month or self.margins_today or self.margins_this_month)


def earned_by(seller_id: int, *, today: date, month: date) -> Earned:
    """What a seller has earned since the beginning of a day, and since that of the first day of a month before it, both
    in the reader's time zone; two queries, over the recharges and the margins of that time.

    What is owed has not earned its commission yet: it was taken back with the amount, and comes with the charge."""
    since, is_today = start_of_day(month), Q(created_at__gte=start_of_day(today))
    net = recharges(seller_id=seller_id, created_from=since).exclude(status=Recharge.Status.FAILED)
    found = net.exclude(late=Recharge.Late.OWED).aggregate(
        today=Sum("commission", filter=is_today, default=0),
        this_month=Sum("commission", default=0),
    )
    margins = entries(seller_id=seller_id, created_from=since).filter(kind__in=_MARGINS)
    found |= margins.aggregate(
        margins_today=Sum("amount", filter=is_today, default=0), margins_this_month=Sum("amount", default=0)
    )
    return Earned(**{name: int(value) for name, value in found.items()})


@dataclass(frozen=True, slots=True)
class SoldBy:
    """What a seller has sold in some time and has not failed (``net``)."""

    sales: int
    amount: int
    """Tomans."""
    commission: int
    """Tomans; what is owed has not earned it yet."""


def sold_by(seller_id: int, *, since: datetime) -> SoldBy:
    """What a seller has sold since a moment, and what it has earned; one query, over the recharges of that time."""
    net = recharges(seller_id=seller_id, created_from=since).exclude(status=Recharge.Status.FAILED)
    found = net.aggregate(
        sales=Count("pk"),
        amount=Sum("amount", default=0),
        commission=Sum("commission", filter=~Q(late=Recharge.Late.OWED), default=0),
    )
    return SoldBy(**{name: int(value) for name, value in found.items()})


def figures_of(organizations: Iterable[Organization], *, since: datetime) -> dict[int, Figures]:
    """What each of these organizations sold since a moment, by organization's id: one query for all of them, or for
    those of each node of a cluster. It does not matter which schema is the current one. One whose schema is broken, or
    whose node is away, is left out."""
    ids = {organization.schema_name: organization.pk for organization in organizations}
    first = from_moment(since)

    def read(schemas: Sequence[str]) -> list[tuple[Any, ...]]:
        parts = [
            sql.SQL(_FIGURES).format(
                organization_id=sql.Literal(ids[schema]),
                schema=sql.Identifier(schema),
                first_id=sql.Literal(str(first["id__gte"])),
                since=sql.Literal(since),
            )
            for schema in schemas
        ]
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("UNION ALL").join(parts))
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    return {row[0]: Figures(*row[1:]) for row in read_together(list(ids), read, batch=BATCH)}
