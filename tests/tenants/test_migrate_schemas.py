"""migrate_schemas with several organizations: at once, cut off and run again, and with one that is broken."""

import io
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest
from django.core.management.base import OutputWrapper
from django.db import OperationalError

from tenants import schemas
from tenants.management.commands.migrate_schemas import _Progress
from tenants.models import Organization
from tenants.schemas import CanNotUpdate, states_of
from tests.support import commands
from tests.support.schemas import changed, provision, run_sql
from tests.support.sessions import somebody_waits
from tests.support.waiting import wait_until
from tests.support.world import database_url

ACME, GLOBEX = "org_acme", "org_globex"

pytestmark = pytest.mark.slow


def make_older(*schemas: str) -> None:
    for schema in schemas:
        run_sql(f"UPDATE {schema}.installed_functions SET release = 'older'")


def is_current(schema: str) -> bool:
    return states_of([schema])[schema].is_current


@contextmanager
def held(schema: str) -> Iterator[None]:
    """Whoever installs functions in this schema waits until the block ends."""
    holder = psycopg2.connect(database_url())
    try:
        with holder.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('install functions: ' || %s, 0))", [schema])
        yield
    finally:
        holder.close()


@pytest.fixture(autouse=True)
def _up_to_date_again(django_db_setup: None) -> Iterator[None]:
    yield
    assert commands.run("migrate_schemas").returncode == 0


def test_while_one_waits_the_others_are_brought_up_to_date() -> None:
    make_older(ACME, GLOBEX)
    with held(ACME):
        process = commands.start("migrate_schemas", "--at-once", "2")
        wait_until(lambda: is_current(GLOBEX))
        assert not is_current(ACME)
    output, errors = process.communicate(timeout=60)
    assert (process.wait(), errors) == (0, "")
    assert "org_globex is up to date now (1 of 2).\norg_acme is up to date now (2 of 2).\n" in output
    assert output.endswith("2 of 2 organizations' schemas are up to date.\n")


def test_cut_off_it_leaves_what_is_done_and_goes_on_when_it_is_run_again() -> None:
    make_older(ACME, GLOBEX)
    with held(ACME):
        process = commands.start("migrate_schemas", "--at-once", "2")
        wait_until(lambda: is_current(GLOBEX))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)  # though the lock is still held: what waits is cancelled
        assert process.wait() == 128 + signal.SIGTERM
    assert not is_current(ACME)
    again = commands.run("migrate_schemas")
    assert (again.returncode, again.stderr) == (0, "")
    assert "org_acme is up to date now (1 of 1)." in again.stdout
    assert "org_globex" not in again.stdout


def test_one_that_is_provisioned_meanwhile_is_brought_up_to_date_too() -> None:
    """By a process of the release before, say."""
    make_older(ACME)
    with held(ACME):
        process = commands.start("migrate_schemas")
        wait_until(lambda: somebody_waits("advisory"))
        provision("late")
        make_older("org_late")
    output, _ = process.communicate(timeout=60)
    assert process.wait() == 0
    assert is_current("org_late")
    assert output.endswith("3 of 3 organizations' schemas are up to date.\n")


def test_what_a_later_release_has_migrated_is_left_as_it_is() -> None:
    """By code that somebody has gone back to: its functions would take the place of those that newer processes call."""
    change = "".join(
        f"INSERT INTO {schema}.django_migrations (app, name, applied) VALUES ('credit', '9999_later', now());"
        for schema in (ACME, "public")
    )
    undo = "".join(f"DELETE FROM {schema}.django_migrations WHERE name = '9999_later';" for schema in (ACME, "public"))
    with changed(ACME, change, undo):
        make_older(ACME, GLOBEX, "public")
        done = commands.run("migrate_schemas")
        assert done.returncode == 0
        assert "A later release has migrated these; they are left as they are: org_acme\n" in done.stderr
        assert "A later release has migrated the public schema; it is left as it is.\n" in done.stderr
        assert is_current(GLOBEX)
        assert not is_current(ACME)
        assert not is_current("public")


def test_it_waits_for_one_that_is_being_provisioned() -> None:
    row = provision("late")
    make_older(ACME, "org_late")
    run_sql(f"UPDATE tenants_organization SET status = 'provisioning' WHERE id = {row.pk}")
    with closing(psycopg2.connect(database_url())) as provisioning:
        with provisioning.cursor() as cursor:
            cursor.execute("UPDATE public.tenants_organization SET status = 'active' WHERE id = %s", [row.pk])
        process = commands.start("migrate_schemas")
        wait_until(lambda: is_current(ACME))
        wait_until(lambda: somebody_waits("transactionid"))
        assert not is_current("org_late")
        provisioning.commit()
    output, _ = process.communicate(timeout=60)
    assert process.wait() == 0
    assert is_current("org_late")
    assert output.endswith("3 of 3 organizations' schemas are up to date.\n")


@pytest.mark.breaks_the_books
def test_broken_ones_stop_nobody_else_and_are_summed_up() -> None:
    for slug in ("one", "two", "three"):
        provision(slug)
    run_sql("DROP TABLE org_one.recharge_limit, org_two.recharge_limit CASCADE")
    run_sql("DROP SCHEMA org_three CASCADE")
    make_older(ACME, GLOBEX)
    done = commands.run("migrate_schemas")
    assert done.returncode == 1
    assert is_current(ACME)
    assert is_current(GLOBEX)
    assert "org_three: NOT up to date: The schema is gone.\n" in done.stderr
    assert done.stderr.endswith(
        "NOT up to date (3):\n"
        "  org_one, org_two: Tables are missing: recharge_limit.\n"
        "  org_three: The schema is gone.\n"
        "The same command, run again, goes on with these.\n"
    )
    assert done.stdout.endswith("2 of 5 organizations' schemas are up to date.\n")
    Organization.objects.filter(slug__in=("one", "two", "three")).delete()


@pytest.mark.parametrize("count", ["0", "-1", "x"])
def test_a_number_that_is_none_is_refused(count: str) -> None:
    refused = commands.run("migrate_schemas", f"--at-once={count}")
    assert refused.returncode == 2
    assert "argument --at-once: invalid" in refused.stderr


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_says_how_far_it_is() -> None:
    out, errors = _Terminal(), io.StringIO()
    progress = _Progress(OutputWrapper(out), OutputWrapper(errors), 1)
    progress.begin(2)
    progress.tell(ACME, None)
    assert out.getvalue() == f"\r[{'#' * 20}{'.' * 20}] 1 of 2"
    progress.tell(GLOBEX, CanNotUpdate("The schema is gone."))
    assert out.getvalue().endswith(f"\r[{'#' * 40}] 2 of 2, 1 failed\n")
    assert errors.getvalue() == ""
    progress.begin(1)
    progress.tell("org_x", ValueError("a row"))
    progress.end(3)
    assert "  org_globex: The schema is gone.\n  org_x: ValueError: a row\n" in errors.getvalue()


@pytest.mark.parametrize(
    ("error", "times"), [("deadlock_detected", 12), ("lock_not_available", 4), ("query_canceled", 1)]
)
def test_one_that_sales_are_in_the_way_of_is_begun_anew_so_often(
    error: str, times: int, monkeypatch: pytest.MonkeyPatch, django_db_setup: None
) -> None:
    begun = []

    def fail(schema: str, verbosity: int) -> None:
        begun.append(schema)
        run_sql(f"DO $$ BEGIN RAISE {error}; END $$")

    monkeypatch.setattr(schemas, "_update_schema", fail)
    with pytest.raises(OperationalError):
        schemas.update_schema(ACME)
    assert begun == [ACME] * times
