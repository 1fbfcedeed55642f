"""Organizations whose schemas stand still: somebody's session holds a table of theirs, or nothing in them ends. There
are as many as a worker has desks, and it delivers for the others all the same."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import psycopg2
import pytest
from django.db import connection
from psycopg2 import sql

from recharge.models import Attempt, Recharge
from recharge.reports.books import find_faults
from tenants.worker import DESKS
from tests.support import forking
from tests.support.locks import sell_through_operator
from tests.support.mobile_operator import MisbehavingOperator, operating
from tests.support.schemas import run_sql
from tests.support.waiting import wait_until
from tests.support.world import Organization, World, database_url, give_credit, make_organization
from tests.tenants.test_isolation import provisioned_slug

AMOUNT, CREDIT = 5_000, 100_000
"""Tomans."""

HANGS, ANSWERS = "09121234511", "09121234522"
"""Numbers: the operator tops up the first one, too, but does not answer."""


@pytest.fixture
def operator() -> Iterator[MisbehavingOperator]:
    with operating() as operator:
        operator.behave("succeed:hang", ending=HANGS[-2:])
        operator.behave(":answer", inquiries=True)
        yield operator


@pytest.fixture
def standing(world: World) -> list[Organization]:
    return [
        world.globex,
        *(make_organization(provisioned_slug(), world.platform.address) for _ in range(DESKS - 1)),
    ]


@contextmanager
def locked(organizations: list[Organization]) -> Iterator[None]:
    """A session that somebody forgot has locked a table of each."""
    with psycopg2.connect(database_url()) as holder, holder.cursor() as cursor:
        for organization in organizations:
            table = sql.Identifier(organization.row.schema_name, "recharge_recharge")
            cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
        yield
        holder.rollback()
    holder.close()


@contextmanager
def endless(organizations: list[Organization]) -> Iterator[None]:
    """Whatever changes a recharge takes an hour."""
    change = """
        CREATE FUNCTION endless() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_sleep(3600);
            RETURN NEW;
        END $$;
        CREATE TRIGGER endless BEFORE UPDATE ON recharge_recharge FOR EACH ROW EXECUTE FUNCTION endless();
    """
    with ExitStack() as undoing:
        for organization in organizations:
            schema = organization.row.schema_name
            run_sql(change, schema=schema)
            undoing.callback(run_sql, "DROP FUNCTION endless CASCADE", schema=schema)
        yield


@pytest.mark.parametrize("stand_still", [locked, endless])
def test_organizations_that_stand_still_keep_no_other_waiting(
    stand_still: Callable[[list[Organization]], AbstractContextManager[None]],
    world: World,
    operator: MisbehavingOperator,
    standing: list[Organization],
) -> None:
    for organization in (world.acme, *standing):
        sell_through_operator(organization.row, operator.url, read_timeout_ms=3000)
        give_credit(organization.row, organization.member.id, CREDIT)
    for organization in standing:
        for number in (HANGS, ANSWERS):
            assert organization.member.sell(AMOUNT, phone_number=number).status == 201
    environment = os.environ | {"ALLOW_PRIVATE_ADDRESSES": "on"}
    worker = forking.start(["deliver", "--lease", "5"], environment=environment, stdout=sys.__stderr__)
    try:
        wait_until(lambda: len(operator.records()) == 2 * DESKS, "calls of all are under way")
        with stand_still(standing):
            wait_until(lambda: waiting() >= DESKS, "a turn of each stands still", seconds=60)
            longest = 0.0
            for count in range(1, 11):
                began = time.monotonic()
                assert world.acme.member.sell(AMOUNT, phone_number=ANSWERS).status == 201
                wait_until(lambda count=count: delivered(world.acme) == count, "another's is delivered", seconds=60)
                longest = max(longest, time.monotonic() - began)
            print(f"\nbeside {DESKS} organizations that stand still, a delivery took {longest:.2f} s at most")
        for organization in standing:
            wait_until(lambda one=organization: delivered(one) == 2, "theirs are delivered when they may", seconds=60)
    finally:
        worker.terminate()
        assert worker.wait(60) == 0
    assert operator.complaints() == []
    assert {record.effects for record in operator.records().values()} == {1}
    assert len(operator.records()) == 2 * DESKS + 10
    for organization in (world.acme, *standing):
        count = 10 if organization is world.acme else 2
        assert organization.member.balance() == CREDIT - count * AMOUNT
        with organization.context:
            assert find_faults() == []
            submitted = Attempt.objects.filter(action="submit").values_list("recharge_id", flat=True)
            assert set(Counter(submitted).values()) == {1}  # what was known was not sent again


def waiting() -> int:
    """How many statements of others wait for a lock, or sleep."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
            " AND (wait_event_type = 'Lock' OR wait_event = 'PgSleep')"
        )
        count: int = cursor.fetchone()[0]
        return count


def delivered(organization: Organization) -> int:
    with organization.context:
        return Recharge.objects.filter(status="succeeded").count()
