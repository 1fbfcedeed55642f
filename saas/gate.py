"""The gate between Granian and the application: a request that waits, or whose client reads slowly, holds no seat.

Granian's threads are many and cheap: some wait for their turn, some for a client to read on. Seats are few, each has a
database connection, and a thread works only while it has a seat. So a database that stands still and readers that
stand still leave threads for ``/livez`` and for static files. Exports and readiness have threads of their own.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, connections

from saas import draining, static_files
from saas.bodies import has_body, is_large, read_body
from saas.neighbours import Neighbours
from saas.seats import TURN_SECONDS, WAITING, Seats, kind_of
from shared.admission import Admission
from shared.errors import Unavailable
from shared.identity.lockout import address_in
from shared.metrics import Load
from shared.turn import resting
from tenants.readiness import is_looking
from tenants.routing import normalize_host

APART = 32
"""Those for a workbook, a PDF or ``/readyz`` that may be waited for, or worked at; one more is answered 503 at once."""

APART_OF_ORGANIZATION = 12
"""Those of one organization, so that the others are not refused."""

STREAMS = 64
"""Answers of a process that may be on their way to slow readers; one more is answered 503 at once. (What one person
and one organization have of them: tenants/exports.py.)"""

SENDERS = 64
"""Requests of a process whose bodies may be on their way; one more is answered 503 at once."""

SENDERS_OF_ADDRESS = 16
"""Those of one client's address. A body that comes with its request is read in no time."""

LARGE_BODIES = 8
"""Bodies of more than an ordinary one's bytes (settings.LARGER_BODIES) that a process keeps at once."""

SPARE = 8
"""Threads of Granian that are left when all of those are taken."""

EXPORT_THREADS = 2
"""They read the pages of CSV files, so that the other threads can sell meanwhile. Each keeps a database connection, as
those that sell do."""

PAPER_THREADS = 3
"""They wait for the programs that write PDFs and workbooks (shared/aside.py), half a minute for a large one: so they
are none of those that read CSV files."""

READINESS_THREADS = 1

READINESS_SECONDS = 2.0
"""How long ``/readyz`` waits for the database, before it is answered 503: whoever asks it waits no longer himself. One
that is stopped answers nothing, and its system keeps connections to it open."""

WHOLE_BYTES = 4 * 1024 * 1024
"""An answer of a known length up to this is handed to Granian whole, which sends it without a thread."""

_END = object()


def granian_threads(seats: int) -> int:
    """How many threads Granian needs for a gate of so many."""
    return seats + WAITING + APART + STREAMS + SENDERS + SPARE


_Answer = tuple[tuple[str, Any], Any]


