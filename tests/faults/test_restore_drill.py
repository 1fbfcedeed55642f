"""Restoring to a moment: a base backup and the archived WAL come to the books of that moment, proved."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from saas import embedded
from tenants import figures
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
        address = self.url_of(embedded.DATABASE)
        self.environment.write_text(
            f"SECRET_KEY={'x' * 60}\nBASE_DOMAIN=localhost\nDATABASE_URL={address}\nOWNER_DATABASE_URL={address}\n"
            f"DATABASE_POOLER=transaction\nDIRECT_DATABASE_URL={address}\n"
        )
        self.base, self.wal, self.bases = (self._backups / name for name in ("base", "wal", "bases"))
        for path in (self._backups, self.wal, self.bases):
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

    def back_up_at_night(self, source: str | None = None) -> subprocess.CompletedProcess[str]:
        """By the script, as the user that keeps the backups."""
        return subprocess.run(
            [str(ROOT / "deploy" / "base-backup.sh"), str(self.bases), str(self.wal)],
            env={"PATH": os.environ["PATH"], "PG_BIN": str(self._cluster.binaries), "SOURCE": source or self.url},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **self._keeper(),
        )

    def _keeper(self) -> dict[str, Any]:
        user, group = self._cluster._owner()
        return {"user": user, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}

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
        return subprocess.Popen(receive, cwd="/", **self._keeper())

    def wait_until_archived(self) -> None:
        here = self.ask("SELECT pg_current_wal_flush_lsn()")
        wait_until(
            lambda: self.ask("SELECT coalesce(bool_or(flush_lsn >= %s), false) FROM pg_stat_replication", here),
            "all that is committed is archived",
        )

    def drill(self, *until: str, base: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **more,
            "PATH": os.environ["PATH"],
            "PG_BIN": str(self._cluster.binaries),
            "PYTHON": str(ROOT / ".venv" / "bin" / "python"),
        }
        if self.environment.exists():
            environment["RECHARGE_ENV_FILE"] = str(self.environment)
        return subprocess.run(
            [str(ROOT / "deploy" / "restore-drill.sh"), str(base or self.base), str(self.wal), *until],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def archived(self) -> set[str]:
        """The files of WAL that are whole."""
        return {path.name for path in self.wal.iterdir() if not path.suffix}

    def days(self) -> list[str]:
        """The base backups that are kept."""
        return sorted(path.name for path in self.bases.iterdir())

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

        # The books of the copy are proved, not those of the installation, whose addresses are in its environment, too.
        primary.ask("UPDATE org_acme.credit_account SET balance = balance + 1 RETURNING balance")
        earlier = primary.drill(moment)
        assert earlier.returncode == 0, earlier.stdout + earlier.stderr
        assert re.search(r"org_acme: 2 entries are not in it, the last one of \d{4}-", earlier.stdout)
        assert "Not in it, and in the database now: 2 entries." in earlier.stdout
        assert primary.left() == {"base", "bases", "wal"}

        too_early = primary.drill("2026-01-01 00:00:00+00")
        assert (too_early.returncode, "take an older one" in too_early.stderr) == (2, True), too_early.stdout
    finally:
        receiving.terminate()
        receiving.wait()


def test_each_night_a_base_backup_is_made_and_a_week_of_them_kept_with_their_wal(primary: Primary) -> None:
    today = f"{datetime.now().astimezone():%F}"  # as `date` says
    receiving = primary.receive()
    try:
        made = primary.back_up_at_night()
        assert (made.returncode, made.stdout) == (0, f"{primary.bases / today} is there.\n"), made.stderr
        for day in range(1, 8):
            subprocess.run(["cp", "-a", primary.bases / today, primary.bases / f"2026-01-0{day}"], check=True)
        primary.sell("in another file of WAL")
        primary.ask("SELECT pg_switch_wal()::text")
        primary.sell("before the next night")
        primary.wait_until_archived()
        before = primary.archived()

        # All but the last are as old as the first one now: the WAL that they need stays.
        again = primary.back_up_at_night()
        assert (again.returncode, again.stdout.endswith("/2026-01-01 goes.\n")) == (0, True), again.stderr
        assert primary.days() == [*(f"2026-01-0{day}" for day in range(2, 8)), today]
        assert before <= primary.archived()
        for day in primary.days()[:-1]:
            shutil.rmtree(primary.bases / day)
        assert primary.back_up_at_night().returncode == 0
        assert min(before) not in primary.archived()

        # What is under way has no date, and the last one of several is what is tried.
        (primary.bases / ".new").mkdir()
        (primary.bases / ".new" / "PG_VERSION").touch()
        primary.sell("after the last night")
        primary.wait_until_archived()
        whole = primary.drill(base=primary.bases)
        assert whole.returncode == 0, whole.stdout + whole.stderr
        assert f"Copying {primary.bases / today} …" in whole.stdout
        assert "Not in it, and in the database now: 0 entries." in whole.stdout
    finally:
        receiving.terminate()
        receiving.wait()


def test_what_was_not_there_at_the_moment_is_missing_whole_and_one_that_is_half_made_stops_nothing(
    primary: Primary,
) -> None:
    """What is half made, or whose schema is gone, has no ledger: neither in the copy, nor in the database now."""
    organization = (
        "INSERT INTO public.tenants_organization (schema_name, slug, name, status, created_at)"
        " VALUES (%s, %s, 'Drill', 'provisioning', now()) RETURNING id"
    )
    primary.ask(organization, "org_half", "half")
    primary.back_up()
    primary.ask(organization, "org_younger", "younger")
    primary.ask(
        "CREATE SCHEMA org_younger; CREATE TABLE org_younger.credit_entry AS TABLE org_acme.credit_entry; SELECT 1"
    )
    told = primary.drill()
    assert told.returncode == 0, told.stdout + told.stderr
    assert "  org_younger: 1 entries are not in it, the last one of 20" in told.stdout
    assert "Not in it, and in the database now: 1 entries." in told.stdout
    assert "org_half" not in told.stdout


def test_books_are_proved_where_the_database_is_gone(primary: Primary) -> None:
    primary.back_up()
    primary.environment.unlink()
    told = primary.drill(
        SECRET_KEY="x" * 60, BASE_DOMAIN="localhost", DATABASE_URL="postgres://recharge@localhost:1/recharge"
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "DATABASE_URL does not answer, so what is not in it is not known." in told.stdout
    assert "the books are right." in told.stdout


def test_an_archive_that_has_everything_is_no_standby_that_is_behind(primary: Primary) -> None:
    """It replays nothing, which PostgreSQL counts as time that it is behind."""
    written = "SELECT extract(epoch FROM coalesce(write_lag, interval '0'))::float FROM pg_stat_replication"
    receiving = primary.receive()
    try:
        primary.sell("a sale")
        primary.wait_until_archived()
        wait_until(lambda: primary.ask("SELECT replay_lsn IS NULL FROM pg_stat_replication"), "it is an archive")
        wait_until(
            lambda: primary.ask(f"SELECT lag = ({written}) FROM ({figures._STANDBYS}) AS told"),
            "it is as far behind as what it has written",
        )
    finally:
        receiving.terminate()
        receiving.wait()


def test_a_night_without_a_database_leaves_the_backups_that_there_are(primary: Primary) -> None:
    assert primary.back_up_at_night().returncode == 0
    (label,) = primary.bases.glob("*/backup_label")
    before = label.read_text()
    failed = primary.back_up_at_night("host=/nowhere user=backup")
    assert failed.returncode != 0
    assert "/nowhere" in failed.stderr
    assert label.read_text() == before


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
    assert primary.left() == {"base", "bases", "wal"}
