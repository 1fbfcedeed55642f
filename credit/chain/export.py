"""A ledger as a file that can be proved without its database (credit/chain/verification.py): JSON, an object a line."""

import json
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from credit.models import Account, ChainRoot, Entry
from shared.audit import record
from tenants.models import Organization

VERSION = 1
"""Of the file's form. A later release adds members to its objects, or raises this."""

_PAGE = 5000
"""Entries of a seller that are held in memory."""


def ledger_lines(*, organization: Organization) -> Iterator[str]:
    """The lines of the current organization's ledger, of one moment: what it is, the roots, each account with its
    entries in the order of their numbers, and how many of each there were. Amounts are Tomans, hashes hexadecimal
    digits."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            # One snapshot for all that follows: sales go on meanwhile.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield _line(
            {"type": "ledger", "version": VERSION, "organization": organization.slug, "at": _moment(timezone.now())}
        )
        roots = accounts = entries = 0
        for root in ChainRoot.objects.order_by("day"):
            roots += 1
            yield _line(
                {
                    "type": "root",
                    "day": root.day.isoformat(),
                    "root": bytes(root.root).hex(),
                    "sellers": root.sellers,
                    "numbers": root.numbers,
                }
            )
        for account in Account.objects.order_by("pk").iterator():
            accounts += 1
            yield _line(
                {
                    "type": "account",
                    "seller_id": account.pk,
                    "balance": account.balance,
                    "last_number": account.last_number,
                    "last_hash": _hex(account.last_hash),
                }
            )
            for entry in _entries_of(account.pk):
                entries += 1
                yield _line(
                    {
                        "type": "entry",
                        "seller_id": entry.seller_id,
                        "number": entry.number,
                        "kind": entry.kind,
                        "amount": entry.amount,
                        "commission": entry.commission,
                        "balance_after": entry.balance_after,
                        "reference": str(entry.reference),
                        "created_at": _moment(entry.created_at),
                        "hash": _hex(entry.hash),
                    }
                )
        yield _line({"type": "end", "roots": roots, "accounts": accounts, "entries": entries})
        record("ledger.exported", after={"accounts": accounts, "entries": entries})


def _entries_of(seller_id: int) -> Iterator[Entry]:
    last = 0
    while page := list(Entry.objects.filter(seller_id=seller_id, number__gt=last).order_by("number")[:_PAGE]):
        yield from page
        last = page[-1].number


def _line(members: dict[str, Any]) -> str:
    return f"{json.dumps(members, ensure_ascii=False, separators=(',', ':'))}\n"


def _hex(hash: bytes | memoryview | None) -> str | None:
    return None if hash is None else bytes(hash).hex()


def _moment(moment: Any) -> str:
    return str(moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
