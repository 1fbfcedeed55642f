"""Stops calling an endpoint that keeps failing."""

import threading
import time


class Breaker:
    """A circuit breaker: after some calls in a row that brought no answer, whoever is called is left alone for a while.

    Then one call is let through; if that is answered all are again, else the while doubles. For one worker process, and
    used from several threads. (Nygard, "Release It!", 2007.)
    """

    IN_A_ROW = 5
    SHORTEST, LONGEST = 5.0, 300.0
    """Seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_at = 0.0
        """The moment (of the monotonic clock) at which one call is let through; 0: all are."""
        self._pause = self.SHORTEST
        self._trying = False
        """Whether the one call is under way."""

    def lets_through(self) -> bool:
        with self._lock:
            if not self._closed_at:
                return True
            if time.monotonic() < self._closed_at:
                return False
            self._closed_at = time.monotonic() + self._pause  # the others wait for what becomes of this one
            self._trying = True
            return True

    def seconds_left(self) -> float:
        """Until the next call is let through."""
        with self._lock:
            return max(0.0, self._closed_at - time.monotonic()) if self._closed_at else 0.0

    def note(self, *, answered: bool) -> None:
        with self._lock:
            if answered:
                self._failures, self._closed_at, self._pause, self._trying = 0, 0.0, self.SHORTEST, False
                return
            self._failures += 1
            if self._failures == self.IN_A_ROW:
                self._closed_at = time.monotonic() + self._pause
            elif self._trying:  # and not one of those that were under way with the first: they fail together
                self._trying = False
                self._pause = min(self.LONGEST, 2 * self._pause)
                self._closed_at = time.monotonic() + self._pause
