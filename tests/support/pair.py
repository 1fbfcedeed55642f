"""A primary and its standby, as a test's own installation: embedded servers, each in a directory of its own."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from saas import embedded
from tests.support import forking
from tests.support.installations import directory, environment_of
from tests.support.waiting import wait_until


@dataclass
class Pair:
    """Two servers. Commits of the first wait for the second."""

    primary: embedded._Cluster
    standby: embedded._Cluster

    def __post_init__(self) -> None:
        self._both = (self.primary, self.standby)

    @property
    def environment(self) -> dict[str, str]:
        """That of processes which work on whichever of the two is the primary, as deploy/README.md says."""
        return environment_of(self._both[0].directory) | {
            "DATABASE_URL": self._url(embedded.WORKING_ROLE),
            "OWNER_DATABASE_URL": self._url(embedded.ROLE),
            "RECHARGE_EMBEDDED": "1",
            "SECRET_KEY": "only-for-tests-" * 5,
        }

    def _url(self, role: str) -> str:
        hosts = quote(",".join(str(one.socket) for one in self._both), safe="")
        return (
            f"postgresql://{role}@/{embedded.DATABASE}?host={hosts}&port=5432,5432"
            "&target_session_attrs=read-write&connect_timeout=2"
        )

    def fail_over(self) -> None:
        """The primary crashes, and the standby, which nobody follows yet, takes its place at once."""
        crash(self.primary)
        # It has its settings of the other: else its commits would wait for one who is gone.
        run_sql(self.standby, "ALTER SYSTEM SET synchronous_standby_names = ''")
        run_sql(self.standby, "SELECT pg_reload_conf()")
        self.standby._run("pg_ctl", "-D", str(self.standby.data), "-w", "promote")
        self.primary, self.standby = self.standby, self.primary

    def take_back(self) -> None:
        """The primary that crashed follows the new one, as a new copy of it. (pg_rewind can't make it one, where a
        server's socket is in its directory.)"""
        shutil.rmtree(self.standby.data)
        self.begin_standby()

    def begin_standby(self) -> None:
        """Makes the standby, a copy of the primary, which it then follows."""
        self.standby._make_private(self.standby.data)
        self.standby._let_system_user_in()
        # It streams by the primary's socket, whose users are trusted as any on it.
        self.standby._run(
            "pg_basebackup", "-h", str(self.primary.socket), "-U", "postgres", "-D", str(self.standby.data), "-R",
            "-X", "stream", "-c", "fast",
        )  # fmt: skip
        self.standby.ensure_running()
        self.wait_for_standby()

    def wait_for_standby(self) -> None:
        """Has commits wait for the standby, and waits until they do."""
        run_sql(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        run_sql(self.primary, "SELECT pg_reload_conf()")
        is_synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until(
            lambda: run_sql(self.primary, is_synchronous) == [(1,)], "the standby is a synchronous one", seconds=60
        )

    def manage(self, *arguments: str) -> str:
        """Runs a command to its end; what it wrote."""
        process = forking.start([*arguments], environment=self.environment)
        output, errors = process.communicate()
        assert process.returncode == 0, output + errors
        return output


def crash(cluster: embedded._Cluster) -> None:
    """Stops a server as a power cut would: no checkpoint, no farewell."""
    postmaster = int(cluster.pid_file.read_text().split()[0])
    os.kill(postmaster, signal.SIGQUIT)
    wait_until(lambda: not Path(f"/proc/{postmaster}").exists(), "the server is down")


def run_sql(cluster: embedded._Cluster, statement: str) -> list[tuple[Any, ...]]:
    """What a statement answers to a superuser."""
    with closing(psycopg2.connect(cluster.url("postgres", embedded.DATABASE))) as superuser:
        superuser.autocommit = True
        with superuser.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def pair() -> Iterator[Pair]:
    """An installation with organizations acme and globex, replicated synchronously."""
    with directory(installed=True) as first, directory() as second:
        primary, standby = embedded._Cluster(first), embedded._Cluster(second)
        primary.ensure_running()
        both = Pair(primary, standby)
        both.begin_standby()
        yield both
