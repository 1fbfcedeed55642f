"""Who gets a seat of a process, and who waits: sales are never kept from one by what takes longer."""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.signals import connection_created

from saas import gate, neighbours, seats
from saas.neighbours import Neighbours
from saas.seats import Kind, Seat, Seats, kind_of
from shared.errors import Unavailable
from shared.handlers import problem_of
from tests.support.waiting import wait_until

BUSY = neighbours.processors_are_busy
QUICK, USUAL, HEAVY = Kind.QUICK, Kind.USUAL, Kind.HEAVY


@pytest.mark.parametrize(
    ("request_line", "kind"),
    [
        ("POST /api/v1/recharges", QUICK),
        ("GET /api/v1/recharges", USUAL),
        ("GET /api/v1/recharges/01a21a76-cfda-7e49-b16f-8733c4ab0160", QUICK),
        ("POST /api/v1/recharges/bulk", HEAVY),
        ("POST /api/v1/recharges/validate", HEAVY),
        ("GET /api/v1/balance", QUICK),
        ("GET /api/v1/me", QUICK),
        ("POST /api/v1/auth/token", QUICK),
        ("POST /sign-in", QUICK),
        ("POST /sell/confirm", QUICK),
        ("GET /sellers", USUAL),
        ("GET /recharges", USUAL),
        ("GET /reports", HEAVY),
        ("GET /reports.csv", HEAVY),
        ("POST /bulk", HEAVY),
        ("POST /bulk/sell", HEAVY),
        ("GET /bulk/states", USUAL),
        ("GET /search", HEAVY),
        ("POST /periods/1405-07/close", HEAVY),
        ("GET /periods/1405-07/close", USUAL),
        ("POST /statements/new", HEAVY),
        ("GET /statements/new", USUAL),
        ("POST /api/v1/statements", HEAVY),
        ("GET /api/v1/statements", USUAL),
        ("GET /nothing", USUAL),
    ],
)
def test_each_request_is_of_a_kind(request_line: str, kind: Kind) -> None:
    method, path = request_line.split()
    assert kind_of({"REQUEST_METHOD": method, "PATH_INFO": path}) is kind


@pytest.mark.parametrize("host", ["acme.recharge.test", "ACME.recharge.test", "acme.recharge.test.:80"])
def test_an_organization_is_one_however_its_host_is_written(host: str) -> None:
    assert gate._organization_of({"HTTP_HOST": host}) == "acme.recharge.test"


class Room:
    """Seats, and those who ask for one, each in a thread of its own."""

    def __init__(self, count: int, pool: ThreadPoolExecutor) -> None:
        self.seats, self._pool = Seats(count, Neighbours()), pool

    def take(self, organization: str, kind: Kind) -> Seat:
        seat = self.seats.take(organization, kind)
        assert seat
        return seat

    def ask(self, organization: str, kind: Kind) -> Future[Seat | None]:
        """Who has to wait."""
        before = self.waiting()
        asked = self._pool.submit(self.seats.take, organization, kind)
        wait_until(lambda: self.waiting() > before, "it waits")
        return asked

    def waiting(self) -> int:
        return sum(map(len, list(self.seats._waiting.values())))

    def work_for(self, seconds: float, organization: str, kind: Kind) -> None:
        """As if it had been for so long."""
        seat = self.take(organization, kind)
        seat.began -= seconds
        self.seats.give(seat)


@contextmanager
def room(count: int) -> Iterator[Room]:
    with ThreadPoolExecutor(16) as pool:
        yield Room(count, pool)


def test_one_organization_works_at_one_heavy_request_and_on_half_of_the_seats() -> None:
    with room(4) as here:
        report = here.take("acme", HEAVY)
        second = here.ask("acme", HEAVY)
        page = here.take("acme", USUAL)
        third = here.ask("acme", USUAL)
        others = here.take("globex", HEAVY)
        sale = here.take("acme", QUICK)  # for which there is a seat all the same
        assert not any(one.done() for one in (second, third))
        here.seats.give(report)
        assert second.result(20)
        here.seats.give(page)
        assert third.result(20)
        for one in (others, sale):
            here.seats.give(one)


