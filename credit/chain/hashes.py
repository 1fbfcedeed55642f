"""The hashes of entries and of roots, as credit/sql/ledger.sql and credit/sql/chain.sql make them. Nothing here needs a
database, nor Django."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ChainedEntry:
    """What an entry's hash is made of. Amounts are Tomans."""

    seller_id: int
    number: int
    kind: str
    amount: int
    commission: int
    balance_after: int
    reference: UUID
    created_at: datetime


def entry_hash(entry: ChainedEntry, hash_before: bytes | None) -> bytes:
    """SHA-256 over an entry and the hash of the seller's entry before it; None: that has none, or there is none."""
    microseconds = (entry.created_at - _EPOCH) // timedelta(microseconds=1)
    version, amount = (
        ("v1", f"{entry.amount}") if not entry.commission else ("v2", f"{entry.amount}|{entry.commission}")
    )
    text = (
        f"{version}|{entry.seller_id}|{entry.number}|{entry.kind}|{amount}|{entry.balance_after}|{entry.reference}"
        f"|{microseconds}|{(hash_before or b'').hex()}"
    )
    return hashlib.sha256(text.encode()).digest()


def root_hash(day: date, root_before: bytes | None, covered: Iterable[tuple[int, int, bytes | None]]) -> bytes:
    """SHA-256 over a day, the root before it (None: this is the first), and of each seller the id, and the number and
    the hash of the last entry that the root covers."""
    ordered = sorted(covered)
    entries = sum(number for _, number, _ in ordered)
    lines = [f"root v1|{day:%Y-%m-%d}|{len(ordered)}|{entries}|{(root_before or b'').hex()}"]
    lines += [f"{seller_id}|{number}|{(hash or b'').hex()}" for seller_id, number, hash in ordered]
    return hashlib.sha256("\n".join(lines).encode()).digest()
