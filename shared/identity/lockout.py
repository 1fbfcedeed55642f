"""Locks out guessing, of passwords and of other secrets. It counts in the database, so it holds over all processes and
machines.

A try is counted *before* the secret is looked at, so a hundred guesses sent at once get no further than a hundred sent
one by one. Three limits hold for somebody who is not known: of the address over all names, of the name from this
address, and of the name over all addresses. A try that one of them refuses counts nowhere: a stranger who goes on uses
up no more of a name's tries than his address has.

Still, strangers with many addresses can use up a name's. They lock out nobody who is known:

- A *device* that the account has signed in with (devices.py) has counters of its own, and none of the three holds for
  it. All devices of an account have a limit together, so that nobody collects devices to guess with.
- For a program without cookies there is its *address*: one with a sign-in of the account that still stands is not held
  to the name's limit over all addresses. It is held to its own two: others may share it, and who guesses from it is
  whom they are for.

A success forgets what was counted for its name from its address (or device). Wrong tries are also counted apart: where
many right ones at once reach a limit before the first is through, they are asked to come again in a second, not in a
quarter of an hour. Names that nobody has are counted like all others.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest

from shared.errors import Throttled
from shared.identity import hashing
from shared.identity.realm import Realm

WINDOW_SECONDS = 15 * 60

ATTEMPTS_FROM_ONE_ADDRESS = 10
"""Tries for one name from one address (or from one device of the account) within the window."""

ATTEMPTS_FROM_ALL_ADDRESSES = 50
"""Tries for one name from everywhere; higher, since strangers can use it up. Those from known devices and addresses
have as many, apart from these."""

ATTEMPTS_OVER_ALL_NAMES = 50
"""Tries from one address for any names of any organization; those of a name that then got in are no longer counted."""

FAILURES_OF_THE_PATIENT = 10
"""Wrong tries of one address, over all names, after which it no longer waits where passwords are looked at already:
waiting takes a thread, and the threads are everybody's."""

Door = Literal["sign-in", "reset", "code", "key"]
"""What is tried: a password; to have a mail sent; a second factor's code; an API key's secret. Each has counters of its
own: else a right password would forget the wrong codes that came after the one before."""


@dataclass(frozen=True, slots=True)
class _Limits:
    from_one_address: int
    from_all_addresses: int
    over_all_names: int
    window: int
    """Seconds."""


_OF_PASSWORDS = _Limits(ATTEMPTS_FROM_ONE_ADDRESS, ATTEMPTS_FROM_ALL_ADDRESSES, ATTEMPTS_OVER_ALL_NAMES, WINDOW_SECONDS)
_LIMITS: dict[Door, _Limits] = {
    "sign-in": _OF_PASSWORDS,
    "reset": _OF_PASSWORDS,
    # Three of a million codes are right at a time. 20 an hour from everywhere hit one of them in a day with 0.15 %; and
    # whoever tries knows the password already.
    "code": _Limits(5, 20, 50, 60 * 60),
    # 256 random bits: nobody guesses one. It is the work that is limited, by address alone.
    "key": _OF_PASSWORDS,
}

_KNOWN_FOR = "30 days"
"""How long an address is known by a sign-in that was not seen since."""

_LONGEST_LOOK = "15 seconds"
"""A try that was counted longer ago is not looked at any more: its process has ended."""

