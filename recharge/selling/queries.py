"""Reads of recharges and of what they leave of a seller's credit. They run on the organization's schema."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.core.cache import cache
from django.db import ProgrammingError, connection
from django.db.models import Count, Q, QuerySet, Sum
from django_tenants.cache import make_key
from psycopg2 import sql

from credit.models import Entry, Seller
from credit.queries import entries, filtered, seller_by_id
from recharge.models import BUILT_IN_GATEWAY, Attempt, GatewaySettings, OperatorSettings, Recharge, Settings
from recharge.operators import Operator
from recharge.selling.sale import Item
from shared.database import array_literal
from shared.errors import NotFound
from shared.uuid7 import from_moment
from tenants.models import Organization

ANY_LATE = "any"

MOST_ATTEMPTS = 100
"""Attempts of one recharge that are shown; what nobody can say the end of is inquired about day after day."""

_ENTRY_KINDS = (Entry.Kind.RECHARGE, Entry.Kind.REFUND, Entry.Kind.LATE_CHARGE, Entry.Kind.REVERSAL)

_RECONCILE = (Path(__file__).parents[1] / "sql" / "reconcile.sql").read_text()

_PROSPECTS = """
    SELECT item.outcome, seen.balance, item.amount_is_sold, item.suffices, item.is_repeated
    FROM recharge_prospects(
        %(seller_id)s, %(keys)s, %(phone_numbers)s, %(operators)s, %(amounts)s, %(allow_duplicates)s, %(guard)s,
        %(own_keys)s, false, true
    ) AS seen
    CROSS JOIN LATERAL unnest(seen.outcomes, seen.amounts_sold, seen.borne, seen.repeated) WITH ORDINALITY
        AS item (outcome, amount_is_sold, suffices, is_repeated, place)
    ORDER BY item.place
"""

# Each operator there is, with its name (of an added one), and why nothing of it is sold.
_OPERATORS_ON_OFFER = """
    SELECT listed.operator, listed.name, (recharge_terms_of(listed.operator)).refusal
    FROM (
        SELECT built_in.operator, '' AS name, built_in.place
        FROM unnest(%(built_in)s) WITH ORDINALITY AS built_in (operator, place)
        UNION ALL
        SELECT added.operator, added.name, NULL
        FROM recharge_operatorsettings AS added
        WHERE added.operator <> ALL (%(built_in)s)
    ) AS listed
    ORDER BY listed.place, listed.name, listed.operator
"""

# One statement, and so one snapshot: the balance and what is in flight belong together.
_BALANCE = """
    SELECT
        account.seller_id,
        account.balance,
        account.last_number,
        (
            SELECT coalesce(sum(recharge.amount), 0)::bigint FROM recharge_recharge AS recharge
            WHERE recharge.seller_id = account.seller_id AND recharge.status IN ('pending', 'unknown')
        ),
        statement_timestamp(),
        coalesce((SELECT settings.training FROM recharge_settings AS settings), true)
    FROM credit_account AS account
    WHERE account.seller_id = %s
"""

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
class Balance:
    """A seller's balance at one moment, in Tomans.

    ``in_flight`` is already debited: the sum of recharges that are pending or unknown, and would come back if they
    failed. ``last_entry`` is the number of the last entry (0: none yet).
    """

    seller_id: int
    balance: int
    last_entry: int
    in_flight: int
    as_of: datetime
    training: bool
    """Whether the organization trains; here since every page of a seller asks for a balance anyway."""


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
class Prospect:
    """What would become of an item if it were sold now, and what is true of it."""

    outcome: str
    """As recharge_decide (sql/recharges.sql) has it."""
    balance: int
    """In Tomans, before this item and those that are sold with it."""
    amount_is_sold: bool
    suffices: bool
    """Whether the balance, after the items before this one, bears it."""
    is_repeated: bool
    """Whether the same was sold a moment ago; also of an item that is meant."""


@dataclass(frozen=True, slots=True)
class OperatorTerms:
    """What an organization has settled for an operator: the name of the gateway that delivers (None: it is not sold),
    and the amounts that are sold, in Tomans: those of a list, or (``amounts`` is None) those from the least to the
    most."""

    operator: str
    name: str
    gateway: str | None
    amounts: list[int] | None
    least_amount: int
    most_amount: int
    refusal: str | None
    """Why nothing of it is sold at all: an outcome of recharge_sell."""

    @property
    def has_gateway(self) -> bool:
        return self.gateway not in (None, BUILT_IN_GATEWAY)

    @property
    def is_sold(self) -> bool:
        return self.refusal is None

    def sells(self, amount: int) -> bool:
        """As recharge_is_amount_sold (sql/recharges.sql) has it, for what is shown before a sale."""
        return amount in self.amounts if self.amounts else self.least_amount <= amount <= self.most_amount


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


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that breaks one of the invariants of the books; or (``invariant`` is None) something else that is wrong."""

    invariant: int | None
    fault: str
    seller_id: int | None
    row: str
    detail: str


