"""Proves an exported ledger (credit/chain/export.py) from the file alone: its sums, its chain, its roots, and, where
roots were kept elsewhere, that it is still the ledger that they were made of. No database, no Django."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID

from credit.chain.hashes import ChainedEntry, entry_hash, root_hash

VERSION = 1


class NotALedger(Exception):
    """The file is no export of a ledger, or that of a later release; the message says which line."""


@dataclass(slots=True)
class _Root:
    line: int
    day: date
    root: bytes
    covered: list[tuple[int, int]]
    """Sellers, and the numbers of their last entries."""


@dataclass(slots=True)
class _Account:
    line: int
    seller_id: int
    balance: int
    last_number: int
    last_hash: bytes | None


@dataclass(slots=True)
class Proof:
    """What a ledger was found to be; complete when all of :meth:`faults` has been read."""

    organization: str = ""
    accounts: int = 0
    entries: int = 0
    """All that were read."""
    unhashed: int = 0
    """Of these, those that are older than the chain: proved by their sums alone."""
    roots: int = 0
    sealed: int = 0
    """Entries that the last root covers."""
    known: int = 0
    """Roots kept elsewhere that this ledger has."""
    _roots: list[_Root] = field(default_factory=list)
    _needed: dict[tuple[int, int], bytes | None] = field(default_factory=dict)
    """The hashes of entries that a root covers as a seller's last."""
    _seen: set[int] = field(default_factory=set)
    _transfers: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    """Of transfers whose entries do not add up to zero so far: the sum in Tomans, and the line of the last."""

    def faults(self, lines: Iterable[str], known: Iterable[tuple[date, bytes]] = ()) -> Iterator[str]:
        """Reads a ledger's lines, and says what is wrong with it, a line each. ``known`` are days, and the roots that
        were kept of them elsewhere; they are the file's own organization's.

        Raises:
            NotALedger: the lines are none, or not whole.
        """
        account: _Account | None = None
        running = _Running()
        ended = False
        number = 0
        for number, line in enumerate(lines, start=1):
            found = _read(line, number)
            kind = _take(found, "type", str, number)
            if ended:
                raise NotALedger(f"line {number}: there is something after the end")
            if (kind == "ledger") != (number == 1):
                raise NotALedger(f"line {number}: the first line, and no other, says that this is a ledger")
            if kind == "ledger":
                if _take(found, "version", int, number) != VERSION:
                    raise NotALedger(f"line {number}: this release reads version {VERSION} of the file")
                self.organization = _take(found, "organization", str, number)
            elif kind == "root":
                self._add_root(found, number)
            elif kind == "account":
                if account:
                    yield from _end_of(account, running)
                account = self._account(found, number)
                if account.seller_id in self._seen:
                    yield f"line {number}: seller {account.seller_id} has a second account"
                self._seen.add(account.seller_id)
                self.accounts += 1
                running = _Running()
            elif kind == "entry":
                entry, hash = _entry(found, number)
                if account is None or entry.seller_id != account.seller_id:
                    yield f"line {number}: entry {entry.number} of seller {entry.seller_id} is not with its account"
                    continue
                self.entries += 1
                self.unhashed += hash is None
                yield from running.add(entry, hash, number)
                if entry.kind in ("transfer_out", "transfer_in"):
                    self._add_transfer(entry, number)
                if (entry.seller_id, entry.number) in self._needed:
                    self._needed[entry.seller_id, entry.number] = hash
            elif kind == "end":
                if account:
                    yield from _end_of(account, running)
                ended = True
                for what, there in (("roots", self.roots), ("accounts", self.accounts), ("entries", self.entries)):
                    said = _take(found, what, int, number)
                    if said != there:
                        yield f"line {number}: it says {said} {what}, and there are {there}"
            else:
                raise NotALedger(f"line {number}: nothing known is of type {kind!r}")
        if not ended:
            raise NotALedger(f"line {number + 1}: the file ends before its end; it was cut off")
        for reference, (left, last) in self._transfers.items():
            yield f"line {last}: what the transfer {reference} has moved adds up to {left} Tomans, not to nothing"
        yield from self._prove_roots()
        yield from self._compare(known)

    def _add_transfer(self, entry: ChainedEntry, line: int) -> None:
        left = self._transfers.pop(entry.reference, (0, 0))[0] + entry.amount
        if left:
            self._transfers[entry.reference] = left, line

    def _add_root(self, found: Mapping[str, Any], line: int) -> None:
        if self.accounts:
            raise NotALedger(f"line {line}: roots stand before accounts")
        sellers, numbers = (_integers(found, name, line) for name in ("sellers", "numbers"))
        if len(sellers) != len(numbers):
            raise NotALedger(f"line {line}: a root has a number for each seller")
        covered = list(zip(sellers, numbers, strict=True))
        self._roots.append(_Root(line, _day(found, line), _hash(found, "root", line) or b"", covered))
        self._needed.update(dict.fromkeys(covered))
        self.roots += 1

    def _account(self, found: Mapping[str, Any], line: int) -> _Account:
        return _Account(
            line,
            _take(found, "seller_id", int, line),
            _take(found, "balance", int, line),
            _take(found, "last_number", int, line),
            _hash(found, "last_hash", line),
        )

    def _prove_roots(self) -> Iterator[str]:
        before: _Root | None = None
        for root in self._roots:
            if before and root.day <= before.day:
                yield f"line {root.line}: the root of {root.day} stands behind that of {before.day}"
            covered = [(seller, number, self._needed[seller, number]) for seller, number in root.covered]
            for seller, number, hash in covered:
                if hash is None:
                    yield (
                        f"line {root.line}: the root of {root.day} covers entry {number} of seller {seller}, which "
                        + ("has no hash or is not there")
                    )
            if root_hash(root.day, before.root if before else None, covered) != root.root:
                yield f"line {root.line}: the root of {root.day} is not that of these entries and the root before it"
            before = root
        self.sealed = sum(number for _, number in self._roots[-1].covered) if self._roots else 0

    def _compare(self, known: Iterable[tuple[date, bytes]]) -> Iterator[str]:
        there = {root.day: root.root for root in self._roots}
        for day, root in sorted(set(known)):
            if day not in there:
                yield f"{day}: the root {root.hex()} was kept elsewhere, and this ledger has none of that day"
            elif there[day] != root:
                yield f"{day}: the root {root.hex()} was kept elsewhere, and this ledger has {there[day].hex()}"
            else:
                self.known += 1


