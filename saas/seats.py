"""Who works in a process: few requests at a time, each on a seat, which has a database connection.

Sales are what everybody waits for, and take a millisecond. A report may take seconds. So requests are of three kinds,
and what takes longer has fewer seats: no organization keeps the others from a seat, nor its own sellers, by what it
asks for at once. Those who wait are called by organization in turn, so whoever asks for much waits for itself. And
while others sell, an organization's pages come one by one, since two of them would keep the interpreter from a sale for
twice as long; and on a busy machine its long work rests between two turns.

A connection keeps what PostgreSQL has read of each organization that was served on it, which takes longer than a sale,
and is closed when it has too many. Where all that are in use fit on each connection, any seat is as good as another.
Where they don't, each organization has its own places: so many of the first in an order that begins for each at another
place that all fit, and as many as it has sales under way. A sale waits a moment for one of its own, though others are
free.
"""

import enum
import heapq
import re
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.signals import connection_created

from saas.neighbours import REST, REST_OF_HEAVY, Neighbours
from shared.database import set_parameter
from shared.metrics import Load, count_wait
from tenants.routing import hosts_in_use, is_known_at

TURN_SECONDS = 10.0
"""How long a request waits for its turn before it is answered 503."""

STATEMENT_SECONDS = 60
"""How long a statement of a web process may take, and how long a transaction may stand still in it. The money functions
wait far shorter; what takes longer is for a command, or for a shorter period."""

WAITING = 224
"""Requests of a process that may wait for their turn; one more is answered 503 at once."""

WAITING_OF_ORGANIZATION = 160
"""Those of one organization."""

MOST_USUAL = 4
"""Seats of a process on which is worked at pages, lists and reports, however many it has: they take turns at the
interpreter. The others are for sales, which mostly wait for the database."""

MOST_HEAVY = 2
"""Of those, the ones on which is worked at reports and bulk sales."""

PATIENCE_SECONDS = 0.05
"""How long a sale waits for a place of its organization while others are free, and who sits there may go on. That is
longer than it takes to read what a sale needs, but what it would take elsewhere is another one's room."""

ONE_BY_ONE_SECONDS = 1.0
"""A page that takes longer keeps no other of its organization: it mostly waits for the database."""

FILLED = 0.8
"""How much of the room of all connections is given to organizations as their own; the rest is for those that come for a
moment."""


class Kind(enum.Enum):
    """How long a request may take."""

    QUICK = enum.auto()
    """A sale, a balance, the state of a recharge: some milliseconds. Signing in, too: how many wait there is limited
    where passwords are looked at (shared/identity/hashing.py)."""
    USUAL = enum.auto()
    """A page or a list: some dozens of them."""
    HEAVY = enum.auto()
    """What adds up or writes thousands of rows: a report, a bulk sale, a search."""


_HEAVY = re.compile(
    r"/(?:reports(?:\.csv)?|bulk(?:/sell)?|search|periods|api/v1/(?:periods|recharges/(?:bulk|validate)))$"
)
_HEAVY_WHEN_POSTED = re.compile(r"/(?:periods/[^/]+/close|statements/new|api/v1/statements)$")
_QUICK = re.compile(r"/sell(?:/|$)|/sign-in|/api/v1/(?:auth/|balance$|me$|recharges/)")


def kind_of(environ: Mapping[str, Any]) -> Kind:
    """The kind of a WSGI request, by its path."""
    path, is_posted = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"] == "POST"
    if path == "/api/v1/recharges":
        return Kind.QUICK if is_posted else Kind.USUAL
    if _HEAVY.match(path) or (is_posted and _HEAVY_WHEN_POSTED.match(path)):
        return Kind.HEAVY
    return Kind.QUICK if _QUICK.match(path) else Kind.USUAL


def limit_statements() -> None:
    """From now on, on each connection that this process opens, the database ends what takes too long."""
    connection_created.connect(_limit_statements)


def _limit_statements(connection: Any, **_: Any) -> None:
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        set_parameter(connection, name, f"{STATEMENT_SECONDS}s")


@dataclass(slots=True)
class Seat:
    """A thread that has one has its database connection."""

    place: int
    connection: Any
    organization: str
    kind: Kind
    began: float
    """By :func:`time.monotonic`."""


class _Waiting:
    """A thread that has no seat yet."""

    __slots__ = ("is_called", "is_patient", "seat")

    def __init__(self) -> None:
        self.seat: Seat | None = None
        self.is_patient = True
        self.is_called = threading.Lock()
        self.is_called.acquire()