def test_one_seat_is_left_to_sales_whoever_asks_for_what() -> None:
    with room(4) as here:
        taken = [here.take("acme", USUAL), here.take("acme", USUAL), here.take("globex", USUAL)]
        waiting = here.ask("initech", USUAL)
        here.seats.give(here.take("initech", QUICK))
        assert not waiting.done()
        here.seats.give(taken[0])
        assert waiting.result(20)


def test_of_many_seats_most_are_for_sales_alone() -> None:
    with room(12) as here:
        taken = [here.take(f"heavy {number}", HEAVY) for number in range(2)]
        taken += [here.take(f"usual {number}", USUAL) for number in range(2)]
        waiting = [here.ask("initech", HEAVY), here.ask("umbrella", USUAL)]
        taken += [here.take("acme", QUICK) for _ in range(8)]
        assert not any(one.done() for one in waiting)
        for seat in taken[:2]:
            here.seats.give(seat)
        assert all(one.result(20) for one in waiting)


def test_organizations_are_called_in_turn() -> None:
    with room(1) as here:
        seat = here.take("acme", QUICK)
        greedy = [here.ask("acme", USUAL) for _ in range(3)]
        modest = here.ask("globex", QUICK)
        here.seats.give(seat)
        first = greedy[0].result(20)
        assert first
        here.seats.give(first)
        second = modest.result(20)  # before those that asked earlier, of whom one has had its turn
        assert second
        assert not greedy[1].done()
        here.seats.give(second)
        for one in greedy[1:]:
            next_one = one.result(20)
            assert next_one
            here.seats.give(next_one)
        assert here.take("acme", HEAVY)


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """A hundred times as many organizations are in use as fit on a connection, and a moment is long."""
    settings.ORGANIZATIONS_PER_CONNECTION = 10
    in_use(monkeypatch, 1000)
    monkeypatch.setattr(seats, "is_known_at", lambda host: host != "made-up")
    monkeypatch.setattr(seats, "PATIENCE_SECONDS", 5.0)


def in_use(monkeypatch: pytest.MonkeyPatch, hosts: int) -> None:
    monkeypatch.setattr(seats, "hosts_in_use", lambda: hosts)


def at_home(place: int, here: Room, count: int = 1) -> list[str]:
    """Organizations whose own order of the places begins at this one."""
    names = (f"organization {number}" for number in range(1000))
    return list(itertools.islice((name for name in names if here.seats._order(name)[0] == place), count))


@contextmanager
def nobody_waits() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seats.PATIENCE_SECONDS


@pytest.mark.usefixtures("crowded")
def test_an_organization_is_served_on_a_connection_that_knows_it() -> None:
    with room(4) as here:
        served: dict[str, set[int]] = {}
        for number in range(60):
            organization, kind = f"organization {number % 12}", (QUICK, USUAL, HEAVY)[number % 3]
            seat = here.take(organization, kind)
            served.setdefault(organization, set()).add(id(seat.connection))
            here.seats.give(seat)
        assert all(len(connections_of) == 1 for connections_of in served.values())
        assert len(set.union(*served.values())) == 4, "they do not all meet on one"


@pytest.mark.usefixtures("crowded")
def test_one_organization_has_as_many_seats_as_it_sells_on() -> None:
    with room(4) as here, nobody_waits():
        taken = [here.take("acme", QUICK) for _ in range(4)]
        assert len({seat.place for seat in taken}) == 4


