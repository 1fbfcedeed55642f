"""Reads of recharges and of what they leave of a seller's credit. They run on the organization's schema."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from credit.queries import filtered
from recharge.models import Recharge
from shared.errors import NotFound

_RECONCILE = (Path(__file__).parent / "sql" / "reconcile.sql").read_text()

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
        statement_timestamp()
    FROM credit_account AS account
    WHERE account.seller_id = %s
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


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that breaks one of the invariants of the books."""

    invariant: int
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
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> QuerySet[Recharge]:
    """Recharges of one seller or of all; ``created_from`` ≤ time < ``created_to``; ``phone_number`` is E.164."""
    return filtered(
        Recharge.objects.all(),
        created_from,
        created_to,
        seller_id=seller_id,
        status=status,
        operator=operator,
        phone_number=phone_number,
        idempotency_key=idempotency_key,
    )


def recharge_by_id(recharge_id: UUID, *, seller_id: int | None) -> Recharge:
    """One recharge; with ``seller_id``, only if it is that seller's.

    Raises:
        NotFound: there is none, or it is another's; which of the two is not told.
    """
    recharge = recharges(seller_id=seller_id).filter(pk=recharge_id).first()
    if recharge is None:
        raise NotFound("There is no such recharge.")
    return recharge


def find_faults() -> list[Fault]:
    """Proves the books of the current organization; what is returned is wrong with them (see sql/reconcile.sql)."""
    with connection.cursor() as cursor:
        cursor.execute(_RECONCILE)
        return [Fault(*row) for row in cursor.fetchall()]
