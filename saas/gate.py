"""Between Granian's threads and the application's: who only waits, or only reads slowly, holds none of the latter.

A thread of Granian takes a request, hands it to a pool and waits. The pools' threads do the work and keep the database
connections; they are few. Granian's are many and cheap, since some only wait for their turn, and some only for a client
to read on. So a database that stands still and readers that stand still leave threads for ``/livez``.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

WAITING = 256
"""Requests of a process that may wait for their turn or be worked at; one more is answered 503 at once."""

STREAMS = 64
"""Answers of a process that may be on their way to slow readers; one more is answered 503 at once. (What one person
and one organization have of them: shared/exports.py.)"""

SPARE = 8
"""Threads of Granian that are left when all of those are taken."""

GRANIAN_THREADS = WAITING + STREAMS + SPARE

EXPORT_THREADS = 3
"""They write workbooks and read the pages of CSV files, so that the other threads can sell meanwhile."""

READINESS_THREADS = 1

CONNECTIONS_BESIDE = EXPORT_THREADS + READINESS_THREADS
"""Database connections that a process may hold beside one for each of ``--threads``."""

TURN_SECONDS = 10.0
"""How long a request waits for its turn, or ``/readyz`` for its answer, before it is answered 503."""

WHOLE_BYTES = 4 * 1024 * 1024
"""An answer of a known length up to this is handed to Granian whole, which sends it without a thread."""

_END = object()


class Gate:
    """A WSGI application before another one. ``at_once`` answers in its stead where it can't: ``/livez``, and 503s.

    ``at_once`` must not touch the database.
    """

    def __init__(self, application: Callable[..., Any], at_once: Callable[..., Any], *, threads: int) -> None:
        self._application = application
        self._at_once = at_once
        self._work = ThreadPoolExecutor(threads, "work")
        self._exports = ThreadPoolExecutor(EXPORT_THREADS, "exports")
        self._readiness = ThreadPoolExecutor(READINESS_THREADS, "readiness")
        self._waiting = threading.BoundedSemaphore(WAITING)
        self._streams = threading.BoundedSemaphore(STREAMS)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/livez" or not self._waiting.acquire(blocking=False):
            return self._now(environ, start_response)
        try:
            pool = self._exports if path.endswith(".xlsx") else self._readiness if path == "/readyz" else self._work
            future = pool.submit(self._application, environ, start_response)
            answer = self._wait_for(future, at_most=path == "/readyz")
        finally:
            self._waiting.release()
        if answer is None:
            return self._now(environ, start_response)
        return answer if isinstance(answer, list) else self._stream(environ, start_response, answer)

    def _now(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = self._at_once(environ, start_response)
        try:
            return list(response)
        finally:
            response.close()

    @staticmethod
    def _wait_for(future: Future[Any], *, at_most: bool) -> Any:
        """What the application answers; None where its turn did not come, or (``at_most``) its answer."""
        try:
            return future.result(TURN_SECONDS)
        except TimeoutError:
            if future.cancel() or (at_most and not future.done()):
                return None
            return future.result()

    def _stream(self, environ: dict[str, Any], start_response: Any, answer: Any) -> Iterable[bytes]:
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and int(length) <= WHOLE_BYTES:
            try:
                return [b"".join(answer)]
            finally:
                answer.close()
        if not self._streams.acquire(blocking=False):
            self._exports.submit(answer.close).result()
            return self._now(environ, start_response)
        return _Stream(answer, self._exports, self._streams.release)


class _Stream:
    """An answer in pieces. The exports' threads make each piece and close it; the reader's thread waits for them."""

    def __init__(self, answer: Any, pool: ThreadPoolExecutor, release: Callable[[], None]) -> None:
        self._answer = answer
        self._pieces = iter(answer)
        self._pool = pool
        self._release = release
        self._is_open = threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self._pool.submit(next, self._pieces, _END).result()
        if piece is _END:
            self.close()
            raise StopIteration
        return piece  # type: ignore[return-value]

    def close(self) -> None:
        """Granian calls it when the client has gone, too."""
        if self._is_open.acquire(blocking=False):
            self._release()
            self._pool.submit(self._answer.close)
