"""Between Granian's threads and the application's: who only waits, or only reads slowly, holds none of the latter.

A thread of Granian reads a request, hands it to a pool and waits. The pools' threads do the work and keep the database
connections; they are few. Granian's are many and cheap, since some only wait for their turn, and some only for a client
to read on. So a database that stands still and readers that stand still leave threads for ``/livez``.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any, cast

from saas.bodies import has_body, read_body
from shared.admission import Admission
from shared.errors import Unavailable
from shared.lockout import address_in

WAITING = 256
"""Requests of a process that may wait for their turn or be worked at; one more is answered 503 at once."""

STREAMS = 64
"""Answers of a process that may be on their way to slow readers; one more is answered 503 at once. (What one person
and one organization have of them: shared/exports.py.)"""

SENDERS = 64
"""Requests of a process whose bodies may be on their way; one more is answered 503 at once."""

SENDERS_OF_ADDRESS = 16
"""Those of one client's address. A body that comes with its request is read in no time."""

SPARE = 8
"""Threads of Granian that are left when all of those are taken."""

GRANIAN_THREADS = WAITING + STREAMS + SENDERS + SPARE

EXPORT_THREADS = 3
"""They write workbooks and read the pages of CSV files, so that the other threads can sell meanwhile. Each keeps a
database connection, as those that sell do."""

READINESS_THREADS = 1

TURN_SECONDS = 10.0
"""How long a request waits for its turn, or ``/readyz`` for its answer, before it is answered 503."""

WHOLE_BYTES = 4 * 1024 * 1024
"""An answer of a known length up to this is handed to Granian whole, which sends it without a thread."""

_END = object()

_Answer = tuple[tuple[str, Any], Any]


class Gate:
    """A WSGI application before another one. ``at_once`` answers in its stead where it can't: ``/livez``, and 503s.

    ``at_once`` must not touch the database.
    """

    def __init__(self, application: Callable[..., Any], at_once: Callable[..., Any], *, threads: int) -> None:
        self._application = application
        self._at_once = at_once
        self._work = ThreadPoolExecutor(threads, "work")
        self._exports = _Turns(EXPORT_THREADS, "exports")
        self._readiness = ThreadPoolExecutor(READINESS_THREADS, "readiness")
        self._waiting = threading.BoundedSemaphore(WAITING)
        self._streams = threading.BoundedSemaphore(STREAMS)
        self._senders = Admission(of_group=SENDERS, of_one=SENDERS_OF_ADDRESS)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/livez":
            return self._now(environ, start_response)
        if has_body(environ):
            try:
                leave = self._senders.enter(None, address_in(environ))
            except Unavailable:
                return self._now(environ, start_response)
            try:
                is_whole = read_body(environ)
            finally:
                leave()
            if not is_whole:
                start_response("400 Bad Request", [])
                return []  # to nobody
        if not self._waiting.acquire(blocking=False):
            return self._now(environ, start_response)
        try:
            answer = self._answer_of(environ, path)
        finally:
            self._waiting.release()
        if answer is None:
            return self._now(environ, start_response)
        (status, headers), body = answer
        if not isinstance(body, list):
            organization = _organization_of(environ)
            if not self._streams.acquire(blocking=False):
                self._exports.submit(organization, body.close).result()
                return self._now(environ, start_response)
            body = _Stream(body, partial(self._exports.submit, organization), self._streams.release)
        start_response(status, headers)
        return cast(Iterable[bytes], body)

    def _now(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = self._at_once(environ, start_response)
        try:
            return list(response)
        finally:
            response.close()

    def _answer_of(self, environ: dict[str, Any], path: str) -> _Answer | None:
        """What the application says; None where its turn did not come in time, or (``/readyz``) its answer."""
        is_readiness = path == "/readyz"
        future: Future[_Answer]
        if path.endswith(".xlsx"):
            future = self._exports.submit(_organization_of(environ), self._call, environ)
        else:
            future = (self._readiness if is_readiness else self._work).submit(self._call, environ)
        try:
            return future.result(TURN_SECONDS)
        except TimeoutError:
            if future.cancel() or (is_readiness and not future.done()):
                return None
            return future.result()

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
    return str(environ.get("HTTP_HOST", ""))


class _Turns:
    """Threads that work for each organization in turn: one that asks for much waits for itself."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, name)
        self._lock = threading.Lock()
        self._queues: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}
        """By organization; the first one's turn is next."""

    def submit(self, organization: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            self._queues.setdefault(organization, deque()).append((future, partial(function, *arguments)))
        self._pool.submit(self._take_turn)
        return future

    def _take_turn(self) -> None:
        with self._lock:
            organization = next(iter(self._queues))
            queue = self._queues.pop(organization)
            future, function = queue.popleft()
            if queue:
                self._queues[organization] = queue
        if not future.set_running_or_notify_cancel():
            return
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
