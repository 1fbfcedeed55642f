"""Processes that another one of the product has started: they end when it ends, however it ends."""

import os
import signal
import threading
import time

LOOK_SECONDS = 0.2
"""Between two looks at who the parent is. A process whose parent has died has another one."""


def end_with(parent: int, *, seconds: float) -> None:
    """Ends this process when ``parent`` is no longer its parent: as SIGTERM does, and after so many seconds anyhow."""
    threading.Thread(target=_watch, args=(parent, seconds), name="end-with-parent", daemon=True).start()


def _watch(parent: int, seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        os.kill(os.getpid(), signal.SIGTERM)  # again and again: it may not be ready to hear it
        time.sleep(1)
    os._exit(1)
