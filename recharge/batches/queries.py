"""Reads batches, and what became of their rows. It runs on the organization's schema."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from credit.models import kinds_of_document
from recharge.batches.rows import BatchRow, from_stored, keys_of
from recharge.models import BulkBatch, Recharge
from recharge.selling.queries import recharges_by_key
from shared.errors import NotFound

SOLD_LATELY = timedelta(days=30)
"""How long ago the same rows are taken for the same file, sent twice."""

_AFTER_KEYS = "."
"""The character that follows "-" in the collation of keys: what begins with ``page-…-`` is before ``page-….``."""

_COUNTS = """
    SELECT
        batch.key, recharge.status, count(*), sum(recharge.amount)::bigint, sum(recharge.commission)::bigint
    FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS batch (key, from_key, to_key)
    CROSS JOIN LATERAL (
        SELECT status, amount, commission FROM recharge_recharge
        WHERE idempotency_key >= batch.from_key AND idempotency_key < batch.to_key AND seller_id + 0 = %s
    ) AS recharge
    GROUP BY batch.key, recharge.status
"""

# The ledger says it: what the account had before the first of the batch's entries, what they moved, what it has now.
_RECKONING = """
    WITH own AS MATERIALIZED (
        SELECT entry.number, entry.amount, entry.commission, entry.balance_after
        FROM recharge_recharge AS recharge
        INNER JOIN credit_entry AS entry ON entry.reference = recharge.id AND entry.kind = ANY(%s)
        WHERE recharge.idempotency_key >= %s AND recharge.idempotency_key < %s AND recharge.seller_id + 0 = %s
    )

    SELECT
        first.balance_after - first.amount - first.commission,
        (SELECT sum(amount) FROM own WHERE amount < 0)::bigint,
        (SELECT sum(commission) FROM own)::bigint,
        (SELECT coalesce(sum(amount), 0) FROM own WHERE amount > 0)::bigint,
        (SELECT balance FROM credit_account WHERE seller_id = %s)
    FROM own AS first
    ORDER BY first.number
    LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row."""

    row: BatchRow
    recharge: Recharge | None
    """None: it was not sold."""
    refusal: str
    """The code of why not; empty where it was sold, or where nobody has got to it yet."""

    @property
    def is_failed(self) -> bool:
        """Whether it was sold, and its amount is back."""
        return self.recharge is not None and self.recharge.status == Recharge.Status.FAILED

    @property
    def is_waiting(self) -> bool:
        return self.recharge is not None and self.recharge.completed_at is None

    @property
    def is_unreached(self) -> bool:
        return self.recharge is None and not self.refusal


@dataclass(slots=True)
class Sums:
    """Rows of a batch, counted, and their amounts in Tomans."""

    count: int = 0
    amount: int = 0
    commission: int = 0

    def add(self, count: int, amount: int, commission: int) -> None:
        self.count, self.amount, self.commission = (
            self.count + count,
            self.amount + amount,
            self.commission + commission,
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """A batch's rows by what became of them."""

    delivered: Sums
    failed: Sums
    waiting: Sums
    not_sold: Sums


@dataclass(frozen=True, slots=True)
class Reckoning:
    """How a batch and the seller's balance agree; in Tomans, with their signs.

    ``before + sold + earned + refunded + others = now``: what the balance was before its first entry, and is now.
    """

    before: int
    sold: int
    earned: int
    refunded: int
    now: int

    @property
    def others(self) -> int:
        """What moved the balance since then and is not of this batch."""
        return self.now - self.before - self.sold - self.earned - self.refunded


def batches(*, seller_id: int) -> QuerySet[BulkBatch]:
    """A seller's batches, without their rows."""
    return BulkBatch.objects.filter(seller_id=seller_id).defer("rows", "refusals", "left_out")


def find_batch(key: UUID, *, seller_id: int) -> BulkBatch | None:
    """A seller's batch; None where there is none of this key."""
    return BulkBatch.objects.filter(seller_id=seller_id, key=key).first()


def batch_by_key(key: UUID, *, seller_id: int) -> BulkBatch:
    """A seller's batch.

    Raises:
        NotFound: there is none of this key, or it is another's.
    """
    batch = find_batch(key, seller_id=seller_id)
    if batch is None:
        raise NotFound("There is no such batch.")
    return batch


def sold_before(*, seller_id: int, digest: bytes, but: UUID) -> BulkBatch | None:
    """The last batch of the same rows but this one, of which something was sold during the last days (SOLD_LATELY) and
    not refunded. What failed as a whole is to be sold again without more ado."""
    since = timezone.now() - SOLD_LATELY
    same = batches(seller_id=seller_id).filter(digest=digest, created_at__gt=since).exclude(key=but).order_by("-pk")
    return next((one for one in same[:20] if _of_keys(one).exclude(status=Recharge.Status.FAILED).exists()), None)


def keys_sold(batch: BulkBatch, keys: Collection[str]) -> set[str]:
    """Which of these idempotency keys have sold something."""
    return set(recharges_by_key(seller_id=batch.seller_id, keys=list(keys)))


def _of_keys(batch: BulkBatch) -> QuerySet[Recharge]:
    first, end = _bounds(batch)
    return Recharge.objects.filter(seller_id=batch.seller_id, idempotency_key__gte=first, idempotency_key__lt=end)


def _bounds(batch: BulkBatch) -> tuple[str, str]:
    first = keys_of(batch.key)
    return first, first[:-1] + _AFTER_KEYS


def outcomes_of(batch: BulkBatch) -> list[Outcome]:
    """What became of each row, in their order."""
    rows = from_stored(batch.rows, batch.key)
    sold = recharges_by_key(seller_id=batch.seller_id, keys=[row.item.idempotency_key for row in rows])
    outcomes = []
    for row in rows:
        key = row.item.idempotency_key
        recharge = sold.get(key)
        outcomes.append(Outcome(row, recharge, "" if recharge else batch.refusals.get(key, "")))
    return outcomes


def counts_of(found: Sequence[BulkBatch]) -> dict[UUID, Counts]:
    """How many rows of each of these batches of one seller were delivered, failed, wait, and were not sold; by key."""
    if not found:
        return {}
    bounds = [_bounds(batch) for batch in found]
    given: list[Any] = [
        [str(batch.key) for batch in found],
        [first for first, _end in bounds],
        [end for _first, end in bounds],
        found[0].seller_id,
    ]
    counts = {batch.key: Counts(Sums(), Sums(), Sums(), Sums(batch.count, batch.amount)) for batch in found}
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, given)
        for key, status, *figures in cursor.fetchall():
            one, (count, amount, commission) = counts[key], figures
            match status:
                case Recharge.Status.SUCCEEDED:
                    one.delivered.add(count, amount, commission)
                case Recharge.Status.FAILED:
                    one.failed.add(count, amount, commission)
                case _:
                    one.waiting.add(count, amount, commission)
            one.not_sold.add(-count, -amount, 0)
    return counts


def reckoning_of(batch: BulkBatch) -> Reckoning | None:
    """How the batch and the balance agree, at one moment; None where nothing of it was sold."""
    first, end = _bounds(batch)
    seller = batch.seller_id
    with connection.cursor() as cursor:
        cursor.execute(_RECKONING, [list(kinds_of_document("recharge")), first, end, seller, seller])
        row = cursor.fetchone()
    return Reckoning(*row) if row else None
