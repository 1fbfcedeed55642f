"""The digest of a statement: made of what the database has now, and compared with the one that was kept.

It is the SHA-256 of a text in UTF-8: lines, with a line feed between two and none at the end. The first is the header,

    statement v1|seller|first day|last day|starts|ends|first|last|opening|closing|totals|last hash|seller's name

with days as 2026-11-25, moments in microseconds since 1970, the numbers of the first and the last entry, and balances
in Tomans. Totals are, for each kind of entries that there is, in the order of their names and with a comma between two,

    kind:number of entries:sum of amounts:sum of commissions

The last hash is that of the last entry in the chain (credit/sql/ledger.sql), in hexadecimal digits: of the entry before
the period where it has none, and empty where there is no hash.

Each further line is the SHA-256, in hexadecimal digits, of a block of 1,000 rows (the last block: of what is left). A
block is a text of lines, too, one for each entry, in the order of their numbers:

    number|kind|amount|commission|balance after|reference|moment|number sold to|hash

statement_make (recharge/sql/statements.sql) makes the same, by other code.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django_tenants.utils import tenant_context

from recharge.models import Statement
from recharge.statements.queries import Row, row_pages, rows_between
from shared.phones import is_masked
from tenants.models import Organization

BLOCK = 1000
"""Rows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of making a statement's digest again."""

    holds: bool
    numbers_masked: bool
    """Whether numbers that were sold to are masked by now (recharge/retention), so that the digest of their text can't
    be made again. Balances and totals are compared all the same."""
    digest: str
    """As it was kept, in hexadecimal digits."""
    computed: str
    """As the entries of now have it."""


def prove(organization: Organization, statement: Statement) -> Proof:
    """Makes the digest again, of the entries alone: balances, totals and hashes are theirs. What the statement says of
    them must be the same, too."""
    with tenant_context(organization):
        before = rows_between(statement.seller_id, statement.first_number - 1, statement.first_number - 1)
    made = _made(statement, before[0] if before else None, row_pages(organization, statement))
    kept = (statement.opening_balance, statement.closing_balance, statement.totals)
    is_same = made.digest == bytes(statement.digest)
    return Proof(
        holds=(is_same or made.numbers_masked) and (made.opening, made.closing, made.totals) == kept,
        numbers_masked=made.numbers_masked and not is_same,  # it may have been made after they were
        digest=bytes(statement.digest).hex(),
        computed=made.digest.hex(),
    )


@dataclass(frozen=True, slots=True)
class _Made:
    digest: bytes
    opening: int
    closing: int
    totals: dict[str, dict[str, int]]
    numbers_masked: bool


def _made(statement: Statement, before: Row | None, pages: Iterable[list[Row]]) -> _Made:
    opening = before.balance_after if before else 0
    closing, last_hash = opening, (before and before.hash) or b""
    totals: dict[str, dict[str, int]] = {}
    numbers_masked = False
    blocks: list[bytes] = []
    lines: list[str] = []
    for page in pages:
        for row in page:
            closing, last_hash = row.balance_after, row.hash or b""
            of_kind = totals.setdefault(row.kind, {"entries": 0, "amount": 0, "commission": 0})
            of_kind["entries"] += 1
            of_kind["amount"] += row.amount
            of_kind["commission"] += row.commission
            numbers_masked = numbers_masked or is_masked(row.phone_number)
            lines.append(_line(row))
            if len(lines) == BLOCK:
                blocks.append(_block(lines))
                lines = []
    if lines:
        blocks.append(_block(lines))
    header = "|".join(
        str(part)
        for part in (
            "statement v1",
            statement.seller_id,
            statement.first_day,
            statement.last_day,
            _microseconds(statement.starts_at),
            _microseconds(statement.ends_at),
            statement.first_number,
            statement.last_number,
            opening,
            closing,
            ",".join(
                f"{kind}:{sums['entries']}:{sums['amount']}:{sums['commission']}"
                for kind, sums in sorted(totals.items())
            ),
            last_hash.hex(),
            statement.seller_name,
        )
    )
    text = "\n".join([header, *(block.hex() for block in blocks)])
    return _Made(hashlib.sha256(text.encode()).digest(), opening, closing, totals, numbers_masked)


def _block(lines: list[str]) -> bytes:
    return hashlib.sha256("\n".join(lines).encode()).digest()


def _line(row: Row) -> str:
    return (
        f"{row.number}|{row.kind}|{row.amount}|{row.commission}|{row.balance_after}|{row.reference}"
        f"|{_microseconds(row.created_at)}|{row.phone_number}|{(row.hash or b'').hex()}"
    )


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
