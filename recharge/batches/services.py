"""Keeps batches. It runs on the organization's schema."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from django.db import transaction

from recharge.batches.errors import BatchSoldBefore, EqualRows
from recharge.batches.queries import keys_sold, sold_before
from recharge.batches.rows import BatchRow, as_stored, digest_of, equals_before, from_stored
from recharge.models import BulkBatch

LONGEST_LEFT_OUT = 256 * 1024
"""Characters of the rows with mistakes that are kept."""
LONGEST_FILE_NAME = 200


def begin_batch(
    *,
    seller_id: int,
    key: UUID,
    rows: Sequence[BatchRow],
    made_by: str,
    user_id: int | None,
    digest: bytes | None = None,
    file_name: str = "",
    left_out: str = "",
    mistakes: int = 0,
    again: bool = False,
    each_of_equals: bool = False,
) -> BulkBatch:
    """The batch of these rows, before the first of them is sold. The same key again is the same batch: it gets the rows
    of now, and keeps those that it has sold.

    ``digest`` is of all rows of the file, where not all of them are sold now; ``left_out`` are the lines with mistakes
    (``mistakes``: how many), as they were written. ``again`` says that the same rows are meant to be sold once more,
    and ``each_of_equals`` that rows with the same number and amount are each meant: the later ones are no duplicates.

    Raises:
        EqualRows: rows have the same number and amount, and ``each_of_equals`` is not said; nothing was written.
        BatchSoldBefore: another batch has sold the same rows lately, and ``again`` is not said; nothing was written.
    """
    is_equal = [earlier is not None for earlier in equals_before(row.item for row in rows)]
    if any(is_equal) and not each_of_equals:
        raise EqualRows
    rows = [
        replace(row, item=replace(row.item, allow_duplicate=True)) if equal else row
        for row, equal in zip(rows, is_equal, strict=True)
    ]
    digest = digest or digest_of(row.item for row in rows)
    with transaction.atomic():
        found = BulkBatch.objects.select_for_update().filter(seller_id=seller_id, key=key).first()
        if found is None:
            if not again and sold_before(seller_id=seller_id, digest=digest, but=key):
                raise BatchSoldBefore
            written = {
                "digest": digest,
                "file_name": file_name[:LONGEST_FILE_NAME],
                "left_out": left_out if len(left_out) <= LONGEST_LEFT_OUT else "",
                "mistakes": mistakes if len(left_out) <= LONGEST_LEFT_OUT else 0,
                "made_by": made_by,
                "user_id": user_id,
                **_of_rows(rows),
            }
            # A double click: the second of two at once gets what the first has made.
            return BulkBatch.objects.get_or_create(seller_id=seller_id, key=key, defaults=written)[0]
        merged = _merged(found, rows)
        if as_stored(merged) != found.rows:
            kept = {"left_out": left_out, "mistakes": mistakes} if len(left_out) <= LONGEST_LEFT_OUT else {}
            for name, value in {**_of_rows(merged), **kept, "digest": digest}.items():
                setattr(found, name, value)
            found.save()
        return found


def _of_rows(rows: Sequence[BatchRow]) -> dict[str, object]:
    return {"rows": as_stored(rows), "count": len(rows), "amount": sum(row.item.amount for row in rows)}


def _merged(batch: BulkBatch, rows: Sequence[BatchRow]) -> list[BatchRow]:
    """The rows of now, and those that were sold and are not among them any more."""
    now = {row.item.idempotency_key for row in rows}
    gone = [row for row in from_stored(batch.rows, batch.key) if row.item.idempotency_key not in now]
    sold = keys_sold(batch, [row.item.idempotency_key for row in gone]) if gone else set()
    return [*rows, *(row for row in gone if row.item.idempotency_key in sold)]


def note_refusals(*, batch: BulkBatch, refused: Mapping[str, str], sold: Collection[str]) -> None:
    """Keeps why rows were not sold (codes by idempotency key), and forgets it of those that are by now."""
    if not refused and not batch.refusals:
        return
    with transaction.atomic():
        row = BulkBatch.objects.select_for_update().get(pk=batch.pk)
        row.refusals = {key: code for key, code in row.refusals.items() if key not in sold} | dict(refused)
        row.save(update_fields=["refusals"])
        batch.refusals = row.refusals
