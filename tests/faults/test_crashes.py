"""Processes that die in the middle: what was answered is there; what was not is whole or not there, and sending it
again with the same key tells which."""

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg2
import pytest
import urllib3
from django.db import connection

from credit.models import Entry
from recharge.models import Recharge
from saas import embedded
from saas.demo_clients import Api
from tests.support.installations import directory, environment_of, manage, start, superuser_of
from tests.support.pair import crash
from tests.support.selling import Selling
from tests.support.server import Server, serving
from tests.support.waiting import wait_until
from tests.support.world import Organization, World, database_url, give_credit


class Gate:
    """Stops every sale of acme between its debit and its recharge, for as long as it is shut."""

    def __init__(self) -> None:
        self._holder = psycopg2.connect(database_url())
        self._holder.autocommit = True

    def shut(self) -> None:
        self._run("SELECT pg_advisory_lock(42)")

    def open(self) -> None:
        self._run("SELECT pg_advisory_unlock_all()")

    def waiting(self) -> list[int]:
        """The database's processes that stand before the gate."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted"
                " AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
            )
            return [pid for (pid,) in cursor.fetchall()]

    def kill_who_waits(self) -> int:
        """Waits until somebody stands before the gate, and ends that process of the database."""
        wait_until(lambda: bool(self.waiting()), "a sale stands before the gate")
        (pid,) = self.waiting()
        self._run(f"SELECT pg_terminate_backend({pid})")
        wait_until(lambda: pid not in self.waiting(), "it is gone")
        return pid

    def close(self) -> None:
        self._holder.close()

    def _run(self, statement: str) -> None:
        with self._holder.cursor() as cursor:
            cursor.execute(statement)


@pytest.fixture
def gate(world: World) -> Iterator[Gate]:
    # A thread whose connection a test before has ended would repeat its sale for that, and it is repeated once.
    for _ in range(20):
        assert world.acme.owner.client.get("/sellers").status == 200
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE FUNCTION org_acme.gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
            BEGIN
                PERFORM pg_advisory_xact_lock_shared(42);
                RETURN NEW;
            END;
            $$;
            CREATE TRIGGER gate BEFORE INSERT ON org_acme.recharge_recharge
            FOR EACH ROW EXECUTE FUNCTION org_acme.gate();
            """
        )
    gate = Gate()
    gate.shut()
    yield gate
    gate.close()
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION org_acme.gate() CASCADE")


def counts(organization: Organization) -> tuple[int, int]:
    """Recharges, and entries that pay for one."""
    with organization.context:
        return Recharge.objects.count(), Entry.objects.filter(kind="recharge").count()


def test_a_sale_killed_between_its_statements_leaves_nothing(world: World, gate: Gate) -> None:
    """Its database process is killed after the debit, and so is the one that repeats it."""
    member = world.acme.member
    give_credit(world.acme.row, member.id, 5000)
    with ThreadPoolExecutor(1) as pool:
        sale = pool.submit(member.sell, 5000, key="k")
        first = gate.kill_who_waits()
        second = gate.kill_who_waits()
        answer = sale.result(20)
    assert first != second
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "Retry-After" in answer.headers
    assert counts(world.acme) == (0, 0)
    assert member.balance() == 5000

    gate.open()
    assert member.sell(5000, key="k").status == 201
    assert counts(world.acme) == (1, 1)
    assert member.balance() == 0


def test_a_connection_that_dies_under_a_sale_costs_the_client_nothing(world: World, gate: Gate) -> None:
    """The sale is repeated on a new connection, under the same key, and happens once."""
    member = world.acme.member
    give_credit(world.acme.row, member.id, 10_000)
    with ThreadPoolExecutor(1) as pool:
        sale = pool.submit(member.sell, 5000, key="k")
        gate.kill_who_waits()
        wait_until(lambda: bool(gate.waiting()), "it is repeated")
        gate.open()
        assert sale.result(20).status == 201
    assert counts(world.acme) == (1, 1)
    assert member.balance() == 5000


