"""Restoring to a moment: a base backup and the archived WAL come to the books of that moment, proved."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from saas import embedded
from tests.support.installations import directory, start
from tests.support.server import ROOT
from tests.support.waiting import wait_until

SLOT = "backup"


class Primary:
    """An installation of its own with a seller of acme, and its backup as deploy/README.md says to make one."""

    def __init__(self, place: Path) -> None:
        start(place)
        self._cluster = embedded._Cluster(place)
        self._backups = place / "backups"
        self.environment = place / "recharge.env"
        self.environment.write_text(
            f"SECRET_KEY={'x' * 60}\nBASE_DOMAIN=localhost\nDATABASE_URL={self.url_of(embedded.DATABASE)}\n"
        )
        self.base, self.wal = self._backups / "base", self._backups / "wal"
        for path in (self._backups, self.wal):
            self._cluster._make_private(path)
        self._connection = psycopg2.connect(self.url_of(embedded.DATABASE))
        self._connection.autocommit = True
        self._organization = self.ask("SELECT id FROM public.tenants_organization WHERE slug = 'acme'")
        self._seller = self.ask(
            "INSERT INTO org_acme.credit_seller (name, is_active, created_at) VALUES ('Drill', true, now())"
            " RETURNING id"
        )
        self.ask(
            "INSERT INTO org_acme.credit_account (seller_id, balance, last_number) VALUES (%s, 0, 0) RETURNING 1",
            self._seller,
        )
        self.ask(
            "SELECT count(org_acme.adjustment_create(%s, %s, 'first', 1000, 'for the drill', '', 'drill', 1))",
            self._organization,
            self._seller,
        )

    def ask(self, statement: str, *arguments: Any) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return cursor.fetchone()[0]

    def sell(self, key: str) -> None:
        sale = "SELECT outcome FROM org_acme.recharge_sell(%s, %s, %s, '+989121234567', 'mci', 1, true)"
        assert self.ask(sale, self._organization, self._seller, key) == "created"

    def back_up(self) -> None:
        self._cluster._run("pg_basebackup", "-d", self.url, "-D", str(self.base), "--checkpoint=fast")

    def url_of(self, database: str) -> str:
        return self._cluster.url("postgres", database)

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def receive(self) -> subprocess.Popen[bytes]:
        """Archives what is written, as it is written."""
        receive = [
            str(self._cluster.binaries / "pg_receivewal"), "-d", self.url, "-D", str(self.wal), "--slot", SLOT,
            "--synchronous",
        ]  # fmt: skip
        subprocess.run([*receive[:5], "--slot", SLOT, "--create-slot"], check=True, cwd="/")
        entry = self._cluster._owner()
        user = {"user": entry[0], "group": entry[1], "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.Popen(receive, cwd="/", **user)

    def wait_until_archived(self) -> None:
        here = self.ask("SELECT pg_current_wal_flush_lsn()")
        wait_until(
            lambda: self.ask("SELECT coalesce(bool_or(flush_lsn >= %s), false) FROM pg_stat_replication", here),
            "all that is committed is archived",
        )

    def drill(self, *until: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "PG_BIN": str(self._cluster.binaries),
            "PYTHON": str(ROOT / ".venv" / "bin" / "python"),
        }
        if self.environment.exists():
            environment["RECHARGE_ENV_FILE"] = str(self.environment)
        return subprocess.run(
            [str(ROOT / "deploy" / "restore-drill.sh"), str(self.base), str(self.wal), *until],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def left(self) -> set[str]:
        return {path.name for path in self._backups.iterdir()}


@pytest.fixture
def primary() -> Iterator[Primary]:
    with directory(installed=True) as place:
        yield Primary(place)


def test_a_backup_comes_to_the_books_of_a_moment_and_to_the_last_sale(primary: Primary) -> None:
    receiving = primary.receive()
    try:
        primary.sell("before the backup")
        primary.back_up()
        primary.sell("after the backup")
        moment = primary.ask("SELECT clock_timestamp()::text")
        primary.sell("after the moment")
        primary.sell("the last one")
        primary.wait_until_archived()

        whole = primary.drill()
        assert whole.returncode == 0, whole.stdout + whole.stderr
        assert "Not in it, and in the database now: 0 entries." in whole.stdout

        # The books of the copy are proved, and not those of the installation, whose address is in its environment, too.
        primary.ask("UPDATE org_acme.credit_account SET balance = balance + 1 RETURNING balance")
        earlier = primary.drill(moment)
        assert earlier.returncode == 0, earlier.stdout + earlier.stderr
        assert re.search(r"org_acme: 2 entries are not in it, the last one of \d{4}-", earlier.stdout)
        assert "Not in it, and in the database now: 2 entries." in earlier.stdout
        assert primary.left() == {"base", "wal"}
    finally:
        receiving.terminate()
        receiving.wait()


def test_without_the_environment_nothing_is_said_of_the_books(primary: Primary) -> None:
    primary.environment.unlink()
    told = primary.drill()
    assert told.returncode == 2
    assert "set RECHARGE_ENV_FILE" in told.stderr


def test_what_is_no_backup_is_said_to_be_none(primary: Primary) -> None:
    told = primary.drill()
    assert told.returncode == 2
    assert "no base backup" in told.stderr
    primary.back_up()
    (primary.base / "backup_label").unlink()
    (primary.base / "global" / "pg_control").unlink()
    broken = primary.drill()
    assert broken.returncode == 2
    assert "could not be restored" in broken.stderr
    assert primary.left() == {"base", "wal"}
