"""Records every few seconds that a delivery worker runs, and tells which do."""

import os
import socket
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.db import connection

from tenants.models import WorkerHeartbeat

BEAT_SECONDS = 5.0
"""Between two heartbeats of a worker."""

ALIVE_SECONDS = 30.0
"""After this without one a worker is taken for gone: several beats, since a worker beats between two batches."""

FORGOTTEN_SECONDS = 24 * 60 * 60.0
"""A killed worker can't take its row away; after this another one does."""


@dataclass(frozen=True, slots=True)
class Beating:
    """A worker that has said that it runs, and has not said that it ended."""

    host: str
    process: int
    running_seconds: float
    """From its start to its last heartbeat."""
    silent_seconds: float
    """Since then, by the database's clock."""

    @property
    def is_alive(self) -> bool:
        return self.silent_seconds <= ALIVE_SECONDS


class Heartbeat:
    """One worker's. All of it is on the public schema and in autocommit."""

    def __init__(self) -> None:
        self._id: UUID = uuid4()
        self.tells_figures = False
        """Said with the next beat."""

    def beat(self) -> None:
        """Says that this process runs."""
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO public.tenants_workerheartbeat (id, host, process, started_at, seen_at, tells_figures)
                VALUES (%s, %s, %s, clock_timestamp(), clock_timestamp(), %s)
                ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), tells_figures = EXCLUDED.tells_figures
                """,
                [self._id, socket.gethostname()[:255], os.getpid(), self.tells_figures],
            )

    def begin(self) -> None:
        """The first one, which also forgets those that were killed long ago."""
        self.beat()
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM public.tenants_workerheartbeat WHERE seen_at < now() - make_interval(secs => %s)",
                [FORGOTTEN_SECONDS],
            )

    def leads(self) -> bool:
        """Whether this worker has run longest of those that are alive and tell figures: it alone reads them. For a
        moment two may find that they do, or none. Where none is alive, it is the one that was heard of last: while
        commits wait for a standby that is gone, no heartbeat is written, and that is to be told."""
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT id = %s
                FROM public.tenants_workerheartbeat,
                     LATERAL (SELECT seen_at > clock_timestamp() - make_interval(secs => %s)) AS one (is_alive)
                WHERE tells_figures
                ORDER BY is_alive DESC, CASE WHEN is_alive THEN started_at END, seen_at DESC, id LIMIT 1
                """,
                [self._id, ALIVE_SECONDS],
            )
            row = cursor.fetchone()
        return row is not None and bool(row[0])

    def end(self) -> None:
        """Says that this process has finished."""
        WorkerHeartbeat.objects.filter(pk=self._id).delete()


def beating_workers() -> list[Beating]:
    """All of them, those heard of last first; one that is not :attr:`Beating.is_alive` was killed or hangs."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT host, process, extract(epoch FROM seen_at - started_at)::float,
                   extract(epoch FROM greatest(clock_timestamp() - seen_at, interval '0'))::float
            FROM public.tenants_workerheartbeat ORDER BY seen_at DESC, id
            """
        )
        return [Beating(*row) for row in cursor.fetchall()]
