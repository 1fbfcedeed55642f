"""Lock-out of password guessing, in the database, so that it holds over all processes and machines.

An attempt is counted *before* the password is looked at, in one statement: of a hundred guesses sent at once no more
are looked at than of a hundred sent one by one. A successful sign-in forgets what was counted for it. How many were
wrong is counted apart: so many right ones at once that they reach the limit before the first is through are asked to
come again in a second, not in a quarter of an hour.
"""

import hashlib

from django.conf import settings
from django.db import connection
from django.http import HttpRequest

from shared.errors import Throttled
from shared.realm import Realm

WINDOW_SECONDS = 15 * 60

ATTEMPTS_FROM_ONE_ADDRESS = 10
"""Tries for one name from one address within the window."""

ATTEMPTS_FROM_ALL_ADDRESSES = 50
"""Tries for one name from everywhere; higher, since a stranger can use it up and lock the owner out."""

# The name's row comes first in every statement, so that two attempts for one name queue instead of deadlocking.
# Rows whose window is over are swept a few at a time, so that made-up names can't fill the table.
_COUNT = """
    WITH swept AS (
        DELETE FROM shared_signinattempts WHERE key IN (
            SELECT key FROM shared_signinattempts
            WHERE window_ends_at < now() - interval '1 hour' LIMIT 10 FOR UPDATE SKIP LOCKED
        )
    )
    INSERT INTO shared_signinattempts AS counted (key, attempts, failures, window_ends_at)
    VALUES (%s, 1, 0, now() + make_interval(secs => %s)), (%s, 1, 0, now() + make_interval(secs => %s))
    ON CONFLICT (key) DO UPDATE SET
        attempts = CASE WHEN counted.window_ends_at <= now() THEN 1 ELSE counted.attempts + 1 END,
        failures = CASE WHEN counted.window_ends_at <= now() THEN 0 ELSE counted.failures END,
        window_ends_at = CASE
            WHEN counted.window_ends_at <= now() THEN excluded.window_ends_at ELSE counted.window_ends_at
        END
    RETURNING attempts, failures, ceil(extract(epoch FROM window_ends_at - now()))::int
"""


def count_attempt(*, realm: Realm, username: str, address: str) -> None:
    """Counts one try of a password for ``username``.

    Raises:
        Throttled: too many were made in this window; the password must not be looked at.
    """
    name_key, address_key = _keys(realm, username, address)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [name_key, WINDOW_SECONDS, address_key, WINDOW_SECONDS])
        by_name, by_address = cursor.fetchall()
    waits = []
    limits = (ATTEMPTS_FROM_ALL_ADDRESSES, ATTEMPTS_FROM_ONE_ADDRESS)
    for (attempts, failures, window), limit in zip((by_name, by_address), limits, strict=True):
        if attempts > limit:
            waits.append(max(window, 1) if failures >= limit else 1)
    if waits:
        raise Throttled("Too many attempts to sign in; wait and try again.", retry_after=max(waits))


def count_failure(*, realm: Realm, username: str, address: str) -> None:
    """After a wrong password: the try that was counted is one that failed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE shared_signinattempts SET failures = failures + 1 WHERE key = ANY(%s)",
            [_keys(realm, username, address)],
        )


def forget_attempts(*, realm: Realm, username: str, address: str) -> None:
    """After a successful sign-in: the tries before it were the owner's."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM shared_signinattempts WHERE key = ANY(%s)", [_keys(realm, username, address)])


def _keys(realm: Realm, username: str, address: str) -> list[str]:
    # Hashed: names are of any length, and a table of who tried to be whom is nobody's business.
    def key(*parts: str) -> str:
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    return [key(realm.slug or "", username), key(realm.slug or "", username, address)]


def client_address(request: HttpRequest) -> str:
    """The client's address: what the outermost trusted proxy saw, or the peer's where there is none.

    ``TRUSTED_PROXIES`` says how many proxies append to ``X-Forwarded-For``; what stands before them a client can forge.
    """
    proxies: int = settings.TRUSTED_PROXIES
    forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    if proxies and len(forwarded) >= proxies:
        return str(forwarded[-proxies])
    return str(request.META.get("REMOTE_ADDR", ""))
