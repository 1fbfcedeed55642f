"""Waiting for what another process or thread will do: looking again until a deadline, never for a fixed time."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], what: str = "", *, seconds: float = 20) -> None:
    """Returns as soon as the condition holds; fails with ``what`` did not happen if it doesn't by the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} seconds: {what or 'the condition'}"
        time.sleep(0.01)  # between two looks