# Rows whose window is over are swept a few at a time, so that made-up names can't fill the table.
_SWEEP = """
    DELETE FROM shared_signinattempts WHERE key IN (
        SELECT key FROM shared_signinattempts
        WHERE window_ends_at < now() - interval '1 hour' LIMIT 10 FOR UPDATE SKIP LOCKED
    )
"""
# Whatever changes rows takes the locks of their keys first, the address's before all. So the sums stay what they are
# until they are counted; and of two that want the same rows one waits here, and not each for the other. (Statements of
# their own: the next must see what was committed while this one waited.)
_LOCK = "SELECT pg_advisory_xact_lock(%s)"
_STATE = """
    SELECT key, address_key, attempts, failures, coalesce(tried_at > now() - %s::interval, false),
        ceil(extract(epoch FROM window_ends_at - now()))::int
    FROM shared_signinattempts WHERE (key = ANY(%s) OR address_key = %s) AND window_ends_at > now()
"""
_COUNT = """
    INSERT INTO shared_signinattempts AS counted
        (key, address_key, name_key, attempts, failures, window_ends_at, tried_at)
    VALUES (%s, %s, %s, 1, %s, now() + make_interval(secs => %s), now())
    ON CONFLICT (key) DO UPDATE SET
        name_key = excluded.name_key,
        attempts = CASE WHEN counted.window_ends_at <= now() THEN 0 ELSE counted.attempts END + 1,
        failures = CASE WHEN counted.window_ends_at <= now() THEN 0 ELSE counted.failures END + excluded.failures,
        window_ends_at = CASE
            WHEN counted.window_ends_at <= now() THEN excluded.window_ends_at ELSE counted.window_ends_at
        END,
        tried_at = excluded.tried_at
"""
_FAIL = "UPDATE shared_signinattempts SET failures = failures + 1 WHERE key = ANY(%s)"
_TAKE_BACK = """
    UPDATE shared_signinattempts SET attempts = greatest(attempts - %s, 0), failures = greatest(failures - %s, 0)
    WHERE key = ANY(%s)
"""
_FORGET = "DELETE FROM shared_signinattempts WHERE key = %s RETURNING attempts, failures"
_CLEAN = "DELETE FROM shared_signinattempts WHERE key = ANY(%s) AND attempts <= 0"
_KNOWN_ADDRESSES = """
    SELECT DISTINCT family.address FROM shared_refreshfamily AS family
    WHERE family.user_id = {account} AND family.organization_id IS NOT DISTINCT FROM %(organization)s
        AND family.address <> '' AND family.revoked_at IS NULL
        AND coalesce(family.last_seen_at, family.created_at) > now() - %(known_for)s::interval
"""
_ADDRESSES_OF_MEMBER = _KNOWN_ADDRESSES.format(
    account="(SELECT user_id FROM shared_membership WHERE organization_id = %(organization)s AND username = %(name)s)"
)
_ADDRESSES_OF_PLATFORM_USER = _KNOWN_ADDRESSES.format(account="(SELECT id FROM shared_user WHERE username = %(name)s)")


def look_at_password(
    *, realm: Realm, username: str, address: str, is_right: Callable[[], bool], device: str = ""
) -> bool:
    """Whether the password is right: see :func:`look_at_secret`. Every look at one goes through here."""
    return look_at_secret(
        door="sign-in", realm=realm, username=username, address=address, is_right=is_right, device=device
    )


def look_at_secret(
    *, door: Door, realm: Realm, username: str, address: str, is_right: Callable[[], bool], device: str = ""
) -> bool:
    """Whether what was given for this name is right, as ``is_right`` finds by looking at it.

    ``device`` is what :func:`shared.identity.devices.device_of` says. ``is_right`` returns False for a wrong try: one
    that ends in an exception was not looked at, and is not counted.

    Raises:
        Throttled: too many tries; the secret was not looked at.
        Unavailable: too many passwords are being looked at; this one was not.
    """
    attempt = count_attempt(door=door, realm=realm, username=username, address=address, device=device)
    try:
        with hashing.waiting_at_most(attempt.patience, is_known=bool(device)):
            right = is_right()
    except BaseException:
        attempt.take_back()
        raise
    if right:
        attempt.forget()
    else:
        attempt.fail()
    return right


