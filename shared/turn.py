"""Of those in a process who read pages of rows for a file, one is at work at a time. All threads share one interpreter:
a sale would wait for it once for each of them. And who writes a file rests between its pages while others sell."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TURN_SECONDS = 1.0
"""How long one waits for its turn: a page whose query has to wait itself holds up nobody for longer."""

_turn = threading.Lock()

_rest_after: ContextVar[Callable[[float], float] | None] = ContextVar("rest_after", default=None)


@contextmanager
def in_turn() -> Iterator[None]:
    """Held while a page is read and made into what the file has of it."""
    has_turn = _turn.acquire(timeout=TURN_SECONDS)
    try:
        yield
    finally:
        if has_turn:
            _turn.release()


@contextmanager
def resting(rest_after: Callable[[float], float]) -> Iterator[None]:
    """This thread rests, wherever it comes to :func:`rest`, for as many seconds as ``rest_after`` gives of those that
    it has worked."""
    token = _rest_after.set(rest_after)
    try:
        yield
    finally:
        _rest_after.reset(token)


def rest(worked: float, *, at_work: float = 0.0, rested: float = 0.0) -> None:
    """After so many seconds of work. What was handed to another process is still ``at_work`` for so many; or so many
    were ``rested`` since. Outside of :func:`resting` it is nothing."""
    if (rest_after := _rest_after.get()) is not None and (seconds := rest_after(worked)):
        time.sleep(max(0.0, seconds + at_work - rested))
