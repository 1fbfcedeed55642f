"""Ends a process with the one that started it, however that one ends."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.2
"""Between two looks at who the parent is. A process whose parent has died has another one."""


def end_with(parent: int, *, seconds: float) -> None:
    """Ends this process when ``parent`` is no longer its parent: as SIGTERM does, and after so many seconds anyhow."""
    threading.Thread(target=_watch, args=(parent, seconds), name="end-with-parent", daemon=True).start()


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Processes that are started meanwhile never hear of Ctrl-C, which a terminal sends to all: this one ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(parent: int, seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        os.kill(os.getpid(), signal.SIGTERM)  # again and again: it may not be ready to hear it
        time.sleep(1)
    os._exit(1)