def balance_of(seller_id: int) -> Balance:
    """Raises :class:`NotFound` where there is no such seller."""
    with connection.cursor() as cursor:
        cursor.execute(_BALANCE, [seller_id])
        row = cursor.fetchone()
    if row is None:
        raise NotFound("There is no such seller.")
    return Balance(*row)


def recharges(
    *,
    seller_id: int | None = None,
    status: str | None = None,
    operator: str | None = None,
    phone_number: str | None = None,
    idempotency_key: str | None = None,
    late: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> QuerySet[Recharge]:
    """Recharges of one seller or of all; ``created_from`` ≤ time < ``created_to``; ``phone_number`` is E.164.

    ``late`` is one of ``Recharge.Late``, or :data:`ANY_LATE` for all to which something came after their end.
    """
    rows = Recharge.objects.all()
    if late == ANY_LATE:
        rows, late = rows.exclude(late=Recharge.Late.NO), None
    return filtered(
        rows,
        created_from,
        created_to,
        seller_id=seller_id,
        status=status,
        operator=operator,
        phone_number=phone_number,
        idempotency_key=idempotency_key,
        late=late,
    )


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


def unknown_recharges(*, limit: int) -> list[Recharge]:
    """Recharges that no gateway can tell the end of, the oldest first."""
    return list(recharges(status=Recharge.Status.UNKNOWN).order_by("pk")[:limit])


def late_recharges(*, since: datetime, limit: int) -> list[Recharge]:
    """Recharges to which something came after their end, the newest first: those of this time, and whatever is owed."""
    owed = recharges(late=Recharge.Late.OWED).order_by("-pk")[:limit]
    # One index range for each: of both in one condition the planner might make a walk through all recharges.
    others = [
        recharges(late=late, created_from=since).order_by("-pk")[:limit]
        for late in (Recharge.Late.CHARGED, Recharge.Late.REVERSED)
    ]
    return list(owed.union(*others, all=True).order_by("-id")[:limit])


def recharge_by_id(recharge_id: UUID, *, seller_id: int | None) -> Recharge:
    """One recharge; with ``seller_id``, only if it is that seller's.

    Raises:
        NotFound: there is none, or it is another's; which of the two is not told.
    """
    recharge = recharges(seller_id=seller_id).filter(pk=recharge_id).first()
    if recharge is None:
        raise NotFound("There is no such recharge.")
    return recharge


def recharges_by_key(*, seller_id: int, keys: list[str]) -> dict[str, Recharge]:
    """What a seller has sold with any of these idempotency keys, by key."""
    rows = Recharge.objects.filter(idempotency_key__in=keys, seller_id=seller_id)
    return {row.idempotency_key: row for row in rows}


LATELY_SECONDS = 600
"""How long ago the same sale is taken for one that its seller may not know of: after a lost answer, say."""


def attempts_of(recharge_id: UUID) -> list[Attempt]:
    """What was done last to get a recharge delivered, in order."""
    return list(Attempt.objects.filter(recharge_id=recharge_id).order_by("-number")[:MOST_ATTEMPTS])[::-1]


def entries_of_recharge(recharge_id: UUID) -> list[Entry]:
    """What was posted for a recharge, in order: four entries at most."""
    return list(Entry.objects.filter(kind__in=_ENTRY_KINDS, reference=recharge_id).order_by("number"))


def seller_of(recharge: Recharge) -> Seller:
    """The one who sold it."""
    return seller_by_id(recharge.seller_id)


def prospects_of(
    *, seller_id: int, items: Sequence[Item], guard: int = 0, own_keys: str | None = None
) -> list[Prospect]:
    """What would become of each item if they were sold now, in their order, as the sale itself decides it. The next
    moment it may be otherwise. ``guard`` and ``own_keys`` are as for ``sell_recharges``.

    Raises:
        NotFound: there is no such seller.
    """
    given: dict[str, int | str | None] = {
        "seller_id": seller_id,
        "keys": array_literal([item.idempotency_key for item in items]),
        "phone_numbers": array_literal([item.phone_number for item in items]),
        "operators": array_literal([item.operator for item in items]),
        "amounts": array_literal([str(item.amount) for item in items]),
        "allow_duplicates": array_literal(["t" if item.allow_duplicate else "f" for item in items]),
        "guard": guard,
        "own_keys": own_keys,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PROSPECTS, given)
        prospects = [Prospect(*row) for row in cursor.fetchall()]
    if any(prospect.balance is None for prospect in prospects):
        raise NotFound("There is no such seller.")
    return prospects


def settings() -> Settings:
    """What is settled for the whole organization, or the defaults."""
    return Settings.objects.first() or Settings()


def gateways() -> QuerySet[GatewaySettings]:
    """All gateways that were set up; the built-in one is not among them."""
    return GatewaySettings.objects.filter(retired_at__isnull=True)


def gateway_names(*, most: int) -> list[str]:
    """Names of gateways that were set up, the newest ones if there are more than ``most``."""
    return list(gateways().order_by("-pk").values_list("name", flat=True)[:most])


def gateways_that_deliver_nothing() -> list[str]:
    """The names of operators' gateways that call nobody."""
    kinds = [GatewaySettings.Kind.INSTANT, GatewaySettings.Kind.SIMULATOR]
    used = gateways().filter(kind__in=kinds, operatorsettings__isnull=False)
    return list(used.order_by("name").values_list("name", flat=True).distinct())


def gateway_by_name(name: str) -> GatewaySettings:
    """Raises :class:`NotFound` where there is none."""
    gateway = gateways().filter(name=name).first()
    if gateway is None:
        raise NotFound("There is no such gateway.")
    return gateway


def terms_of_operators() -> list[OperatorTerms]:
    """What is settled for each operator there is, or the defaults."""
    rows = {row.operator: row for row in _operators().order_by("name", "operator")}
    added = [row for operator, row in rows.items() if operator not in Operator]
    built_in = [rows.get(operator.value) or OperatorSettings(operator=operator.value) for operator in Operator]
    return _terms([*built_in, *added])


def terms_of_operator(operator: str) -> OperatorTerms:
    """What is settled for one operator, or the defaults.

    Raises:
        NotFound: it is neither a built-in operator nor one that the organization has added.
    """
    row = _operators().filter(operator=operator).first()
    if row is None and operator not in Operator:
        raise NotFound("There is no such operator.")
    (terms,) = _terms([row or OperatorSettings(operator=operator)])
    return terms


def added_operators() -> dict[str, str]:
    """The names of the operators that the organization has added, by their codes."""
    rows = OperatorSettings.objects.exclude(operator__in=Operator.values).order_by("name", "operator")
    return dict(rows.values_list("operator", "name"))


def operators_on_offer() -> list[tuple[str, str, bool]]:
    """Each operator's code, its name (of one that the organization has added; else "") and whether it is sold now: what
    ``terms_of_operators`` takes two queries for, in one."""
    with connection.cursor() as cursor:
        cursor.execute(_OPERATORS_ON_OFFER, {"built_in": Operator.values})
        return [(operator, name, refusal is None) for operator, name, refusal in cursor.fetchall()]


_NAMES_SECONDS = 5


def name_of_added_operator(operator: str) -> str:
    """The name of an operator that the organization has added, of the last seconds (a list shows it in every row); the
    code itself, where there is none."""
    names = cache.get_or_set(_key_of_names(), added_operators, _NAMES_SECONDS) or {}
    return str(names.get(operator, operator))


def forget_operator_names() -> None:
    """So that this process shows a changed name at once."""
    cache.delete(_key_of_names())


def _key_of_names() -> str:
    return str(make_key("operator-names", "", 1))  # with the schema in it


def _operators() -> QuerySet[OperatorSettings]:
    return OperatorSettings.objects.select_related("gateway")


def _terms(rows: list[OperatorSettings]) -> list[OperatorTerms]:
    with connection.cursor() as cursor:
        named = "SELECT operator, (recharge_terms_of(operator)).refusal FROM unnest(%s) AS named (operator)"
        cursor.execute(named, [[row.operator for row in rows]])
        refusals = dict(cursor.fetchall())
    return [
        OperatorTerms(
            operator=row.operator,
            name=str(Operator(row.operator).label) if row.operator in Operator else row.name,
            gateway=row.gateway.name if row.gateway else None if refusals[row.operator] else BUILT_IN_GATEWAY,
            amounts=row.amounts or None,
            least_amount=min(row.amounts, default=row.least_amount),
            most_amount=max(row.amounts, default=row.most_amount),
            refusal=refusals[row.operator],
        )
        for row in rows
    ]


def find_faults() -> list[Fault]:
    """Proves the books of the current organization; what is returned is wrong with them (see sql/reconcile.sql)."""
    with connection.cursor() as cursor:
        cursor.execute(_RECONCILE)
        return [Fault(*row) for row in cursor.fetchall()]


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
