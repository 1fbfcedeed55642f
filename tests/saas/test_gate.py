"""Readers that stand still, and a database that stands still, leave the server to the others."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3
from django.db import connection

from saas import gate
from saas.neighbours import Neighbours
from shared.identity import hashing
from tests.support.client import Client, keep_no_connections
from tests.support.history import sell_many
from tests.support.installations import directory, environment_of
from tests.support.prometheus import Scraped
from tests.support.server import Server, free_port, serving
from tests.support.visitor import Visitor
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Person, World, give_credit

pytestmark = pytest.mark.slow

ROWS = 40_000
"""Of a CSV file that no buffer between the two holds."""


@contextmanager
def serving_with_two_threads(log: Path) -> Iterator[Server]:
    """A server of one process with two threads: what holds a thread is felt at once."""
    with serving(log, workers=1, threads=2, environment=os.environ | {"TRUSTED_PROXIES": "1"}) as server:
        yield server
        keep_no_connections()


@pytest.fixture(scope="module")
def small(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_with_two_threads(tmp_path_factory.mktemp("small") / "log") as server:
        yield server


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """One that nobody has asked for anything yet."""
    with serving_with_two_threads(tmp_path / "log") as server:
        yield server


@contextmanager
def download(client: Client, path: str, room: int = 4096) -> Iterator[socket.socket]:
    """One that has been asked for, and whose answer nobody reads yet."""
    host, _, port = client.address.partition(":")
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        opened.settimeout(60)
        opened.connect((host, int(port)))
        opened.sendall(
            f"GET /api/v1{path} HTTP/1.1\r\nHost: {client.host}\r\nAuthorization: Bearer {client.token}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        yield opened


def test_readers_that_stand_still_hold_up_nobody_else(small: Server) -> None:
    world = World.build(small.address)
    sell_many(world.acme.row, world.acme.member.id, ROWS)
    give_credit(world.globex.row, world.globex.member.id, 10_000)
    member = world.acme.member.client
    with ExitStack() as stopped:
        # One after the other: each has been answered, and reads no more, before the next one asks. What asks at once
        # waits for a seat, and on a busy machine some would wait in vain.
        firsts = [stopped.enter_context(download(member, "/recharges.csv")).recv(12) for _ in range(17)]
        assert firsts == [b"HTTP/1.1 200"] * 16 + [b"HTTP/1.1 503"]
        assert world.globex.member.client.get("/livez").status == 200
        assert world.globex.member.client.get("/readyz").status == 200
        assert world.globex.member.sell(5000).status == 201
        assert world.globex.owner.client.get("/recharges.csv").status == 200
        assert world.acme.neighbour.client.get("/recharges.csv").status == 200
        refused = member.get("/recharges.csv")
        assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "unavailable", "1")
    # Those who have gone take nobody's share.
    wait_until(lambda: member.get("/recharges.csv?operator=irancell").status == 200, "they are gone")


def test_who_sends_slowly_holds_up_nobody_else(small: Server) -> None:
    world = World.build(small.address)
    give_credit(world.acme.row, world.acme.member.id, 50_000)
    body = b'{"phone_number": "09121234567", "amount": 5000}'
    with ExitStack() as stopped:
        begun = [stopped.enter_context(sale(world.acme.member.client, body, f"slow-{number}")) for number in range(6)]
        for one in begun:
            one.sendall(body[:20])
        assert world.globex.owner.client.get("/settings").status == 200
        assert world.acme.member.sell(5000).status == 201
        for one in begun:
            one.sendall(body[20:])
            assert one.recv(12) == b"HTTP/1.1 201"
    assert world.acme.member.balance() == 50_000 - 7 * 5000


def test_a_stranger_who_sends_nothing_on_many_connections_holds_up_nobody_else(small: Server) -> None:
    world = World.build(small.address)
    body = b'{"phone_number": "09121234567", "amount": 5000}'
    own = {"X-Forwarded-For": "192.0.2.7"}
    with ExitStack() as stopped:
        begun = [stopped.enter_context(sale(world.acme.anyone, body, "k", "192.0.2.66")) for _ in range(100)]
        # Beyond sixteen of one address they are refused, and so are not waited for.
        refused = len(begun) - gate.SENDERS_OF_ADDRESS
        wait_until(lambda: len(select.select(begun, [], [], 0)[0]) == refused, "all others are answered")
        assert {one.recv(12) for one in select.select(begun, [], [], 0)[0]} == {b"HTTP/1.1 503"}
        credentials = {"username": "owner", "password": PASSWORD}
        assert world.acme.anyone.post("/auth/token", credentials, headers=own).status == 200
        assert world.acme.owner.client.get("/settings").status == 200


def test_who_works_shares_few_connections_to_the_database(fresh: Server) -> None:
    world = World.build(fresh.address)
    give_credit(world.acme.row, world.acme.member.id, 200 * 10)
    before = connections_open()
    with ThreadPoolExecutor(20) as threads:
        statuses = list(threads.map(lambda _: world.acme.member.sell(10).status, range(200)))
    assert statuses == [201] * 200
    assert connections_open() - before <= 2
    assert world.acme.member.balance() == 0


def connections_open() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])


def test_each_organization_has_its_turn_at_the_exports() -> None:
    turns, order, is_begun, may_go_on = gate._Turns(1, "turns"), [], threading.Event(), threading.Event()
    turns.submit("first", lambda: (is_begun.set(), may_go_on.wait(20)))
    assert is_begun.wait(20)
    asked = [turns.submit("greedy", order.append, f"greedy {number}") for number in range(5)]
    asked += [turns.submit("modest", order.append, "modest")]
    may_go_on.set()
    for one in asked:
        one.result(20)
    assert order == ["greedy 0", "modest", *(f"greedy {number}" for number in range(1, 5))]


def test_not_all_threads_work_for_one_organization() -> None:
    turns, may_go_on, begun = gate._Turns(2, "turns"), threading.Event(), []

    def work() -> None:
        begun.append("greedy")
        assert may_go_on.wait(20)

    asked = [turns.submit("greedy", work) for _ in range(3)]
    try:
        for _ in range(3):
            turns.submit("modest", lambda: None).result(20)
        assert begun == ["greedy"]
    finally:
        may_go_on.set()
    for one in asked:
        one.result(20)


def test_what_waits_when_the_threads_are_to_end_has_its_turn_still() -> None:
    turns, may_go_on = gate._Turns(2, "turns"), threading.Event()
    asked = [turns.submit("greedy", may_go_on.wait, 20) for _ in range(4)]
    asked[1].cancel()
    turns.submit("modest", lambda: None).result(20)  # whoever came for the others has found that none may begin
    turns._pool.shutdown(wait=False)
    may_go_on.set()
    assert [one.result(20) for one in asked if not one.cancelled()] == [True] * 3
    assert not turns._under_way


def test_an_error_in_its_turn_is_told_to_who_waits() -> None:
    with pytest.raises(ZeroDivisionError):
        gate._Turns(1, "turns").submit("acme", lambda: 1 // 0).result(20)


def test_a_request_that_is_cut_off_is_not_taken_for_the_whole(small: Server) -> None:
    world = World.build(small.address)
    give_credit(world.acme.row, world.acme.member.id, 50_000)
    body = b'{"phone_number": "09121234567", "amount": 5000}'
    with sale(world.acme.member.client, body + b"  ", "cut-off") as cut:
        cut.sendall(body)
        cut.shutdown(socket.SHUT_WR)
        assert b" 201 " not in cut.recv(1000)
    assert world.acme.member.balance() == 50_000


@contextmanager
def sale(client: Client, body: bytes, key: str, address: str = "192.0.2.1") -> Iterator[socket.socket]:
    """One whose body is still to be sent."""
    host, _, port = client.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as opened:
        opened.sendall(
            f"POST /api/v1/recharges HTTP/1.1\r\nHost: {client.host}\r\nAuthorization: Bearer {client.token}\r\n"
            f"X-Forwarded-For: {address}\r\nIdempotency-Key: {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        yield opened


def test_a_slow_reader_gets_the_whole_file(small: Server) -> None:
    world = World.build(small.address)
    sell_many(world.acme.row, world.acme.member.id, 20_000)
    received = b""
    with download(world.acme.member.client, "/recharges.csv", room=65536) as reading:
        while piece := reading.recv(2048):
            received += piece
    assert received.count(b",mci,") == 20_000
    assert b"broke off" not in received
    assert received.endswith(b"0\r\n\r\n")


def test_one_who_asks_for_workbooks_again_and_again_keeps_no_other_from_theirs(small: Server) -> None:
    world = World.build(small.address)
    sell_many(world.acme.row, world.acme.member.id, 5_000)
    is_over = threading.Event()

    def loop(person: Person) -> list[int]:
        visitor, statuses = Visitor.signed_in(person), []
        while not is_over.is_set():
            statuses.append(visitor.get("/ledger.xlsx").status)
        return statuses

    with ThreadPoolExecutor(3) as threads:
        loops = [threads.submit(loop, world.acme.member) for _ in range(3)]
        try:
            others = [Visitor.signed_in(person) for person in (world.globex.owner, world.acme.owner)]
            assert [visitor.get("/ledger.xlsx").status for visitor in others * 2] == [200] * 4
        finally:
            is_over.set()
        statuses = [status for one in loops for status in one.result()]
    assert set(statuses) == {200, 503}


@contextmanager
def standing_still(postmaster: psutil.Process) -> Iterator[None]:
    """While this lasts, nothing of this PostgreSQL runs."""
    processes = [*postmaster.children(), postmaster]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def test_it_is_alive_while_the_database_stands_still(tmp_path: Path) -> None:
    with (
        directory(installed=True) as data,
        serving(tmp_path / "log", workers=1, threads=2, environment=environment_of(data), wait=False) as server,
    ):
        client = Client(server.address, "localhost")
        wait_until(lambda: is_ready(client), "it is ready", seconds=120)
        credentials = {"username": "nobody", "password": "correct horse battery"}
        postmaster = psutil.Process(int((data / "postgres" / "postmaster.pid").read_text().split()[0]))
        with ThreadPoolExecutor(21) as threads:
            with standing_still(postmaster):
                began = time.monotonic()
                assert client.get("/readyz").status == 503
                assert time.monotonic() - began < gate.TURN_SECONDS, "who asks that waits for no turn"
                asked = [threads.submit(client.post, "/auth/token", credentials) for _ in range(20)]
                readiness = threads.submit(client.get, "/readyz")
                # Those whose turn doesn't come are refused: by then the two threads wait for the database.
                wait_until(lambda: any(one.done() for one in asked), "one is refused", seconds=60)
                for _ in range(5):
                    assert client.get("/livez").status == 200
                assert readiness.result().status == 503
                assert [one.result().status for one in asked if one.done()].count(503) >= 1
            for one in asked:
                assert one.result().status in (401, 429, 503)
        wait_until(lambda: is_ready(client), "it is ready again")


def is_ready(client: Client) -> bool:
    try:
        return client.get("/readyz").status == 200
    except urllib3.exceptions.HTTPError:  # it does not listen yet
        return False


def test_a_dozen_strangers_at_the_doors_leave_seats_for_sales(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one password is looked at (here, for ever), two wait; the others are refused at once, and sales go on."""
    from saas.wsgi import application, at_once

    monkeypatch.setattr(hashing, "LONGEST_WAIT", 60.0)
    monkeypatch.setattr(hashing.turns, "places", hashing.MOST_WAITING)
    seats = 5
    hashing.leave_seats(seats)
    seller = world.globex.member
    give_credit(world.globex.row, seller.id, 20 * 5000)

    def ask(host: str, path: str, body: dict[str, Any], **headers: str) -> tuple[str, dict[str, str], Any]:
        content, answered = json.dumps(body).encode(), []
        environ = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": f"/api/v1{path}",
            "QUERY_STRING": "",
            "SERVER_NAME": host,
            "SERVER_PORT": "80",
            "HTTP_HOST": host,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(content)),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(content),
            **headers,
        }
        answer = b"".join(gated(environ, lambda status, headers: answered.extend((status, dict(headers)))))
        status, received = answered
        return status, received, json.loads(answer)

    def guess(number: int) -> tuple[str, dict[str, str], Any]:
        body = {"username": f"made-up-{number}", "password": "wrong"}
        return ask(world.acme.host, "/auth/token", body, REMOTE_ADDR=f"203.0.113.{number}")

    gated = gate.Gate(application, at_once, Neighbours(), seats=seats)
    connections_of_seats = list(gated._seats._connections)
    try:
        hashing.turns.take(patience=0, is_known=False)
        with ThreadPoolExecutor(12) as threads:
            try:
                guesses = [threads.submit(guess, number) for number in range(12)]
                wait_until(lambda: sum(one.done() for one in guesses) == 10, "all but two are answered")
                assert hashing.turns.waiting == 2
                for number in range(20):
                    key = {"HTTP_IDEMPOTENCY_KEY": f"k{number}", "HTTP_AUTHORIZATION": f"Bearer {seller.client.token}"}
                    sale = {"phone_number": "09121234567", "amount": 5000}
                    assert ask(world.globex.host, "/recharges", sale, **key)[0] == "201 Created"
                assert hashing.turns.waiting == 2  # they are still there
            finally:
                hashing.turns.give()
        answers = [one.result() for one in guesses]
    finally:
        for one in connections_of_seats:
            one.close()
    assert sorted(status for status, _, _ in answers) == ["401 Unauthorized"] * 2 + ["503 Service Unavailable"] * 10
    for status, headers, problem in answers:
        if status.startswith("503"):
            assert (problem["code"], headers["Retry-After"]) == ("unavailable", "1")