@dataclass(slots=True)
class _Running:
    """A seller's entries so far."""

    number: int = 0
    balance: int = 0
    hash: bytes | None = None

    def add(self, entry: ChainedEntry, hash: bytes | None, line: int) -> Iterator[str]:
        where = f"line {line}: entry {entry.number} of seller {entry.seller_id}"
        if entry.number != self.number + 1:
            yield f"{where} should be number {self.number + 1}"
        self.balance += entry.amount + entry.commission
        if entry.balance_after != self.balance:
            yield f"{where} says {entry.balance_after} Tomans, the entries up to it add up to {self.balance}"
        if entry.balance_after < 0:
            yield f"{where} left {entry.balance_after} Tomans"
        if hash is None and self.hash is not None:
            yield f"{where} has no hash, and one before it has"
        if hash is not None and hash != entry_hash(entry, self.hash):
            yield f"{where}: its hash is not that of what it says and of the entry before it"
        self.number = entry.number
        self.hash = hash


def _end_of(account: _Account, running: _Running) -> Iterator[str]:
    where = f"line {account.line}: the account of seller {account.seller_id}"
    if account.balance != running.balance:
        yield f"{where} says {account.balance} Tomans, its entries add up to {running.balance}"
    if account.last_number != running.number:
        yield f"{where} counts {account.last_number} entries, the last one is number {running.number}"
    if account.last_hash != running.hash:
        yield f"{where} has another last hash than its last entry"


def _read(line: str, number: int) -> Mapping[str, Any]:
    try:
        found = json.loads(line, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise NotALedger(f"line {number} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise NotALedger(f"line {number} is no object")
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


Value = TypeVar("Value", int, str)


def _take(found: Mapping[str, Any], name: str, type: type[Value], line: int) -> Value:
    value = found.get(name)
    if value.__class__ is not type:  # not isinstance: true is no number
        raise NotALedger(f"line {line}: {name} is not {'an integer' if type is int else 'a string'}")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise NotALedger(f"line {line}: {name} has half a surrogate pair in it")  # JSON may, UTF-8 and so hashes can't
    return value


def _integers(found: Mapping[str, Any], name: str, line: int) -> list[int]:
    values = found.get(name)
    if not isinstance(values, list) or any(value.__class__ is not int for value in values):
        raise NotALedger(f"line {line}: {name} is not a list of integers")
    return values


def _hash(found: Mapping[str, Any], name: str, line: int) -> bytes | None:
    if name in found and found[name] is None:
        return None
    return hash_of(_take(found, name, str, line), f"line {line}: {name}")


def hash_of(digits: str, where: str) -> bytes:
    """The hash that 64 hexadecimal digits are. Raises :class:`NotALedger`, which says where they stand."""
    try:
        hash = bytes.fromhex(digits)
    except ValueError:
        hash = b""
    if len(hash) != 32:
        raise NotALedger(f"{where} is not 64 hexadecimal digits")
    return hash


def _day(found: Mapping[str, Any], line: int) -> date:
    try:
        return date.fromisoformat(_take(found, "day", str, line))
    except ValueError:
        raise NotALedger(f"line {line}: day is no date") from None


def _entry(found: Mapping[str, Any], line: int) -> tuple[ChainedEntry, bytes | None]:
    try:
        reference = UUID(_take(found, "reference", str, line))
        created_at = datetime.fromisoformat(_take(found, "created_at", str, line))
    except ValueError:
        raise NotALedger(f"line {line}: reference is no UUID, or created_at no moment") from None
    if created_at.tzinfo is None:
        raise NotALedger(f"line {line}: created_at names no time zone")
    return ChainedEntry(
        _take(found, "seller_id", int, line),
        _take(found, "number", int, line),
        _take(found, "kind", str, line),
        _take(found, "amount", int, line),
        _take(found, "commission", int, line) if "commission" in found else 0,  # a file of the release before has none
        _take(found, "balance_after", int, line),
        reference,
        created_at,
    ), _hash(found, "hash", line)


def known_roots(lines: Iterable[str], organization: str) -> Iterator[tuple[date, bytes]]:
    """The roots of one organization in the file that ``CHAIN_FILE`` names.

    Raises:
        NotALedger: a line is no root.
    """
    for number, line in enumerate(lines, start=1):
        found = _read(line, number)
        if _take(found, "organization", str, number) == organization:
            yield _day(found, number), hash_of(_take(found, "root", str, number), f"line {number}: root")
