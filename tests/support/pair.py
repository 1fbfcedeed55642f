"""A primary and its standby, as a test's own installation: embedded servers, each in a directory of its own."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2

from saas import embedded
from tests.support import forking
from tests.support.installations import directory, environment_of
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Pair:
    """Two servers. Commits of the first wait for the second."""

    primary: embedded._Cluster
    standby: embedded._Cluster

    @property
    def environment(self) -> dict[str, str]:
        """That of processes which work on whichever of the two is the primary, as deploy/README.md says."""
        return environment_of(self.primary.directory) | {
            "DATABASE_URL": self._url(embedded.WORKING_ROLE),
            "OWNER_DATABASE_URL": self._url(embedded.ROLE),
            "RECHARGE_EMBEDDED": "1",
            "SECRET_KEY": "only-for-tests-" * 5,
        }

    def _url(self, role: str) -> str:
        hosts = quote(f"{self.primary.socket},{self.standby.socket}", safe="")
        return (
            f"postgresql://{role}@/{embedded.DATABASE}?host={hosts}&port=5432,5432"
            "&target_session_attrs=read-write&connect_timeout=2"
        )

    def promote_standby(self) -> None:
        self.standby._run("pg_ctl", "-D", str(self.standby.data), "-w", "promote")

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


@contextmanager
def pair() -> Iterator[Pair]:
    """An installation with organizations acme and globex, replicated synchronously."""
    with directory(installed=True) as first, directory() as second:
        primary, standby = embedded._Cluster(first), embedded._Cluster(second)
        primary.ensure_running()
        standby._make_private(standby.data)
        standby._let_system_user_in()
        # It streams by the primary's socket, whose users are trusted as any on it.
        standby._run(
            "pg_basebackup", "-h", str(primary.socket), "-U", "postgres", "-D", str(standby.data), "-R", "-X", "stream",
            "-c", "fast",
        )  # fmt: skip
        standby.ensure_running()
        with closing(psycopg2.connect(primary.url("postgres", "postgres"))) as superuser:
            superuser.autocommit = True
            with superuser.cursor() as cursor:
                cursor.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                cursor.execute("SELECT pg_reload_conf()")

                def is_synchronous() -> bool:
                    cursor.execute("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
                    return bool(cursor.fetchone()[0])

                wait_until(is_synchronous, "the standby is a synchronous one")
        yield Pair(primary, standby)