def look_from_address(*, door: Door, address: str, is_right: Callable[[], bool]) -> bool:
    """The same of a secret that nobody guesses: counted for the address alone, so that no stranger locks its owner out
    elsewhere. Wrong tries stay counted when a right one comes.

    Raises:
        Throttled: too many wrong tries from this address; the secret was not looked at.
    """
    address_key, name_key = _key(door, _network(address)), ""
    limits = _LIMITS[door]
    counter = _Counter(_key(door, "", _network(address)), limits.over_all_names, address_key)
    attempt = _count(address_key, name_key, [counter], limits, is_failure=False)
    try:
        right = is_right()
    except BaseException:
        attempt.take_back()
        raise
    if right:
        attempt.take_back()
    else:
        attempt.fail()
    return right


class _Counter(NamedTuple):
    key: str
    limit: int
    address_key: str = ""
    """Its tries are also counted of this address over all names."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that was counted, until it is known what came of it."""

    locks: list[str]
    keys: list[str]
    """The first is the name's from this address or device; the others are of more than that."""
    patience: float
    """Seconds that the look at the password may wait for its turn."""

    def fail(self) -> None:
        """It was wrong."""
        with _locked(self.locks) as cursor:
            cursor.execute(_FAIL, [self.keys])

    def take_back(self) -> None:
        """Nothing was looked at."""
        with _locked(self.locks) as cursor:
            cursor.execute(_TAKE_BACK, [1, 0, self.keys])
            cursor.execute(_CLEAN, [self.keys])

    def forget(self) -> None:
        """It was right, and those before it from here were the owner's. Those from elsewhere stay."""
        own, *others = self.keys
        with _locked(self.locks) as cursor:
            cursor.execute(_FORGET, [own])
            attempts, failures = cursor.fetchone() or (1, 0)
            cursor.execute(_TAKE_BACK, [attempts, failures, others])
            cursor.execute(_CLEAN, [others])


@contextmanager
def _locked(keys: list[str]) -> Iterator[Any]:
    with transaction.atomic(), connection.cursor() as cursor:
        for key in keys:
            cursor.execute(_LOCK, [int.from_bytes(bytes.fromhex(key[:16]), signed=True)])
        yield cursor


def count_attempt(
    *,
    realm: Realm,
    username: str,
    address: str,
    door: Door = "sign-in",
    device: str = "",
    is_failure: bool = False,
) -> Attempt:
    """Counts one try for ``username``; one that is a failure whatever comes of it, if ``is_failure``.

    Raises:
        Throttled: too many were made in this window; the secret must not be looked at. It was not counted.
    """
    limits, network, slug = _LIMITS[door], _network(address), realm.slug or ""
    name_key = _name_key(realm, username)
    known = _Counter(_key(door, "known", slug, username), limits.from_all_addresses)
    if device:
        own = _Counter(_key(door, "device", device, slug, username), limits.from_one_address)
        return _count("", name_key, [own, known], limits, is_failure=is_failure)
    address_key = _key(door, network)
    own = _Counter(_key(door, slug, username, network), limits.from_one_address, address_key)
    everywhere = _Counter(_key(door, slug, username), limits.from_all_addresses)
    try:
        return _count(address_key, name_key, [own, everywhere], limits, is_failure=is_failure)
    except _NameIsLocked:
        if not _is_known(network, realm, username):
            raise
        return _count(address_key, name_key, [own, known], limits, is_failure=is_failure)


class _NameIsLocked(Throttled):
    """Only by what was tried from elsewhere."""


class _Row(NamedTuple):
    key: str
    address_key: str
    attempts: int
    failures: int
    is_recent: bool
    opens_in: int
    """Seconds until its window ends."""


