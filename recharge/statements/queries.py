"""Reads statements, and the entries that they are of. It runs on the organization's schema (``tenant_context``)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet, Sum
from django_tenants.utils import tenant_context

from credit.models import ENTRY_KINDS, Entry, EntryKind
from credit.queries import filtered
from recharge.models import Statement
from shared.errors import NotFound
from tenants.models import Organization

ROWS_AT_A_TIME = 2000

_ROWS = """
    SELECT
        entry.number, entry.created_at, entry.kind, entry.amount, entry.commission, entry.balance_after,
        entry.reference, entry.hash, coalesce(recharge.phone_number, '')
    FROM credit_entry AS entry
    LEFT JOIN recharge_recharge AS recharge ON recharge.id = entry.reference
    WHERE entry.seller_id = %s AND entry.number BETWEEN %s AND %s
    ORDER BY entry.number
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a statement: an entry, and the number that was sold to. Amounts are Tomans."""

    number: int
    created_at: datetime
    kind: str
    amount: int
    commission: int
    balance_after: int
    reference: UUID
    hash: bytes | None
    phone_number: str
    """E.164; empty: it is not a recharge's."""

    @property
    def debit(self) -> int:
        """What was taken, as a positive number; 0: nothing was."""
        return max(0, -self.amount)

    @property
    def credit(self) -> int:
        """What was given; 0: nothing was."""
        return max(0, self.amount)


def statements(
    *, seller_id: int | None = None, created_from: datetime | None = None, created_to: datetime | None = None
) -> QuerySet[Statement]:
    """Statements of one seller or of all, made at ``created_from`` ≤ time < ``created_to``."""
    return filtered(Statement.objects.all(), created_from, created_to, seller_id=seller_id)


def statement_by_id(statement_id: UUID, *, seller_id: int | None) -> Statement:
    """One statement; with ``seller_id``, only if it is that seller's.

    Raises:
        NotFound: there is none, or it is another's; which of the two is not told.
    """
    statement = statements(seller_id=seller_id).filter(pk=statement_id).first()
    if statement is None:
        raise NotFound("There is no such statement.")
    return statement


def taken_by(statement: Statement) -> dict[str, int]:
    """What a statement's entries of a kind took (Tomans, a positive number), for each kind that may give or take: what
    such entries add up to does not say it."""
    either = [kind for kind in statement.totals if kind in ENTRY_KINDS and not ENTRY_KINDS[EntryKind(kind)].sign]
    if not either:
        return {}
    numbers = (statement.first_number, statement.last_number)
    taking = Entry.objects.filter(seller_id=statement.seller_id, kind__in=either, number__range=numbers, amount__lt=0)
    taken = dict(taking.values_list("kind").annotate(Sum("amount")))
    return {kind: -taken.get(kind, 0) for kind in either}


def row_pages(organization: Organization, statement: Statement) -> Iterator[list[Row]]:
    """All rows of a statement in their order, a page at a time. Each page is a query of its own in the organization's
    schema, as in :func:`tenants.exports.pages_of`. Where there are no rows, there is one empty page."""
    if not statement.entries:
        yield []
    for first in range(statement.first_number, statement.last_number + 1, ROWS_AT_A_TIME):
        last = min(first + ROWS_AT_A_TIME - 1, statement.last_number)
        with tenant_context(organization):
            page = rows_between(statement.seller_id, first, last)
        yield page


def rows_between(seller_id: int, first: int, last: int) -> list[Row]:
    """The rows of a seller's entries with these numbers, the last one included."""
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [seller_id, first, last])
        return [
            Row(
                number=number,
                created_at=created_at,
                kind=kind,
                amount=amount,
                commission=commission,
                balance_after=balance_after,
                reference=reference,
                hash=None if hash is None else bytes(hash),
                phone_number=phone_number,
            )
            for (
                number,
                created_at,
                kind,
                amount,
                commission,
                balance_after,
                reference,
                hash,
                phone_number,
            ) in cursor.fetchall()
        ]
