"""Lets go of what has ended by itself: browsers' sessions, sign-ins with their refresh tokens, counters of tries. None
of it lets anybody in any more, nor keeps anybody out.

Each sign-in takes a few of them away, too; this is for the nights on which nobody signs in, and for what an attack has
left."""

from dataclasses import dataclass

from django.db import connection


@dataclass(frozen=True, slots=True)
class _Ended:
    table: str
    key: str
    condition: str
    """True of what has ended; by an index."""


_ENDED = (
    _Ended("django_session", "session_key", "expire_date < now()"),
    # A day longer: whoever brings a refresh token of yesterday is told that it has expired, and not that it is unknown.
    _Ended("shared_refreshfamily", "id", "expires_at < now() - interval '1 day'"),
    _Ended("shared_signinattempts", "key", "window_ends_at < now() - interval '1 hour'"),
)


def let_go_of_ended(*, limit: int) -> bool:
    """Removes up to so many of each; whether there may be more. What somebody holds is passed over."""
    is_more = False
    with connection.cursor() as cursor:
        for ended in _ENDED:
            cursor.execute(
                f"DELETE FROM public.{ended.table} WHERE {ended.key} IN (SELECT {ended.key} FROM public.{ended.table}"  # noqa: S608
                f" WHERE {ended.condition} LIMIT %s FOR UPDATE SKIP LOCKED)",
                [limit],
            )
            is_more = is_more or cursor.rowcount >= limit
    return is_more


def count_ended() -> dict[str, int]:
    """How many there are of each, by table."""
    counts: dict[str, int] = {}
    with connection.cursor() as cursor:
        for ended in _ENDED:
            cursor.execute(f"SELECT count(*) FROM public.{ended.table} WHERE {ended.condition}")  # noqa: S608
            counts[ended.table] = cursor.fetchone()[0]
    return counts
