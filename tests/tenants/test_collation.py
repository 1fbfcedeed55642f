"""What is looked up by an index does not depend on the order of a locale; and a locale that changed is named."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import pytest
from django.db import connection, transaction

from saas.embedded import ROLE
from tests.support import commands
from tests.support.schemas import run_sql
from tests.support.world import World, database_url, give_credit


def test_every_text_that_is_in_an_index_is_ordered_by_its_bytes() -> None:
    locale_ordered = run_sql(
        """
        SELECT DISTINCT attrelid::regclass::text, attname
        FROM pg_index
        INNER JOIN pg_class ON pg_class.oid = indrelid
        INNER JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
        WHERE relnamespace IN ('public'::regnamespace, 'org_acme'::regnamespace)
            AND relname NOT LIKE 'auth\\_%' AND relname NOT LIKE 'django\\_%'
            AND attcollation NOT IN (0, 'pg_catalog."C"'::regcollation)
        """
    )
    assert locale_ordered == []


def plan_of(statement: str, *arguments: object) -> str:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {statement}", arguments)
        return "\n".join(line for (line,) in cursor.fetchall())


@pytest.mark.parametrize("given", ["%s::text", "%s::varchar", "%s"])
def test_a_key_is_looked_up_by_its_index_whatever_text_it_is_compared_with(given: str) -> None:
    for table, index in (("recharge_recharge", "recharge_key"), ("credit_creditrequest", "credit_request_key")):
        plan = plan_of(f"SELECT FROM org_acme.{table} WHERE idempotency_key = {given} AND seller_id + 0 = 1", "k")
        assert index in plan
        assert "Index Cond: (idempotency_key = 'k'::text)" in plan


@contextmanager
def another_locale_version() -> Iterator[None]:
    """As after an update of the system under the database."""
    superuser = psycopg2.connect(database_url().replace(f"//{ROLE}@", "//postgres@"))
    superuser.autocommit = True
    with superuser.cursor() as cursor:
        cursor.execute("SELECT datcollversion FROM pg_database WHERE datname = current_database()")
        (before,) = cursor.fetchone()
        change = "UPDATE pg_database SET datcollversion = %s WHERE datname = current_database()"
        cursor.execute(change, ["2.28"])
        try:
            yield
        finally:
            cursor.execute(change, [before])
    superuser.close()


def test_a_locale_that_changed_under_the_database_is_named(world: World) -> None:
    give_credit(world.acme.row, world.acme.member.id, 1000)
    with another_locale_version():
        done = commands.run("reconcile", "--json")
        migrated = commands.run("migrate_schemas")
    report = json.loads(done.stdout)
    assert (done.returncode, report["clean"]) == (1, False)
    assert [fault["fault"] for fault in report["platform"]] == ["collation_changed"]
    assert migrated.returncode == 0
    assert "WARNING: the database" in migrated.stderr
    assert "REINDEX" in migrated.stderr
    assert commands.run("reconcile").returncode == 0
