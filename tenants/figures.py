"""Reads what the whole platform's metrics show of the database: a handful of short statements, whatever the number of
organizations."""

from dataclasses import dataclass

from django.db import connection

from tenants.heartbeats import ALIVE_SECONDS
from tenants.models import Organization

_STANDBYS = """
    SELECT current_setting('max_connections')::integer AS most_connections,
           count(*) AS standbys,
           current_setting('synchronous_standby_names') <> '' AND count(*) FILTER (
               WHERE sync_state IN ('sync', 'quorum') OR sync_state IS NULL
           ) = 0 AS synchronous_missing,
           extract(epoch FROM max(
               coalesce(CASE WHEN replay_lsn IS NULL THEN write_lag ELSE replay_lag END, interval '0')
           ) FILTER (WHERE state IS NOT NULL))::float AS lag
    FROM pg_stat_replication
"""
"""Who only keeps the WAL (pg_receivewal, a base backup) replays none, and its replay_lag grows for ever: it is as far
behind as what it has written."""


@dataclass(frozen=True, slots=True)
class PlatformFigures:
    """See :func:`platform_figures`. Durations are seconds."""

    organizations: dict[str, int]
    """By status."""
    reconciled: dict[str, int]
    """Organizations whose books are ``clean``, ``faulty``, or were ``never`` proved."""
    reconcile_age: float
    """Since the books were proved that were so longest ago; where they never were, since the organization was made."""
    workers: int
    """Delivery workers that are alive."""
    connections: dict[str, int]
    """Of the whole server, whose limit is one for all databases, by what they do. Those of roles that this one may not
    see are ``unseen``: of these PostgreSQL says neither what they do nor since when."""
    most_connections: int
    """That the server lets in."""
    lock_waits: int
    """Statements that wait for a lock."""
    longest_lock_wait: float
    longest_transaction: float
    standbys: int
    """That are connected."""
    synchronous_missing: bool
    """Whether commits wait for a standby that is not there: so nothing is sold."""
    replication_lag: float | None
    """Of the standby that is furthest behind; None: there is none, or the role may not see it (pg_read_all_stats)."""


def platform_figures() -> PlatformFigures:
    """What is true now.

    Raises:
        django.db.DatabaseError: the database does not answer.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT status, count(*),
                   count(*) FILTER (WHERE reconciliation_faults = 0),
                   count(*) FILTER (WHERE reconciliation_faults > 0),
                   count(*) FILTER (WHERE reconciled_at IS NULL),
                   max(extract(epoch FROM clock_timestamp() - coalesce(reconciled_at, created_at)))::float
            FROM public.tenants_organization GROUP BY status
            """
        )
        organizations = dict.fromkeys(Organization.Status.values, 0)
        reconciled = dict.fromkeys(("clean", "faulty", "never"), 0)
        oldest = 0.0
        for status, number, clean, faulty, never, age in cursor.fetchall():
            organizations[status] = number
            if status != Organization.Status.PROVISIONING:  # reconcile leaves these out
                for verdict, counted in zip(reconciled, (clean, faulty, never), strict=True):
                    reconciled[verdict] += counted
                oldest = max(oldest, age)
        cursor.execute(
            "SELECT count(*) FROM public.tenants_workerheartbeat"
            " WHERE seen_at > clock_timestamp() - make_interval(secs => %s)",
            [ALIVE_SECONDS],
        )
        (workers,) = cursor.fetchone()
        cursor.execute(
            """
            SELECT coalesce(state, 'unseen'), count(*),
                   count(*) FILTER (WHERE wait_event_type = 'Lock' AND datname = current_database()),
                   coalesce(max(extract(epoch FROM clock_timestamp() - query_start))
                       FILTER (WHERE wait_event_type = 'Lock' AND datname = current_database()), 0)::float,
                   coalesce(max(extract(epoch FROM clock_timestamp() - xact_start))
                       FILTER (WHERE pid <> pg_backend_pid() AND datname = current_database()), 0)::float
            FROM pg_stat_activity
            WHERE backend_type = 'client backend'
                OR (backend_type IS NULL AND usesysid IS NOT NULL AND datid IS NOT NULL)
            GROUP BY 1
            """
        )
        activity = cursor.fetchall()
        cursor.execute(_STANDBYS)
        most_connections, standbys, missing, lag = cursor.fetchone()
    return PlatformFigures(
        organizations=organizations,
        reconciled=reconciled,
        reconcile_age=oldest,
        workers=workers,
        connections={state: number for state, number, *_ in activity},
        most_connections=most_connections,
        lock_waits=sum(waits for _, _, waits, *_ in activity),
        longest_lock_wait=max((wait for *_, wait, _ in activity), default=0.0),
        longest_transaction=max((longest for *_, longest in activity), default=0.0),
        standbys=standbys,
        synchronous_missing=missing,
        replication_lag=lag,
    )
