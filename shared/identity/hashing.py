"""Hashes passwords by Argon2, one at a time in a process.

A hash takes 100 MiB and 0.1 seconds of every core that it gets. A dozen at once would each take a dozen times as long,
and everything else that the process answers would wait for them: 36 wrong sign-ins in five seconds took another
organization's sale from 6 to 116 ms, and the process from 300 to 962 MiB. Every check of a password and every new one
goes through here, since ``PASSWORD_HASHERS`` names this class and no other.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.contrib.auth import hashers

from shared.errors import Throttled

LONGEST_WAIT = 5.0
"""Seconds that one waits for its turn, and holds a thread meanwhile; then it is told to come again."""

_turn = threading.Lock()
_patience = ContextVar("patience", default=LONGEST_WAIT)


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """Django's, in turn.

    Raises (each of the two):
        Throttled: its turn did not come in time; nothing was looked at.
    """

    def encode(self, password: str, salt: str) -> str:
        with _in_turn():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with _in_turn():
            return super().verify(password, encoded)


@contextmanager
def _in_turn() -> Iterator[None]:
    patience = _patience.get()
    # Without any patience it may still go at once where nobody is before it.
    if not _turn.acquire(blocking=patience > 0, timeout=patience if patience > 0 else -1):
        raise Throttled("Too many passwords are being looked at; this one was not. Try again.", retry_after=1)
    try:
        yield
    finally:
        _turn.release()


@contextmanager
def waiting_at_most(seconds: float) -> Iterator[None]:
    """What is hashed in this block waits for its turn no longer than this."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)
