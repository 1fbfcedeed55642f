"""What an organization sold on some days, summed up. Runs on the organization's schema.

A day's sums are those of its end: no later reversal, refund or late charge changes them. What changed since is beside
them, so that both together are what is so now.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from django.db import ProgrammingError, connection
from django.db.models import Count, Q, Sum
from psycopg2 import sql

from credit.models import Entry
from credit.queries import entries
from recharge.models import Recharge
from recharge.selling.queries import recharges
from shared.days import start_of_day
from shared.uuid7 import from_moment, until_moment
from tenants.models import Organization

MOST_DAYS = 92

_REPORT = (Path(__file__).parents[1] / "sql" / "report.sql").read_text()

# A recharge's id begins with its time (credit/sql/uuid7.sql): what was sold before is not looked at.
_FIGURES = """
    SELECT
        {organization_id},
        (SELECT count(*) FROM {schema}.credit_seller WHERE is_active),
        count(*),
        count(*) FILTER (WHERE status = 'failed'),
        count(*) FILTER (WHERE status = 'unknown'),
        coalesce(sum(amount) FILTER (WHERE status <> 'failed'), 0)::bigint
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
    delivered: int = 0
    """They were open."""
    delivered_amount: int = 0
    refunded: int = 0
    """They were open, and failed."""
    refunded_amount: int = 0

    def __bool__(self) -> bool:
        return bool(self.taken_back or self.delivered_after_all or self.delivered or self.refunded)

    # What this adds to each of the sums of the day.

    @property
    def sold(self) -> int:
        return self.delivered + self.delivered_after_all - self.taken_back

    @property
    def amount(self) -> int:
        return self.delivered_amount + self.delivered_after_all_amount - self.taken_back_amount

    @property
    def failed(self) -> int:
        return self.refunded + self.taken_back - self.delivered_after_all

    @property
    def open(self) -> int:
        return -self.delivered - self.refunded


@dataclass(frozen=True, slots=True)
class Sums:
    """Recharges that were sold on some days, as each was when its day ended: how many were delivered (``sold``) and
    their Tomans (``amount``), how many had failed, how many had not ended (pending or unknown); all together are those
    that were accepted. ``changed`` is what became of them after their day."""

    sold: int = 0
    amount: int = 0
    failed: int = 0
    open: int = 0
    changed: Changes = Changes()

    @property
    def ended(self) -> int:
        """Of these, the failed ones are the failure rate."""
        return self.sold + self.failed


@dataclass(frozen=True, slots=True)
class Training:
    """How many of those that are summed up as sold were sold in training, and so delivered to nobody; their Tomans."""

    sold: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The sums of a range of days: of all, of each day, of each operator and of each seller (those that sold most)."""

    total: Sums = field(default_factory=Sums)
    training: Training = Training()
    """Of the total."""
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
    total, training = Sums(), Training()
    for by_day, by_operator, by_seller, day, operator, seller_id, name, *figures in rows:
        sold, amount, failed, still_open, *changed, trained, trained_amount = figures
        sums = Sums(sold, amount, failed, still_open, Changes(*changed))
        if by_day:
            found.days[days[day - 1]] = sums
        elif by_operator:
            found.operators[operator] = sums
        elif by_seller:
            found.sellers.append((seller_id, name, sums))
        else:
            total, training = sums, Training(trained, trained_amount)
    return replace(found, total=total, training=training)


@dataclass(frozen=True, slots=True)
class Totals:
    """What became of the recharges that were sold in some time: how many there are of each, and for how many Tomans.
    ``credited`` is what sellers were given, in Tomans."""

    sold: int
    sold_amount: int
    failed: int
    unknown: int
    pending: int
    credited: int
    trained: int = 0
    """Of those sold, how many were sold in training, and so delivered to nobody."""
    trained_amount: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """An organization's sellers who are switched on, and what was sold since some moment.

    ``recharges`` are all that were accepted; ``amount`` is net: in Tomans, and without those that have failed by now,
    which came back to their sellers, whenever that was.
    """

    sellers: int
    recharges: int
    failed: int
    unknown: int
    amount: int

    @property
    def sales(self) -> int:
        """Recharges that did not fail."""
        return self.recharges - self.failed


def totals(*, created_from: datetime) -> Totals:
    """What was sold and credited from this moment on; two queries, each over the ids of that time alone.

    What failed does not count as sold; what is pending or unknown does until it has failed.
    """
    failed = Q(status=Recharge.Status.FAILED)
    is_trained = ~failed & Q(training=True)
    sold = recharges(created_from=created_from).aggregate(
        sold=Count("pk", filter=~failed),
        sold_amount=Sum("amount", filter=~failed, default=0),
        failed=Count("pk", filter=failed),
        unknown=Count("pk", filter=Q(status=Recharge.Status.UNKNOWN)),
        pending=Count("pk", filter=Q(status=Recharge.Status.PENDING)),
        trained=Count("pk", filter=is_trained),
        trained_amount=Sum("amount", filter=is_trained, default=0),
    )
    credits = entries(kind=Entry.Kind.CREDIT, created_from=created_from)
    credited = credits.aggregate(credited=Sum("amount", default=0))
    return Totals(**{name: int(value) for name, value in (sold | credited).items()})


def figures_of(organizations: Iterable[Organization], *, since: datetime) -> dict[int, Figures]:
    """What each of these organizations sold since a moment, by organization's id: one query for all of them. It does
    not matter which schema is the current one. One whose schema is broken is left out."""
    organizations = list(organizations)
    first = from_moment(since)
    parts = [
        sql.SQL(_FIGURES).format(
            organization_id=sql.Literal(organization.pk),
            schema=sql.Identifier(organization.schema_name),
            first_id=sql.Literal(str(first["id__gte"])),
            since=sql.Literal(since),
        )
        for organization in organizations
    ]
    if not parts:
        return {}
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("UNION ALL").join(parts))
            return {row[0]: Figures(*row[1:]) for row in cursor.fetchall()}
    except ProgrammingError:
        # The statement does not say which of them lacks a table.
        half = len(organizations) // 2
        if connection.in_atomic_block:
            raise
        if not half:
            return {}
        return figures_of(organizations[:half], since=since) | figures_of(organizations[half:], since=since)