def _count(address_key: str, name_key: str, counters: list[_Counter], limits: _Limits, *, is_failure: bool) -> Attempt:
    keys = [counter.key for counter in counters]
    locks = [address_key, *keys] if address_key else keys
    with connection.cursor() as cursor:
        cursor.execute(_SWEEP)
    with _locked(locks) as cursor:
        cursor.execute(_STATE, [_LONGEST_LOOK, keys, address_key or None])
        rows = [_Row(*row) for row in cursor.fetchall()]
        of_address = [row for row in rows if address_key and row.address_key == address_key]
        waits = [_wait(of_address, limits.over_all_names)]
        waits += [_wait([row for row in rows if row.key == counter.key], counter.limit) for counter in counters]
        if any(waits):
            refusal = Throttled if any(waits[:-1]) else _NameIsLocked
            raise refusal("Too many attempts; wait and try again.", retry_after=max(waits))
        for counter in counters:
            cursor.execute(_COUNT, [counter.key, counter.address_key, name_key, int(is_failure), limits.window])
    is_patient = sum(row.failures for row in of_address) < FAILURES_OF_THE_PATIENT
    return Attempt(locks, keys, hashing.LONGEST_WAIT if is_patient else 0.0)


def _wait(rows: list[_Row], limit: int) -> int:
    """In how many seconds the limit opens that counts these rows; 0: it is open."""
    attempts = sum(row.attempts for row in rows)
    if attempts < limit:
        return 0
    # Those that are being looked at may be right, and are then forgotten.
    if sum(row.failures if row.is_recent else row.attempts for row in rows) < limit:
        return 1
    for row in sorted(rows, key=lambda row: row.opens_in):
        attempts -= row.attempts
        if attempts < limit:
            return max(row.opens_in, 1)
    raise AssertionError("A limit is above 0.")


def _is_known(network: str, realm: Realm, username: str) -> bool:
    """Whether the account has signed in from there lately, and that sign-in stands."""
    statement = _ADDRESSES_OF_PLATFORM_USER if realm.is_platform else _ADDRESSES_OF_MEMBER
    known = {"organization": realm.organization_id, "name": username, "known_for": _KNOWN_FOR}
    with connection.cursor() as cursor:
        cursor.execute(statement, known)
        return any(_network(address) == network for (address,) in cursor.fetchall())


def forget_name(*, realm: Realm, username: str) -> int:
    """Forgets every try for this name, from wherever it was; returns how many counters that were."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_NAME, [_name_key(realm, username)])
        return int(cursor.rowcount)


def forget_address(*, address: str) -> int:
    """Forgets every try from this address, over all names; returns how many counters that were."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_ADDRESS, [[_key(door, _network(address)) for door in _LIMITS]])
        return int(cursor.rowcount)


_FORGET_NAME = "DELETE FROM shared_signinattempts WHERE name_key = %s"
_FORGET_ADDRESS = "DELETE FROM shared_signinattempts WHERE address_key = ANY(%s)"


def _key(*parts: str) -> str:
    # Hashed: names are of any length, and a table of who tried to be whom is nobody's business.
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _name_key(realm: Realm, username: str) -> str:
    """Of all counters of a name."""
    return _key("name", realm.slug or "", username)


def _network(address: str) -> str:
    """What one client can choose its addresses from: of IPv6, 64 bits that its provider gave it (RFC 6177)."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))


def client_address(request: HttpRequest) -> str:
    """The client's address: what the outermost trusted proxy saw, or the peer's where there is none.

    ``TRUSTED_PROXIES`` says how many proxies append to ``X-Forwarded-For``; what stands before them a client can forge.
    """
    return address_in(request.META)


def address_in(environ: Mapping[str, Any]) -> str:
    """The same of a WSGI request."""
    proxies: int = settings.TRUSTED_PROXIES
    forwarded = [part.strip() for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    if proxies and len(forwarded) >= proxies:
        return str(forwarded[-proxies])
    return str(environ.get("REMOTE_ADDR", ""))


LONGEST_CLIENT = 300
"""Characters that are kept of what a client calls itself."""


def client_of(environ: Mapping[str, Any]) -> str:
    """What the client of a request calls itself (``User-Agent``), cut and without what nobody could read."""
    written = str(environ.get("HTTP_USER_AGENT", ""))
    return "".join(character for character in written if character.isprintable())[:LONGEST_CLIENT]
