"""The rows of a batch, and the idempotency keys under which they are sold."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from recharge.selling.sale import Item


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A row that is to be sold, or was: where it stood (from 1), what is sold, and what the seller calls it."""

    line: int
    item: Item
    reference: str = ""


def keys_of(batch: UUID | str) -> str:
    """What all idempotency keys of a batch begin with, and no others."""
    return f"page-{batch if isinstance(batch, str) else batch.hex}-"


def with_keys(items: Iterable[Item], batch: UUID | str) -> list[Item]:
    """The items with their idempotency keys. A key is made of the batch, of what is sold, and of how many of the same
    came before it. The line is no part of it: rows may be put in before others when the text is corrected, and what was
    sold stays sold."""
    seen: Counter[tuple[str, int, str]] = Counter()
    keyed = []
    for item in items:
        sale = item.phone_number, item.amount, item.operator
        seen[sale] += 1
        key = f"{keys_of(batch)}{item.phone_number}-{item.amount}-{item.operator}-{seen[sale]}"
        keyed.append(replace(item, idempotency_key=key))
    return keyed


def equals_before(items: Iterable[Item]) -> list[int | None]:
    """For each item the place (from 0) of the first one before it with its number and amount; None where there is none.
    The operator may be another, as for the guard against duplicates: a number has one."""
    first: dict[tuple[str, int], int] = {}
    found = [first.setdefault((item.phone_number, item.amount), place) for place, item in enumerate(items)]
    return [None if earlier == place else earlier for place, earlier in enumerate(found)]


def digest_of(items: Iterable[Item]) -> bytes:
    """The same for the same sales in any order, however their numbers and amounts were written: SHA-256."""
    sales = sorted(f"{item.phone_number}-{item.amount}-{item.operator}" for item in items)
    return hashlib.sha256("\n".join(sales).encode()).digest()


def as_stored(rows: Iterable[BatchRow]) -> list[list[Any]]:
    """As a batch keeps them: line, number, amount, operator, whether a repetition is meant, reference."""
    return [
        [row.line, row.item.phone_number, row.item.amount, row.item.operator, row.item.allow_duplicate, row.reference]
        for row in rows
    ]


def from_stored(stored: Sequence[Sequence[Any]], batch: UUID) -> list[BatchRow]:
    """What :func:`as_stored` made, with the rows' keys."""
    items = with_keys(
        (Item(number, operator, amount, allow_duplicate=again) for _, number, amount, operator, again, _ in stored),
        batch,
    )
    return [BatchRow(kept[0], item, kept[5]) for kept, item in zip(stored, items, strict=True)]