def test_one_rests_while_others_sell_at_another_process(django_db_setup: None, tmp_path: Path) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    environment = os.environ | {"METRICS_LISTEN": metrics}
    with serving(tmp_path / "log", workers=2, environment=environment) as server, busy(), ExitStack() as kept:
        connections_of: dict[int, http.client.HTTPConnection] = {}

        def has_one_to_each() -> bool:
            opened = http.client.HTTPConnection(server.address, timeout=60)
            kept.callback(opened.close)
            said(opened, "/livez")
            connections_of[process_at(opened, server)] = opened
            return len(connections_of) == 2

        def has_waited() -> bool:
            said(seller, "/api/v1/balance", host="globex.recharge.test")
            for _ in range(2):  # which waits for itself alone
                said(other, "/search", host="acme.recharge.test")
            return Scraped(metrics).sum("recharge_http_wait_seconds_count", kind="heavy", served="yes") > 0

        wait_until(has_one_to_each, "there is a connection to each process")
        seller, other = connections_of.values()
        wait_until(has_waited, "the second one of acme's had to wait")


@contextmanager
def busy() -> Iterator[None]:
    """Each processor has work."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for one in burning:
            one.kill()
            one.wait()


def said(opened: http.client.HTTPConnection, path: str, host: str = "recharge.test") -> None:
    opened.request("GET", path, headers={"Host": host})
    opened.getresponse().read()


def process_at(opened: http.client.HTTPConnection, server: Server) -> int:
    """The web process that has this connection."""
    port = opened.sock.getsockname()[1]
    (process,) = (
        pid
        for pid in server.worker_pids()
        for one in psutil.Process(pid).net_connections("tcp")
        if one.raddr and one.raddr.port == port
    )
    return process
