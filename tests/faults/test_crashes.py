"""Processes that die in the middle: what was answered is there; what was not is whole or not there, and sending it
again with the same key tells which."""

import os
import signal
import socket
import threading
import uuid
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
from saas.demo_clients import Api
from tests.support import forking
from tests.support.installations import directory, environment_of
from tests.support.server import Server, serving
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Organization, World, database_url, give_credit


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


KILLS = 4
"""Web processes that are killed; each respawn takes seconds. (50 of them lost and doubled nothing, too.)"""


def test_web_processes_killed_under_load_sell_each_key_once(world: World, tmp_path: Path) -> None:
    people = [world.acme.member, world.acme.neighbour, world.globex.member]
    each = 50 * KILLS
    for person in people:
        give_credit(person.row, person.id, each * 1000)
    with serving(tmp_path / "log", workers=2) as server:
        killed: list[int] = []

        def kill() -> None:
            killed.append(next(pid for pid in server.worker_pids() if pid not in killed))
            os.kill(killed[-1], signal.SIGKILL)

        answers = sell_all(
            [(Api(server.address, person.client.host, person.client.token), each) for person in people],
            after={30 * number: kill for number in range(1, KILLS + 1)},
        )
    assert len(killed) == KILLS
    assert {status for status, _ in answers} <= {200, 201}
    assert len({answer["id"] for _, answer in answers}) == 3 * each
    assert [person.balance() for person in people] == [0, 0, 0]


def test_a_database_that_crashes_under_load_loses_nothing_it_answered(tmp_path: Path) -> None:
    """An embedded database of its own; it is stopped as a power cut would stop it, and started again."""
    with (
        directory(installed=True) as data,
        serving(tmp_path / "log", environment=environment_of(data)) as server,
    ):
        sellers = signed_up_sellers(server, 3, credit=100 * 1000)

        def crash() -> None:
            postmaster = int((data / "postgres" / "postmaster.pid").read_text().split()[0])
            os.kill(postmaster, signal.SIGQUIT)  # "immediate": no checkpoint, no farewell; the log must be replayed
            wait_until(lambda: not Path(f"/proc/{postmaster}").exists(), "the database is down")
            manage("check")  # any command starts it again

        def manage(command: str) -> None:
            process = forking.start([command], environment=environment_of(data))
            _, errors = process.communicate()
            assert process.returncode == 0, errors

        answers = sell_all([(seller, 100) for seller in sellers], after={100: crash})
        assert {status for status, _ in answers} <= {200, 201}
        assert len({answer["id"] for _, answer in answers}) == 300
        assert [seller.call("GET", "/balance")[1]["balance"] for seller in sellers] == [0, 0, 0]
        log = (data / "postgres.log").read_text()
        assert "database system was not properly shut down; automatic recovery in progress" in log
        manage("reconcile")


def signed_up_sellers(server: Server, count: int, credit: int) -> list[Api]:
    """Sellers with credit, made over HTTP."""

    def signed_in(username: str) -> Api:
        credentials = {"username": username, "password": PASSWORD}
        _, pair = Api(server.address, "acme.localhost").call("POST", "/auth/token", credentials)
        return Api(server.address, "acme.localhost", pair["access"])

    owner = signed_in("admin")
    sellers = []
    for number in range(count):
        username = f"seller{number}"
        owner.call("POST", "/sellers", {"name": username, "username": username, "password": PASSWORD})
        seller = signed_in(username)
        _, request = seller.call("POST", "/credit-requests", {"amount": credit}, key="k")
        owner.call("POST", f"/credit-requests/{request['id']}/approve")
        sellers.append(seller)
    return sellers


def sell_all(sellers: list[tuple[Api, int]], after: dict[int, object]) -> list[tuple[int, dict[str, object]]]:
    """Each seller sells so many times for 1,000 Tomans, all at once, each sale repeated until it is answered; what is
    in ``after`` happens when that many were answered."""
    lock, done = threading.Lock(), 0

    def sell(seller: Api) -> tuple[int, dict[str, object]]:
        nonlocal done
        answer = seller.call(
            "POST", "/recharges", {"phone_number": "09121234567", "amount": 1000}, key=uuid.uuid4().hex
        )
        with lock:
            done += 1
            action = after.get(done)
        if action:
            action()
        return answer

    jobs = [seller for seller, times in sellers for _ in range(times)]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(sell, jobs[::3] + jobs[1::3] + jobs[2::3]))
