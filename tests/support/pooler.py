"""A pooler of connections: PgBouncer itself, with deploy/pgbouncer.ini but for the addresses and the size of its pool.

``python -m tests.support.pooler`` (deploy/test.sh) says whether it is there, with status 1 if not.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

from tests.support.server import ROOT
from tests.support.waiting import wait_until

SESSION = {"pool_mode = transaction": "pool_mode = session\nserver_reset_query = DISCARD ALL"}
"""What deploy/pgbouncer.ini says of its other way."""


def program() -> str:
    """Where PgBouncer is. It is beside the programs of administrators, which not every PATH names."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        sys.exit("PgBouncer is needed: on Debian or Ubuntu, apt-get install pgbouncer")
    return found


def behind(address: str, port: int) -> str:
    """The address of the same role and database on this port of ours, where a pooler listens."""
    role, database = re.fullmatch(r"(\w+://[^@]+)@.*/([^/?]*)", address).groups()  # type: ignore[union-attr]
    return f"{role}@127.0.0.1:{port}/{database}"


@contextmanager
def pooling(
    address: str, *, port: int, roles: Sequence[str], size: int, changes: dict[str, str] | None = None
) -> Iterator[None]:
    """Runs it until the block ends, in front of the server of this address (any database of it) and for these roles,
    with so many connections for each role and database. ``changes`` are lines of its file that are others."""
    given = parse_dsn(address)
    host, password = given.get("host", "127.0.0.1"), given.get("password", "")
    # It refuses to be root. Who owns the server's socket may enter its directory.
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = group = 65534  # nobody
        if host.startswith("/"):
            user, group = os.stat(host).st_uid, os.stat(host).st_gid
        identity = {"user": user, "group": group, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        directory = Path(name)
        text = (ROOT / "deploy" / "pgbouncer.ini").read_text()
        for shipped, ours in {
            "recharge = host=127.0.0.1 port=5432 dbname=recharge": f"* = host={host} port={given.get('port', 5432)}",
            "listen_port = 6432": f"listen_port = {port}",
            "auth_type = scram-sha-256": "auth_type = trust",
            "/etc/pgbouncer/userlist.txt": f"{directory}/userlist.txt",
            "default_pool_size = 20": f"default_pool_size = {size}",
            **(changes or {}),
        }.items():
            line = f"(?m)^{re.escape(shipped)}$" if not shipped.startswith("/") else re.escape(shipped)
            assert len(re.findall(line, text)) == 1, shipped
            text = re.sub(line, lambda _, ours=ours: ours, text)  # type: ignore[misc]
        (directory / "pgbouncer.ini").write_text(text)
        (directory / "userlist.txt").write_text("".join(f'"{role}" "{password}"\n' for role in roles))
        log = directory / "log"
        with log.open("wb") as output:
            if identity:
                for path in (directory, *directory.iterdir()):
                    os.chown(path, identity["user"], -1)
            command = [program(), str(directory / "pgbouncer.ini")]
            process = subprocess.Popen(command, stdout=output, stderr=output, **identity)
        try:
            _wait_until_it_listens(process, behind(address, port), log)
            yield
        finally:
            process.terminate()
            process.wait(20)


def _wait_until_it_listens(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    def listens() -> bool:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            closing(psycopg2.connect(address)).__exit__(None, None, None)
        except psycopg2.OperationalError as error:
            if "Connection refused" in str(error):
                return False
            raise
        return True

    wait_until(listens, "PgBouncer listens")


if __name__ == "__main__":
    program()
