"""Locks out password guessing. It counts in the database, so it holds over all processes and machines.

Tries are limited by address over all names, by name and address, and by name over all addresses. An attempt is counted
*before* the password is looked at, so a hundred guesses sent at once get no further than a hundred sent one by one. A
refused attempt counts nowhere: a stranger who goes on uses up no more of a name's tries than his address has, and the
owner gets in from another. A successful sign-in forgets what was counted for it. Wrong tries are also counted apart:
where many right ones at once reach the limit before the first is through, they are asked to come again in a second,
not in a quarter of an hour.
"""

import hashlib
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest

from shared.errors import Throttled
from shared.identity import hashing
from shared.identity.realm import Realm

WINDOW_SECONDS = 15 * 60

ATTEMPTS_FROM_ONE_ADDRESS = 10
"""Tries for one name from one address within the window."""

ATTEMPTS_FROM_ALL_ADDRESSES = 50
"""Tries for one name from everywhere; higher, since strangers can use it up and lock the owner out."""

ATTEMPTS_OVER_ALL_NAMES = 50
"""Tries from one address for any names of any organization; those of a name that then got in are no longer counted."""

FAILURES_OF_THE_PATIENT = 10
"""Wrong tries of one address, over all names, after which it no longer waits where passwords are looked at already:
waiting takes a thread, and the threads are everybody's."""

Door = Literal["sign-in", "reset"]
"""What is tried: a password, or to have a mail sent. Each has counters of its own."""

# Rows whose window is over are swept a few at a time, so that made-up names can't fill the table.
_SWEEP = """
    DELETE FROM shared_signinattempts WHERE key IN (
        SELECT key FROM shared_signinattempts
        WHERE window_ends_at < now() - interval '1 hour' LIMIT 10 FOR UPDATE SKIP LOCKED
    )
"""
# Everything that changes an address's rows takes its lock first. So the sum stays what it is until they are counted;
# and of two that want the same two rows one waits here, and not each for the other. (Two statements: the second must
# see what was committed while the first waited.)
_LOCK = "SELECT pg_advisory_xact_lock(%s)"
_OF_ADDRESS = """
    SELECT coalesce(sum(attempts), 0), coalesce(sum(failures), 0),
        coalesce(ceil(extract(epoch FROM min(window_ends_at) - now())), 0)::int
    FROM shared_signinattempts WHERE address_key = %s AND window_ends_at > now()
"""
# Without a row in the answer the limit is reached, and the row stays as it was.
_COUNT = """
    INSERT INTO shared_signinattempts AS counted (key, address_key, attempts, failures, window_ends_at)
    VALUES (%s, %s, 1, %s, now() + make_interval(secs => %s))
    ON CONFLICT (key) DO UPDATE SET
        attempts = CASE WHEN counted.window_ends_at <= now() THEN 1 ELSE counted.attempts + 1 END,
        failures = CASE WHEN counted.window_ends_at <= now() THEN 0 ELSE counted.failures END + excluded.failures,
        window_ends_at = CASE
            WHEN counted.window_ends_at <= now() THEN excluded.window_ends_at ELSE counted.window_ends_at
        END
    WHERE counted.window_ends_at <= now() OR counted.attempts < %s
    RETURNING attempts
"""
_REFUSED = """
    SELECT failures, ceil(extract(epoch FROM window_ends_at - now()))::int FROM shared_signinattempts WHERE key = %s
"""


def look_at_password(*, realm: Realm, username: str, address: str, is_right: Callable[[], bool]) -> bool:
    """Whether the password is right, as ``is_right`` finds by looking at it. Every look at one goes through here.

    Raises:
        Throttled: too many tries, or too many at once; the password was not looked at.
    """
    patience = count_attempt(realm=realm, username=username, address=address)
    try:
        with hashing.waiting_at_most(patience):
            right = is_right()
    except BaseException:
        _change(_UNCOUNT, realm, username, address)
        raise
    if right:
        forget_attempts(realm=realm, username=username, address=address)
    else:
        count_failure(realm=realm, username=username, address=address)
    return right


def count_attempt(
    *, realm: Realm, username: str, address: str, door: Door = "sign-in", is_failure: bool = False
) -> float:
    """Counts one try for ``username``; one that is a failure whatever comes of it, if ``is_failure``.

    Returns how many seconds the look at the password may wait for its turn.

    Raises:
        Throttled: too many were made in this window; the password must not be looked at. It was not counted.
    """
    address_key, *keys = _keys(realm, username, address, door)
    with connection.cursor() as cursor:
        cursor.execute(_SWEEP)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK, [_lock_of(address_key)])
        cursor.execute(_OF_ADDRESS, [address_key])
        attempts, failures, window = cursor.fetchone()
        if attempts >= ATTEMPTS_OVER_ALL_NAMES:
            raise _too_many(failures, window, ATTEMPTS_OVER_ALL_NAMES)
        limits = (ATTEMPTS_FROM_ONE_ADDRESS, ATTEMPTS_FROM_ALL_ADDRESSES)
        for key, of_address, limit in zip(keys, (address_key, ""), limits, strict=True):
            cursor.execute(_COUNT, [key, of_address, int(is_failure), WINDOW_SECONDS, limit])
            if cursor.fetchone() is None:
                cursor.execute(_REFUSED, [key])
                failed, window = cursor.fetchone()
                raise _too_many(failed, window, limit)  # and what was counted before is counted no longer
    return 0.0 if failures >= FAILURES_OF_THE_PATIENT else hashing.LONGEST_WAIT


def _too_many(failures: int, window: int, limit: int) -> Throttled:
    wait = max(window, 1) if failures >= limit else 1
    return Throttled("Too many attempts to sign in; wait and try again.", retry_after=wait)


def count_failure(*, realm: Realm, username: str, address: str) -> None:
    """After a wrong password: the try that was counted is one that failed."""
    _change(_FAIL, realm, username, address)


def forget_attempts(*, realm: Realm, username: str, address: str) -> None:
    """After a successful sign-in: the tries before it were the owner's."""
    _change(_FORGET, realm, username, address)


_FAIL = "UPDATE shared_signinattempts SET failures = failures + 1 WHERE key = ANY(%s)"
_FORGET = "DELETE FROM shared_signinattempts WHERE key = ANY(%s)"
_UNCOUNT = "UPDATE shared_signinattempts SET attempts = attempts - 1 WHERE key = ANY(%s) AND attempts > 0"


def _change(statement: str, realm: Realm, username: str, address: str) -> None:
    address_key, *keys = _keys(realm, username, address, "sign-in")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK, [_lock_of(address_key)])
        cursor.execute(statement, [keys])


def _keys(realm: Realm, username: str, address: str, door: Door) -> list[str]:
    """Of the address, of the name from this address, and of the name."""

    # Hashed: names are of any length, and a table of who tried to be whom is nobody's business.
    def key(*parts: str) -> str:
        return hashlib.sha256("\0".join((door, *parts)).encode()).hexdigest()

    network, slug = _network(address), realm.slug or ""
    return [key(network), key(slug, username, network), key(slug, username)]


def _network(address: str) -> str:
    """What one client can choose its addresses from: of IPv6, 64 bits that its provider gave it (RFC 6177)."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))


def _lock_of(key: str) -> int:
    return int.from_bytes(bytes.fromhex(key[:16]), signed=True)


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
