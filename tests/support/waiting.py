"""Waiting for what another process or thread will do: looking again until a deadline, never for a fixed time."""

import time
from collections.abc import Callable

SHORTEST, LONGEST = 0.005, 0.05
"""Seconds between two looks. What takes long is looked at less often: each look takes time from whoever does it."""


def wait_until(condition: Callable[[], bool], what: str = "", *, seconds: float = 20) -> None:
    """Returns as soon as the condition holds; fails with ``what`` did not happen if it doesn't by the deadline."""
    deadline, pause = time.monotonic() + seconds, SHORTEST
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} seconds: {what or 'the condition'}"
        time.sleep(pause)  # between two looks
        pause = min(pause * 1.2, LONGEST)