def test_idle_connections_that_die_are_not_noticed(world: World) -> None:
    """As after a restart of the database: every thread of the server finds its connection dead."""
    member = world.acme.member
    give_credit(world.acme.row, member.id, 100_000)
    with ThreadPoolExecutor(8) as pool:
        assert {answer.status for answer in pool.map(lambda _: member.sell(100), range(40))} == {201}
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' "
                "AND datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert cursor.fetchone()[0] > 0
        answers = list(pool.map(lambda _: member.sell(100), range(40)))
    assert {answer.status for answer in answers} == {201}
    assert member.balance() == 100_000 - 80 * 100


def test_a_client_that_hangs_up_finds_its_sale_whole_or_not_there(world: World) -> None:
    member = world.acme.member
    give_credit(world.acme.row, member.id, 100_000)
    host, port = member.client.address.split(":")
    body = b'{"phone_number": "09121234567", "amount": 1000}'
    for number in range(20):
        head = (
            f"POST /api/v1/recharges HTTP/1.1\r\nHost: {member.client.host}\r\nAuthorization: Bearer "
            f"{member.client.token}\r\nIdempotency-Key: k{number}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((host, int(port))) as client:
            client.sendall(head.encode() + body)
    answers = [member.sell(1000, key=f"k{number}") for number in range(20)]
    assert {answer.status for answer in answers} <= {200, 201}
    assert counts(world.acme) == (20, 20)
    assert member.balance() == 80_000


@pytest.fixture
def server_of_one_process(django_db_setup: None, tmp_path: Path) -> Iterator[Server]:
    """Started before there is a gate: with a trigger that is none of ours, a schema is not ready."""
    with serving(tmp_path / "log", workers=1) as server:
        yield server


def test_a_web_process_killed_in_the_middle_of_a_sale_leaves_it_whole_or_not_there(
    world: World, server_of_one_process: Server, gate: Gate
) -> None:
    member = world.acme.member
    give_credit(world.acme.row, member.id, 10_000)
    server = server_of_one_process
    with ThreadPoolExecutor(1) as pool:
        api = partial(urllib3.request, "POST", f"http://{server.address}/api/v1/recharges", retries=False)
        headers = {
            "Host": member.client.host,
            "Authorization": f"Bearer {member.client.token}",
            "Idempotency-Key": "k",
            "Content-Type": "application/json",
        }
        body = b'{"phone_number": "09121234567", "amount": 5000}'
        sale = pool.submit(api, headers=headers, body=body)
        wait_until(lambda: bool(gate.waiting()), "the sale stands before the gate")
        (worker,) = server.worker_pids()
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(urllib3.exceptions.HTTPError):
            sale.result(20)
        gate.open()
        status, answer = Api(server.address, member.client.host, member.client.token).call(
            "POST", "/recharges", {"phone_number": "09121234567", "amount": 5000}, key="k"
        )
    assert status in (200, 201)
    assert answer["balance_after"] == 5000
    assert counts(world.acme) == (1, 1)
    assert member.balance() == 5000


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.long)])
def test_processes_killed_under_load_sell_each_key_once(kills: int, tmp_path: Path) -> None:
    """Web processes and the delivery worker in turn; others take their places."""
    with (
        directory(installed=True) as data,
        serving(tmp_path / "log", workers=2, environment=environment_of(data), delivery=True) as server,
    ):
        selling = Selling.at(server)
        with selling.running():
            for number in range(kills):
                pids = server.worker_pids if number % 2 else server.delivery_pids
                wait_until(lambda pids=pids: bool(pids()), "somebody is there to be killed", seconds=60)
                os.kill(pids()[0], signal.SIGKILL)
                selling.wait_for_more(30)
        selling.check(f"{kills} kill -9", superuser_of(data))
        manage(data, "reconcile")


def test_a_database_that_crashes_under_load_loses_nothing_it_answered(tmp_path: Path) -> None:
    """An embedded database of its own; it is stopped as a power cut would stop it, and started again."""
    with (
        directory(installed=True) as data,
        serving(tmp_path / "log", environment=environment_of(data)) as server,
    ):
        selling = Selling.at(server)
        with selling.running():
            selling.wait_for_more(100)
            crash(embedded._Cluster(data))
            start(data)
            selling.wait_for_more(100)
        selling.check("a database that crashed", superuser_of(data))
        log = (data / "postgres.log").read_text()
        assert "database system was not properly shut down; automatic recovery in progress" in log
        manage(data, "reconcile")