class Gate:
    """A WSGI application before another one. ``at_once`` answers in its stead where it can't: ``/livez``, and 503s.

    ``at_once`` must not touch the database.
    """

    def __init__(
        self, application: Callable[..., Any], at_once: Callable[..., Any], neighbours: Neighbours, *, seats: int
    ) -> None:
        self._application = application
        self._at_once = at_once
        self._seats = Seats(seats, neighbours)
        self._neighbours = neighbours
        self._exports = _Turns(EXPORT_THREADS, "exports")
        self._papers = _Turns(PAPER_THREADS, "papers")
        self._readiness = ThreadPoolExecutor(READINESS_THREADS, "readiness")
        self._apart_waiting = Admission(of_group=APART, of_one=APART_OF_ORGANIZATION)
        self._streams = threading.BoundedSemaphore(STREAMS)
        self._senders = Admission(of_group=SENDERS, of_one=SENDERS_OF_ADDRESS)
        self._large = threading.BoundedSemaphore(LARGE_BODIES)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response = draining.with_farewell(start_response)
        # They need no seat, and so they are there also while nobody gets one.
        if (file := static_files.answer(environ)) is not None:
            start_response(file.status, file.headers)
            return [file.body]
        if not (has_body(environ) and is_large(environ)):
            return self._answer(environ, start_response)
        if not self._large.acquire(blocking=False):
            return self._now(environ, start_response)
        try:
            return self._answer(environ, start_response)
        finally:
            self._large.release()

    def load(self) -> Load:
        """How many of its seats are taken, and who waits for one."""
        return self._seats.load()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/livez":
            return self._now(environ, start_response)
        if has_body(environ):
            address = address_in(environ)
            try:
                self._senders.enter(None, address)
            except Unavailable:
                return self._now(environ, start_response)
            try:
                is_whole = read_body(environ)
            finally:
                self._senders.leave(None, address)
            if not is_whole:
                start_response("400 Bad Request", [])
                return []  # to nobody
        if path == "/readyz" or path.endswith((".xlsx", ".pdf")):
            answer = self._apart(environ, path)
        elif (seat := self._seats.take(_organization_of(environ), kind_of(environ))) is not None:
            connections[DEFAULT_DB_ALIAS] = seat.connection
            try:
                answer = self._call(environ)
            finally:
                del connections[DEFAULT_DB_ALIAS]
                self._seats.give(seat)
        else:
            answer = None
        if answer is None:
            return self._now(environ, start_response)
        (status, headers), body = answer
        if not isinstance(body, list):
            organization = _organization_of(environ)
            if not self._streams.acquire(blocking=False):
                self._exports.submit(organization, body.close).result()
                return self._now(environ, start_response)
            submit = partial(self._exports.submit, organization, self._resting, self._exports, organization)
            body = _Stream(body, submit, self._streams.release)
        start_response(status, headers)
        return cast(Iterable[bytes], body)

    def _now(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = self._at_once(environ, start_response)
        try:
            return list(response)
        finally:
            response.close()

    def _apart(self, environ: dict[str, Any], path: str) -> _Answer | None:
        """The answer of the threads that work for ``path``; None where it, or its turn, did not come in time."""
        is_readiness, organization = path == "/readyz", _organization_of(environ)
        try:
            self._apart_waiting.enter(None, (organization, is_readiness))
        except Unavailable:
            return None
        try:
            future: Future[_Answer]
            if is_readiness:
                future = self._readiness.submit(self._call, environ)
            else:
                turns = self._papers
                future = turns.submit(organization, self._resting, turns, organization, self._call, environ)
            try:
                return future.result(READINESS_SECONDS if is_readiness else TURN_SECONDS)
            except TimeoutError:
                if is_readiness and is_looking():  # through thousands of schemas, which takes seconds
                    with suppress(TimeoutError):
                        return future.result(TURN_SECONDS - READINESS_SECONDS)
                if future.cancel() or (is_readiness and not future.done()):
                    return None
                return future.result()
        finally:
            self._apart_waiting.leave(None, (organization, is_readiness))

    def _resting(self, turns: "_Turns", organization: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """In a thread of these: while others sell, what takes long rests."""
        helpers = 1 if turns is self._papers else 0

        def rest_after(worked: float) -> float:
            # It would keep others from their turn, and the next processes from the server.
            if turns.others_wait(organization) or draining.has_begun():
                return 0.0
            return self._neighbours.rest_after(worked, organization, helpers=helpers)

        with resting(rest_after):
            return function(*arguments)

    def _call(self, environ: dict[str, Any]) -> _Answer:
        started: list[tuple[str, Any]] = []
        answer = self._application(environ, lambda status, headers, *_: started.append((status, headers)))
        if not isinstance(answer, list):
            length = answer.headers.get("Content-Length", "")
            if length.isdigit() and int(length) <= WHOLE_BYTES:
                with closing(answer) as whole:
                    answer = [b"".join(whole)]
        return started[-1], answer


def _organization_of(environ: dict[str, Any]) -> str:
    # As routing reads it: however a host is written, it is one organization's.
    return normalize_host(str(environ.get("HTTP_HOST", "")))


class _Turns:
    """Threads that work for each organization in turn, and for none alone: one that asks for much waits for itself."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, name)
        self._most_of_one = max(1, threads - 1)
        self._lock = threading.Lock()
        self._queues: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}
        """By organization; the first one's turn is next."""
        self._under_way: Counter[str] = Counter()

    def submit(self, organization: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            self._queues.setdefault(organization, deque()).append((future, partial(function, *arguments)))
        self._pool.submit(self._take_turns)
        return future

    def others_wait(self, organization: str) -> bool:
        """Whether another organization than this waits for its turn."""
        with self._lock:
            return any(one != organization for one in self._queues)

    def _take_turns(self) -> None:
        """In one of the threads: as long as there is a turn that it may take. Who finds none leaves what waits to those
        who work for the same organization, and look again when they are done."""
        while (turn := self._next()) is not None:
            organization, future, function = turn
            try:
                if future.set_running_or_notify_cancel():
                    _work_for(future, function)
            finally:
                with self._lock:
                    self._under_way[organization] -= 1
                    if not self._under_way[organization]:
                        del self._under_way[organization]  # who has nothing under way takes no memory

    def _next(self) -> tuple[str, Future[Any], Callable[[], Any]] | None:
        with self._lock:
            organization = next((one for one in self._queues if self._under_way[one] < self._most_of_one), None)
            if organization is None:
                return None
            queue = self._queues.pop(organization)
            future, function = queue.popleft()
            if queue:
                self._queues[organization] = queue
            self._under_way[organization] += 1
            return organization, future, function


def _work_for(future: Future[Any], function: Callable[[], Any]) -> None:
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - it is whoever waits for the result that is told
        future.set_exception(error)
    else:
        future.set_result(result)


class _Stream:
    """An answer in pieces. The exports' threads make each piece and close it; the reader's thread waits for them."""

    def __init__(self, answer: Any, submit: Callable[..., Future[Any]], release: Callable[[], None]) -> None:
        self._answer = answer
        self._pieces = iter(answer)
        self._submit = submit
        self._release = release
        self._is_open = threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self._submit(next, self._pieces, _END).result()
        if piece is _END:
            self.close()
            raise StopIteration
        return cast(bytes, piece)

    def close(self) -> None:
        """Granian calls it when the client has gone, too."""
        if self._is_open.acquire(blocking=False):
            self._release()
            self._submit(self._answer.close)