@pytest.mark.usefixtures("crowded")
def test_a_sale_waits_a_moment_for_a_place_of_its_organization() -> None:
    with room(3) as here:
        first, second, third = at_home(1, here, 3)
        seat = here.take(first, QUICK)
        waiting = here.ask(second, QUICK)
        here.seats.give(here.take(at_home(0, here)[0], QUICK))  # with whom it has nothing to do
        assert not waiting.done()
        here.seats.give(seat)
        following = waiting.result(20)
        assert following
        assert following.place == 1
        with nobody_waits():
            assert here.take(third, USUAL).place == 2, "what takes longer does not wait for it"


@pytest.mark.usefixtures("crowded")
def test_the_fewer_are_in_use_the_more_places_each_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with room(4) as here:
        first, second, third, *others = at_home(1, here, 5)
        in_use(monkeypatch, 16)  # of 40 for whom there is room, 32 are filled
        with nobody_waits():
            taken = [here.take(first, QUICK), here.take(second, QUICK)]
        assert [seat.place for seat in taken] == [1, 2]
        waiting = here.ask(third, QUICK)
        in_use(monkeypatch, 10)  # all fit on each connection
        with nobody_waits():
            taken += [here.take(one, QUICK) for one in others]
        for seat in taken:
            here.seats.give(seat)
        assert waiting.result(20)


@pytest.mark.usefixtures("crowded")
def test_for_who_stays_long_nobody_waits() -> None:
    with room(4) as here, nobody_waits():
        first, second, third = at_home(1, here, 3)
        here.take(first, USUAL)
        assert here.take(second, QUICK).place == 2
        seat = here.take(at_home(3, here)[0], QUICK)
        seat.began -= 30  # it waits for a lock, say
        assert here.take(at_home(3, here, 2)[1], QUICK).place == 0
        here.seats.give(seat)
        assert here.take(third, USUAL).place == 3


@pytest.mark.usefixtures("crowded")
def test_a_host_that_is_made_up_has_no_place() -> None:
    with room(2) as here, nobody_waits():
        here.take(at_home(here.seats._order("made-up")[0], here)[0], QUICK)
        here.take("made-up", QUICK)


@pytest.mark.usefixtures("crowded")
def test_behind_a_pooler_of_transactions_nobody_waits(settings: Any) -> None:
    settings.DATABASE_POOLER = "transaction"
    with room(2) as here, nobody_waits():
        for organization in at_home(0, here, 2):
            here.take(organization, QUICK)


@pytest.mark.usefixtures("crowded")
def test_nobody_waits_for_longer_than_a_moment_while_a_seat_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "PATIENCE_SECONDS", 0.5)
    with room(2) as here:
        first, second = at_home(0, here, 2)
        here.take(first, QUICK)
        began = time.monotonic()
        assert here.take(second, QUICK).place == 1
        assert time.monotonic() - began >= 0.5


@pytest.mark.usefixtures("crowded")
def test_who_has_waited_a_moment_is_passed_over_by_sales_at_home_alone() -> None:
    with room(2) as here:
        (first, second), (third, fourth) = at_home(0, here, 2), at_home(1, here, 2)
        stays, goes = here.take(first, QUICK), here.take(third, QUICK)
        stranger = here.ask(second, QUICK)
        page = here.ask(fourth, USUAL)
        nobodys = here.ask("made-up", QUICK)
        sale = here.ask(fourth, QUICK)
        here.seats._waiting[second, QUICK][0].is_patient = False
        here.seats.give(goes)
        following = sale.result(20)
        assert following
        assert not stranger.done()
        here.seats.give(following)
        in_turn = [stranger, page, nobodys]
        while in_turn:
            following = in_turn.pop(0).result(20)
            assert following
            assert not any(one.done() for one in in_turn)
            here.seats.give(following)
        here.seats.give(stays)


