"""A pytest plugin, loaded before Django reads its settings: gives the tests a PostgreSQL of their own.

Without ``TEST_DATABASE_URL`` that is an embedded one in a temporary directory, at default durability (fsync and
synchronous_commit on). What an installation has in its environment does not reach the tests. The processes of
pytest-xdist share the server: the first of them makes a database, and the others copy it.

Tests are the owner's of the tables. The servers that they start work by a role of its own, as an installation's do
(tests/support/server.py), ``TEST_WORKING_ROLE``. With one role for both, tests of what the database refuses would not
be refused, and take the tables apart.

With ``TEST_LOCALE=en_US.UTF-8`` the embedded one's databases have that locale, as many an installation's do; the system
must know it.

With ``TEST_POOLER=transaction`` tests and servers work through PgBouncer in that mode. Only what goes past a pooler in
an installation goes past it here. Each role has one connection there (``TEST_POOLER_SIZE`` says another number): each
transaction has the session that somebody else had just before, and whoever holds it and asks for another waits in vain.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from saas import embedded
from tests.support import citus
from tests.support.environment import SETTINGS
from tests.support.pooler import behind, pooling
from tests.support.server import free_port

CONNECTIONS = 500
"""Several processes of tests, each with servers of its own."""


def check_roles(address: str, working: str) -> None:
    """On a server that is somebody's own: whether there is a role for the servers that tests start.

    Raises:
        pytest.UsageError: there is none; it says how to make one.
    """
    with closing(psycopg2.connect(address)) as owner, owner.cursor() as cursor:
        cursor.execute(
            "SELECT pg_has_role(rolname, %s, 'MEMBER') AND pg_has_role(rolname, 'MEMBER') FROM pg_roles"
            " WHERE rolname = %s AND EXISTS (SELECT FROM pg_roles WHERE rolname = %s)",
            [embedded.WORKING_GROUP, working, embedded.WORKING_GROUP],
        )
        if cursor.fetchone() != (True,):
            raise pytest.UsageError(
                f"Tests need a role to work by, which signs in as {owner.info.user} does and has it as a member:\n"
                f"    CREATE ROLE {embedded.WORKING_GROUP} NOLOGIN;\n"
                f"    CREATE ROLE {working} LOGIN IN ROLE {embedded.WORKING_GROUP};\n"
                f"    GRANT {working} TO {owner.info.user};"
            )


for name in SETTINGS:
    os.environ.pop(name, None)

if url := os.environ.get("TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = url
    os.environ["RECHARGE_EMBEDDED"] = "1"  # the tests speak plain HTTP
    os.environ["SECRET_KEY"] = "only-for-tests-" * 5
    if citus.nodes():
        # Citus lets no two roles write to one organization in one transaction.
        os.environ["DATABASE_CLUSTER"] = "citus"
        os.environ["TEST_WORKING_ROLE"] = str(parse_dsn(url)["user"])
    else:
        check_roles(url, os.environ.setdefault("TEST_WORKING_ROLE", embedded.WORKING_ROLE))
else:
    directory = Path(tempfile.mkdtemp(prefix="recharge-tests-"))
    # Exit hooks run last in, first out: the directory goes after the server on it has stopped.
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    # Transactions are prepared as the nodes of a cluster do it (tests/shared/test_polling.py).
    embedded.start(directory, {"max_connections": str(CONNECTIONS), "max_prepared_transactions": "10"})
    os.environ["DATABASE_URL"] = os.environ.pop("OWNER_DATABASE_URL")
    os.environ["TEST_DATABASE_URL"] = os.environ["DATABASE_URL"]  # of the processes that this one starts
    os.environ["TEST_WORKING_ROLE"] = embedded.WORKING_ROLE
    with closing(
        psycopg2.connect(os.environ["DATABASE_URL"].replace(f"//{embedded.ROLE}@", "//postgres@"))
    ) as superuser:
        superuser.autocommit = True
        with superuser.cursor() as cursor:  # tests end the connections of servers
            cursor.execute(f"GRANT {embedded.WORKING_ROLE} TO {embedded.ROLE}")
            # They delete what no trigger would let them; see tests/support/cleaning.py.
            cursor.execute(f"GRANT SET ON PARAMETER session_replication_role TO {embedded.ROLE}")
            if locale := os.environ.get("TEST_LOCALE"):
                # Of template1 all databases of the tests are made.
                cursor.execute("ALTER DATABASE template1 IS_TEMPLATE false")
                cursor.execute("DROP DATABASE template1")
                cursor.execute("CREATE DATABASE template1 TEMPLATE template0 LOCALE %s IS_TEMPLATE true", [locale])
os.environ["BASE_DOMAIN"] = "recharge.test"

pooler = ExitStack()
if os.environ.get("TEST_POOLER") == "transaction":
    port, direct = free_port(), os.environ["DATABASE_URL"]
    role = str(parse_dsn(direct)["user"])
    size = int(os.environ.get("TEST_POOLER_SIZE", "1"))
    pooler.enter_context(pooling(direct, port=port, roles=(role, os.environ["TEST_WORKING_ROLE"]), size=size))
    os.environ |= {
        "DATABASE_URL": behind(direct, port),
        "DIRECT_DATABASE_URL": direct,
        "DATABASE_POOLER": "transaction",
    }

IS_OF_SEVERAL = "PYTEST_XDIST_WORKER" in os.environ
"""Whether other processes run tests beside this one."""

if not IS_OF_SEVERAL:
    os.environ["TEST_TEMPLATE"] = f"recharge_template_{os.getpid()}"
TEMPLATE = os.environ["TEST_TEMPLATE"]
"""The name of the database that is copied."""

INSTALLATION = Path(tempfile.gettempdir()) / f"{TEMPLATE}-installation"
"""The directory that is copied, see tests.support.installations."""

_LOCK = Path(tempfile.gettempdir()) / f"{TEMPLATE}.lock"


def address_of_template() -> str:
    return f"{os.environ['TEST_DATABASE_URL'].rpartition('/')[0]}/{TEMPLATE}"


@contextmanager
def alone() -> Iterator[None]:
    """Of the processes of a run only one is in such a block at a time."""
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pytest_unconfigure() -> None:
    """Leaves nothing on a server that is somebody's own, no files, and no pooler (a process of several runs no exit
    hook)."""
    pooler.close()
    if not IS_OF_SEVERAL:
        shutil.rmtree(INSTALLATION, ignore_errors=True)
        _LOCK.unlink(missing_ok=True)
        with closing(psycopg2.connect(os.environ["TEST_DATABASE_URL"])) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(TEMPLATE)))


BARE = {name: value for name, value in os.environ.items() if name not in (*SETTINGS, "RECHARGE_EMBEDDED")}
"""The environment of a process that has nothing of the tests."""