class Seats:
    """So many; :meth:`take` gives one and :meth:`give` takes it back."""

    def __init__(self, count: int, neighbours: Neighbours) -> None:
        self._lock = threading.Lock()
        self._count = count
        self._neighbours = neighbours
        self._connections = [connections.create_connection(DEFAULT_DB_ALIAS) for _ in range(count)]
        """Django's, which open when they are used."""
        for connection in self._connections:
            connection.inc_thread_sharing()  # by one thread after another
        self._places: list[Seat | None] = [None] * count
        """Who sits where."""
        self._orders = [[*range(first, count), *range(first)] for first in range(count)]
        """The places in the orders of organizations, by the place at which an order begins."""
        self._free = count
        self._quick_of_one: Counter[str] = Counter()
        """Quick requests of one organization that are under way, or wait."""
        # Of a single seat everybody has it for a while.
        self._most = {Kind.USUAL: max(1, min(count - 1, MOST_USUAL)), Kind.HEAVY: max(1, min(count // 2, MOST_HEAVY))}
        """Seats on which is worked at this kind, or at one that takes longer."""
        self._most_of_one = {Kind.USUAL: max(1, min(count // 2, MOST_USUAL // 2)), Kind.HEAVY: 1}
        """Those of one organization, with those on which it rests."""
        self._taken = {Kind.USUAL: 0, Kind.HEAVY: 0}
        self._taken_of_one: Counter[tuple[str, Kind]] = Counter()
        self._waiting: dict[tuple[str, Kind], deque[_Waiting]] = {}
        """In each queue, the one whose turn is next is first."""
        self._rests: list[tuple[float, int, Seat]] = []
        """Those that organizations rest on: by when that ends (of the monotonic clock), the first one first."""
        self._next_rest_is_another = threading.Condition(self._lock)
        # One from the beginning. If each rest had to start one, and none was to be had, an answer would be lost and its
        # organization would rest for ever.
        threading.Thread(target=self._end_rests, name="rests", daemon=True).start()

    def take(self, organization: str, kind: Kind) -> Seat | None:
        """None where none came within :data:`TURN_SECONDS`, or too many wait for one."""
        if kind is Kind.QUICK:
            self._neighbours.sells(organization)
        with self._lock:
            if kind is Kind.QUICK:
                self._quick_of_one[organization] += 1
            if self._free and self._may_have_one(organization, kind):
                place = self._place_for(organization, kind)
                if place is not None:
                    return self._sit_down(place, organization, kind)
            if not self._may_wait(organization):
                self._forget_quick(organization, kind)
                count_wait(kind=kind.name.lower(), seconds=0.0, served=False)
                return None
            waiting = _Waiting()
            self._waiting.setdefault((organization, kind), deque()).append(waiting)
        began = time.perf_counter()
        self._wait(waiting, organization, kind)
        count_wait(kind=kind.name.lower(), seconds=time.perf_counter() - began, served=waiting.seat is not None)
        return waiting.seat

    def _wait(self, waiting: _Waiting, organization: str, kind: Kind) -> None:
        until = time.monotonic() + TURN_SECONDS
        for seconds in (PATIENCE_SECONDS, ONE_BY_ONE_SECONDS, TURN_SECONDS):
            if waiting.is_called.acquire(timeout=max(0.0, min(seconds, until - time.monotonic()))):
                return
            with self._lock:
                waiting.is_patient = False
                self._call_all()
        with self._lock:
            if waiting.seat is None:  # it may have been called at the last moment
                self._forget_quick(organization, kind)
                queue = self._waiting[organization, kind]
                queue.remove(waiting)
                if not queue:
                    del self._waiting[organization, kind]

    def load(self) -> Load:
        """How many are taken, and who waits for one."""
        with self._lock:
            return Load(self._count, self._count - self._free, sum(map(len, self._waiting.values())))

    def give(self, seat: Seat) -> None:
        """Ends the work on a seat; who may have it now is called."""
        # One after the other its bulk calls would keep a processor busy, its pages another: of two none would be left.
        worked = 0.0 if seat.kind is Kind.QUICK else time.monotonic() - seat.began
        times = REST_OF_HEAVY if seat.kind is Kind.HEAVY else REST
        rest = self._neighbours.rest_after(worked, seat.organization, times=times) if worked else 0.0
        with self._lock:
            for kind in _COUNTED[seat.kind]:
                self._taken[kind] -= 1
            if rest:
                self._rest(seat, time.monotonic() + rest)
            else:
                self._end_turn(seat)
            self._places[seat.place] = None
            self._free += 1
            self._forget_quick(seat.organization, seat.kind)
            self._call_all()

    def _rest(self, seat: Seat, until: float) -> None:
        heapq.heappush(self._rests, (until, id(seat), seat))
        if self._rests[0][2] is seat:
            self._next_rest_is_another.notify()

    def _end_rests(self) -> NoReturn:
        with self._lock:
            while True:
                now = time.monotonic()
                while self._rests and self._rests[0][0] <= now:
                    self._end_turn(heapq.heappop(self._rests)[2])
                self._call_all()
                self._next_rest_is_another.wait(self._rests[0][0] - now if self._rests else None)

    def _end_turn(self, seat: Seat) -> None:
        for kind in _COUNTED[seat.kind]:
            self._taken_of_one[seat.organization, kind] -= 1
            if not self._taken_of_one[seat.organization, kind]:
                del self._taken_of_one[seat.organization, kind]  # who has nothing under way takes no memory

    def _forget_quick(self, organization: str, kind: Kind) -> None:
        if kind is Kind.QUICK:
            self._quick_of_one[organization] -= 1
            if not self._quick_of_one[organization]:
                del self._quick_of_one[organization]

    def _call_all(self) -> None:
        while self._free and (turn := self._next_turn()):
            self._call(*turn)

    def _next_turn(self) -> tuple[int, str, Kind] | None:
        impatient = None  # the first of those: has what is free, if no sale's own place is
        for (organization, kind), queue in self._waiting.items():
            if not self._may_have_one(organization, kind):
                continue
            place = self._place_for(organization, kind)
            if place is None:
                if impatient is None and not queue[0].is_patient:
                    impatient = self._first_free(organization), organization, kind
            elif impatient is None or (kind is Kind.QUICK and is_known_at(organization)):
                return place, organization, kind
        return impatient

    def _call(self, place: int, organization: str, kind: Kind) -> None:
        queue = self._waiting.pop((organization, kind))
        waiting = queue.popleft()
        if queue:
            self._waiting[organization, kind] = queue  # at the end
        waiting.seat = self._sit_down(place, organization, kind)
        waiting.is_called.release()

    def _place_for(self, organization: str, kind: Kind) -> int | None:
        """Where it had best sit of what is free; None where it had better wait."""
        if kind is not Kind.QUICK or not is_known_at(organization):
            return self._first_free(organization)
        its_own = max(self._quick_of_one[organization], self._places_of_each())
        long_since = time.monotonic() - PATIENCE_SECONDS
        for place in self._order(organization):
            sitting = self._places[place]
            if sitting is None:
                return place
            if sitting.kind is Kind.QUICK and sitting.began > long_since:  # and will be gone in a moment
                its_own -= 1
                if not its_own:
                    break
        return None

    def _places_of_each(self) -> int:
        room, in_use = settings.ORGANIZATIONS_PER_CONNECTION, hosts_in_use()
        # Behind a pooler that gives each transaction another connection, no place is anybody's.
        if in_use <= room or settings.DATABASE_POOLER == "transaction":
            return self._count
        return max(1, int(self._count * room * FILLED / in_use))

    def _first_free(self, organization: str) -> int:
        return next(place for place in self._order(organization) if self._places[place] is None)

    def _order(self, organization: str) -> Sequence[int]:
        return self._orders[zlib.crc32(organization.encode()) % self._count]

    def _may_have_one(self, organization: str, kind: Kind) -> bool:
        if kind is Kind.USUAL and self._has_a_page(organization) and self._neighbours.others_sell(organization):
            return False
        return all(
            self._taken[counted] < self._most[counted]
            and self._taken_of_one[organization, counted] < self._most_of_one[counted]
            for counted in _COUNTED[kind]
        )

    def _has_a_page(self, organization: str) -> bool:
        """Whether a page of it is being made, for no longer than a moment, or it rests after one."""
        pages = self._taken_of_one[organization, Kind.USUAL] - self._taken_of_one[organization, Kind.HEAVY]
        long_since = time.monotonic() - ONE_BY_ONE_SECONDS
        return pages > sum(
            one is not None and one.kind is Kind.USUAL and one.organization == organization and one.began <= long_since
            for one in self._places
        )

    def _may_wait(self, organization: str) -> bool:
        of_one = sum(len(queue) for (whose, _), queue in self._waiting.items() if whose == organization)
        return of_one < WAITING_OF_ORGANIZATION and sum(map(len, self._waiting.values())) < WAITING

    def _sit_down(self, place: int, organization: str, kind: Kind) -> Seat:
        for counted in _COUNTED[kind]:
            self._taken[counted] += 1
            self._taken_of_one[organization, counted] += 1
        seat = Seat(place, self._connections[place], organization, kind, time.monotonic())
        self._places[place] = seat
        self._free -= 1
        return seat


_COUNTED: dict[Kind, tuple[Kind, ...]] = {
    Kind.QUICK: (),
    Kind.USUAL: (Kind.USUAL,),
    Kind.HEAVY: (Kind.USUAL, Kind.HEAVY),
}
"""As what a request of each kind is counted."""
