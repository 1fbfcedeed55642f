"""Of those in a process who read pages of rows for a file, one is at work at a time. All threads share one interpreter:
a sale would wait for it once for each of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

TURN_SECONDS = 1.0
"""How long one waits for its turn: a page whose query has to wait itself holds up nobody for longer."""

_turn = threading.Lock()


@contextmanager
def in_turn() -> Iterator[None]:
    """Held while a page is read and made into what the file has of it."""
    has_turn = _turn.acquire(timeout=TURN_SECONDS)
    try:
        yield
    finally:
        if has_turn:
            _turn.release()
