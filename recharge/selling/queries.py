"""Reads of recharges and of what they leave of a seller's credit. They run on the organization's schema."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection as django_connection
from django.db.models import Count, F, QuerySet, Sum
from django.db.models.functions import Right

from credit.models import Entry, Seller, kinds_of_document
from credit.queries import filtered, seller_by_id
from recharge.models import LAST_DIGITS, Attempt, Recharge
from recharge.selling.sale import Item
from shared.database import array_literal, call_function, call_set_function
from shared.errors import NotFound


class Sold(NamedTuple):
    """A recharge as its sale (or the replay of it) answers it: what the API and the consoles show of one, without a
    model's row.

    A tuple, since a bulk call makes a thousand: 0.3 µs each where a :class:`Recharge` takes 7. The id is a text, which
    is what it is wanted as: making a UUID of it and a text again takes 1.7 µs. ``amount``, ``balance_after`` and
    ``commission`` are in Tomans.
    """

    id: str
    seller_id: int
    phone_number: str
    operator: str
    amount: int
    status: str
    failure: str
    balance_after: int
    created_at: datetime
    completed_at: datetime | None
    late: str
    commission: int
    training: bool


RECHARGE_COLUMNS = Sold._fields[:-1]
"""What everybody is shown of a recharge: by the API, in CSV files and workbooks, in webhooks (recharge_data in
sql/recharges.sql). Who writes them out once more is checked against these (tests/recharge/test_columns.py)."""

_SOLD = ", ".join(("id::text", *Sold._fields[1:]))

ANY_LATE = "any"

MOST_ATTEMPTS = 100
"""Attempts of one recharge that are shown; what nobody can say the end of is inquired about day after day."""

_PROSPECTS = """
    SELECT
        item.outcome, seen.balance, item.amount_is_sold, item.suffices, item.is_repeated, item.commission, item.passed
    FROM recharge_prospects(
        %(seller_id)s, %(keys)s, %(phone_numbers)s, %(operators)s, %(amounts)s, %(allow_duplicates)s, %(guard)s,
        %(own_keys)s, false, true
    ) AS seen
    CROSS JOIN LATERAL unnest(
        seen.outcomes, seen.amounts_sold, seen.borne, seen.repeated, seen.commissions, seen.passed
    ) WITH ORDINALITY AS item (outcome, amount_is_sold, suffices, is_repeated, commission, passed, place)
    ORDER BY item.place
"""

connection: Any = django_connection  # django-tenants' own, with schema_name

_BALANCE = "balance, last_entry, in_flight, as_of, training, owed, owed_since, has_parent, has_children, is_active"


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
    owed: int = 0
    """Late charges that the balance did not bear; they are charged first when credit comes."""
    owed_since: datetime | None = None
    """Of the oldest of them; None: nothing is owed."""
    has_parent: bool = False
    """Whether the seller sells for another; as ``training``, for the pages."""
    has_children: bool = False
    """Whether others sell for him."""


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
    commission: int
    """What the seller would earn by it, in Tomans."""
    passed: str | None
    """The limit that it would pass, as JSON (recharge_limit_passed in sql/limits.sql); None: none."""


def balance_of(seller_id: int) -> Balance:
    """Raises :class:`NotFound` where there is no such seller."""
    row = _balance(connection.schema_name, seller_id)
    if row is None:
        raise NotFound("There is no such seller.")
    return row[0]


def own_balance(schema: str, seller_id: int) -> Balance | None:
    """The same in an organization's schema, for the seller himself; None where he is not there or switched off."""
    row = _balance(schema, seller_id)
    return row[0] if row and row[1] else None


def _balance(schema: str, seller_id: int) -> tuple[Balance, bool] | None:
    *row, is_active = call_function(schema, "recharge_balance", _BALANCE, [seller_id])
    return None if is_active is None else (Balance(seller_id, *row), is_active)


def own_recharge(schema: str, recharge_id: str, *, seller_id: int) -> Sold | None:
    """One of a seller's recharges in an organization's schema; None where it is not there or another's, or he is
    switched off. ``recharge_id`` is a UUID as a text."""
    rows = call_set_function(schema, "recharge_of_seller", _SOLD, [recharge_id, seller_id])
    return Sold(*rows[0]) if rows else None


def recharges(
    *,
    seller_id: int | None = None,
    status: str | None = None,
    operator: str | None = None,
    phone_number: str | None = None,
    ending: str | None = None,
    idempotency_key: str | None = None,
    late: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> QuerySet[Recharge]:
    """Recharges of one seller or of all; ``created_from`` ≤ time < ``created_to``; ``phone_number`` is E.164, and
    ``ending`` are the last digits of one, four at least.

    ``late`` is one of ``Recharge.Late``, or :data:`ANY_LATE` for all to which something came after their end.
    """
    rows = Recharge.objects.all()
    if ending is not None:
        rows = that_end(rows, ending)
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


def that_end(rows: QuerySet[Recharge], digits: str) -> QuerySet[Recharge]:
    """Those to numbers with these last digits, four at least: by the index of four."""
    rows = rows.alias(last_digits=Right("phone_number", LAST_DIGITS)).filter(last_digits=digits[-LAST_DIGITS:])
    return rows if len(digits) == LAST_DIGITS else rows.filter(phone_number__endswith=digits)


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


def owed_in_all() -> tuple[int, int]:
    """What all sellers owe (Tomans), and how many of them owe something."""
    owed = recharges(late=Recharge.Late.OWED).aggregate(
        amount=Sum(F("amount") - F("commission")), sellers=Count("seller_id", distinct=True)
    )
    return owed["amount"] or 0, owed["sellers"]


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
    return list(Entry.objects.filter(kind__in=kinds_of_document("recharge"), reference=recharge_id).order_by("number"))


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