@pytest.fixture
def long_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has sold sells for the whole test, and processors are busy, however it is on this machine."""
    monkeypatch.setattr(neighbours, "LATELY_SECONDS", 60)
    monkeypatch.setattr(neighbours, "processors_are_busy", lambda but=0: True)


@pytest.mark.usefixtures("long_lately")
@pytest.mark.parametrize(("kind", "times"), [(USUAL, neighbours.REST), (HEAVY, neighbours.REST_OF_HEAVY)])
def test_while_others_sell_long_work_rests(kind: Kind, times: float) -> None:
    with room(2) as here:
        here.seats.give(here.take("globex", QUICK))
        began = time.monotonic()
        here.work_for(0.1, "acme", kind)
        waiting = here.ask("acme", kind)
        for organization, another in (("initech", kind), ("globex", kind), ("acme", QUICK)):
            here.seats.give(here.take(organization, another))  # nobody else rests, nor do its own sales
        assert waiting.result(20)
        assert time.monotonic() - began >= 0.1 * times


@pytest.mark.usefixtures("long_lately")
def test_after_a_report_it_rests_longer_than_after_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_REST_SECONDS", 10**6)
    rests: list[float] = []
    with room(2) as here:
        rest_after = here.seats._neighbours.rest_after
        monkeypatch.setattr(
            here.seats._neighbours, "rest_after", lambda *of, **by: rests.append(rest_after(*of, **by)) or 0.0
        )
        here.seats.give(here.take("globex", QUICK))
        for kind in (USUAL, HEAVY):
            here.work_for(1000, "acme", kind)
    assert [round(rest, -2) for rest in rests] == [1000 * neighbours.REST, 1000 * neighbours.REST_OF_HEAVY]


@pytest.mark.usefixtures("long_lately")
def test_while_others_sell_pages_of_an_organization_come_one_by_one() -> None:
    with room(6) as here:
        for _ in range(2):
            here.take("acme", USUAL)  # nobody else sells yet
        here.seats.give(here.take("globex", QUICK))
        page = here.take("initech", USUAL)
        following = here.ask("initech", USUAL)
        report = here.take("initech", HEAVY)  # beside a page
        assert not following.done()
        here.seats.give(report)
        here.seats.give(page)
        assert following.result(20)


@pytest.mark.usefixtures("long_lately")
def test_a_page_that_takes_long_keeps_no_other_of_its_organization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "ONE_BY_ONE_SECONDS", 0.2)
    with room(6) as here:
        here.seats.give(here.take("globex", QUICK))
        here.take("acme", USUAL)
        assert here.ask("acme", USUAL).result(20)


@pytest.mark.usefixtures("long_lately")
def test_a_report_keeps_no_page_of_its_organization() -> None:
    with room(4) as here:
        here.seats.give(here.take("globex", QUICK))
        here.take("acme", HEAVY)
        here.take("acme", USUAL)


@pytest.mark.usefixtures("long_lately")
def test_nobody_rests_for_longer_than_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_REST_SECONDS", 0.01)
    with room(2) as here:
        here.seats.give(here.take("globex", QUICK))
        here.work_for(60, "acme", HEAVY)
        assert here.take("acme", HEAVY)


@pytest.mark.usefixtures("long_lately")
def test_a_short_rest_ends_before_a_long_one_that_began_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_REST_SECONDS", 60)
    with room(2) as here:
        here.seats.give(here.take("globex", QUICK))
        here.work_for(60, "acme", HEAVY)
        here.work_for(0, "initech", HEAVY)
        assert here.take("initech", HEAVY)


@pytest.mark.usefixtures("long_lately")
def test_where_no_thread_is_to_be_had_it_rests_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with room(2) as here:
        here.seats.give(here.take("globex", QUICK))
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            here.work_for(0.01, "acme", HEAVY)
        assert here.take("acme", HEAVY)


@pytest.mark.usefixtures("long_lately")
def test_where_there_are_processors_enough_nobody_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_REST_SECONDS", 60)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(2 * 10**6))
    monkeypatch.setattr(neighbours, "processors_are_busy", BUSY)
    with room(2) as here:
        here.seats.give(here.take("globex", QUICK))
        here.work_for(60, "acme", HEAVY)
        assert here.take("acme", HEAVY)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert BUSY()  # this thread wants one


@pytest.mark.usefixtures("long_lately")
def test_who_is_alone_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_REST_SECONDS", 60)
    with room(2) as here:
        here.seats.give(here.take("acme", QUICK))
        here.work_for(60, "acme", HEAVY)
        here.work_for(60, "acme", HEAVY)
        here.seats.give(here.take("globex", USUAL))  # which is no sale
        here.work_for(60, "acme", HEAVY)
        here.seats.give(here.take("globex", QUICK))
        monkeypatch.setattr(neighbours, "LATELY_SECONDS", 0)  # which was long ago
        here.work_for(60, "acme", HEAVY)
        assert here.take("acme", HEAVY)


@pytest.mark.usefixtures("long_lately")
def test_a_sale_that_another_process_takes_is_known() -> None:
    known = Neighbours()
    for organization in ("acme", "globex", "acme"):
        child = get_context("fork").Process(target=known.sells, args=(organization,))
        child.start()
        child.join()
    assert known.others_sell("acme")
    assert known.others_sell("globex")
    assert known.others_sell("initech")


@pytest.mark.usefixtures("long_lately")
def test_of_all_who_sold_the_last_two_are_known() -> None:
    known = Neighbours()
    assert not known.others_sell("acme")
    known.sells("acme")
    known.sells("acme")
    assert not known.others_sell("acme")
    assert known.others_sell("globex")
    known.sells("globex")
    known.sells("globex")
    assert known.others_sell("globex")


def test_nobody_waits_where_too_many_do_and_others_still_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "WAITING", 3)
    monkeypatch.setattr(seats, "WAITING_OF_ORGANIZATION", 2)
    with room(1) as here:
        seat = here.take("acme", QUICK)
        asked = [here.ask("acme", QUICK), here.ask("acme", USUAL)]
        assert here.seats.take("acme", QUICK) is None
        asked.append(here.ask("globex", QUICK))
        assert here.seats.take("initech", QUICK) is None
        assert here.seats._quick_of_one == {"acme": 2, "globex": 1}
        for one in asked:
            here.seats.give(seat)
            following = one.result(20)
            assert following
            seat = following


def test_who_has_waited_too_long_is_gone_and_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "TURN_SECONDS", seats.PATIENCE_SECONDS + 0.01)
    with room(1) as here:
        seat = here.take("acme", QUICK)
        for kind in (QUICK, USUAL):
            assert here.seats.take("globex", kind) is None
        assert here.waiting() == 0
        assert list(here.seats._quick_of_one) == ["acme"]
        here.seats.give(seat)
        assert here.take("globex", HEAVY)


def test_at_once_they_all_get_a_seat_and_no_seat_is_lost() -> None:
    """Whatever order they come in, at most as many work as there are seats, and in the end all seats are free."""
    here, working, most = Seats(3, Neighbours()), 0, 0
    lock = threading.Lock()

    def work(number: int) -> bool:
        nonlocal working, most
        seat = here.take(f"organization {number % 5}", (QUICK, USUAL, HEAVY)[number % 3])
        if seat is None:
            return False
        with lock:
            working += 1
            most = max(most, working)
        with lock:
            working -= 1
        here.give(seat)
        return True

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(work, range(3_000)))
    assert 1 <= most <= 3
    assert here._free == 3
    assert not here._waiting
    assert not any(here._taken.values())
    assert not here._quick_of_one
    wait_until(lambda: not here._taken_of_one, "all have rested")


def test_the_database_ends_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "STATEMENT_SECONDS", 0.05)
    seats.limit_statements()
    opened = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        with opened.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            assert cursor.fetchone()[0] == "50ms"
            with pytest.raises(OperationalError) as ended:
                cursor.execute("SELECT pg_sleep(20)")
    finally:
        connection_created.disconnect(seats._limit_statements)
        opened.close()
    problem = problem_of(ended.value)
    assert isinstance(problem, Unavailable)
    assert "takes longer" in problem.detail
