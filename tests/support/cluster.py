"""A cluster of a test's own: a coordinator and two nodes, each a PostgreSQL with Citus in a directory of its own.

They are made of what ``CITUS_BINARIES`` names, the directory of programs of a PostgreSQL that has Citus (on Debian
``/usr/lib/postgresql/17/bin``).
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from saas import embedded
from tests.support import forking
from tests.support.installations import environment_of
from tests.support.waiting import wait_until

PARAMETERS = {
    "shared_preload_libraries": "citus",
    "wal_level": "logical",
    "max_prepared_transactions": "400",
    "max_connections": "200",
    "max_locks_per_transaction": "512",
    "max_worker_processes": "16",
    "shared_buffers": "64MB",
    "fsync": "off",  # processes are killed here, and no machine
    "citus.enable_unsafe_triggers": "on",
    "citus.node_conninfo": "sslmode=prefer connect_timeout=5",
    "citus.node_connection_timeout": "5s",
}


class Server(embedded._Cluster):
    """One of the three."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.parameters |= PARAMETERS | {"citus.local_hostname": str(self.socket)}
        self.binaries = Path(os.environ["CITUS_BINARIES"])

    def kill(self) -> None:
        """All of its processes, as by ``kill -9``: nothing is written down, nobody is told."""
        postmaster = int(self.pid_file.read_text().split()[0])
        processes = [postmaster, *map(int, Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split())]
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for process in processes:
            wait_until(lambda process=process: not _lives(process), "it is dead")

    def run_sql(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a statement answers to a superuser."""
        with closing(psycopg2.connect(self.url("postgres", embedded.DATABASE))) as superuser:
            superuser.autocommit = True
            with superuser.cursor() as cursor:
                cursor.execute(statement, arguments)
                return cursor.fetchall() if cursor.description else []


def _lives(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


@dataclass
class Cluster:
    """Organizations acme and globex live at the first and the second node."""

    coordinator: Server
    nodes: list[Server]

    @property
    def environment(self) -> dict[str, str]:
        """That of processes which work on it."""
        return environment_of(self.coordinator.directory) | {
            "DATABASE_URL": self.coordinator.url(embedded.ROLE, embedded.DATABASE),
            "DATABASE_CLUSTER": "citus",
            "RECHARGE_EMBEDDED": "1",
            "SECRET_KEY": "only-for-tests-" * 5,
        }

    def manage(self, *arguments: str) -> str:
        """Runs a command to its end; what it wrote."""
        process = forking.start([*arguments], environment=self.environment)
        output, errors = process.communicate()
        assert process.returncode == 0, output + errors
        return output

    def place(self, slug: str, node: int) -> None:
        self.manage("organization", "place", slug, name_of(self.nodes[node]))


def name_of(server: Server) -> str:
    """As the cluster knows it: its host and port."""
    return f"{server.socket}:5432"


@contextmanager
def clustered() -> Iterator[Cluster]:
    """Three servers, migrated, with their organizations. Each has an admin ``admin``."""
    directories = [Path(tempfile.mkdtemp(prefix="recharge-node-")) for _ in range(3)]
    coordinator, *nodes = servers = [Server(directory) for directory in directories]
    try:
        for server in servers:
            server.ensure_running()
            server.run_sql("CREATE EXTENSION citus")
        coordinator.run_sql("SELECT citus_set_coordinator_host(%s, 5432)", [str(coordinator.socket)])
        for node in nodes:
            coordinator.run_sql("SELECT citus_add_node(%s, 5432)", [str(node.socket)])
        cluster = Cluster(coordinator, nodes)
        cluster.manage("migrate_schemas")
        for number, slug in enumerate(("acme", "globex")):
            password = ("--admin-password", "correct horse battery")
            cluster.manage("create_organization", slug, "--name", slug, "--admin-username", "admin", *password)
            cluster.place(slug, number)
        yield cluster
    finally:
        for server in servers:
            server.stop()
            shutil.rmtree(server.directory, ignore_errors=True)
