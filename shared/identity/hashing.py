"""Hashes passwords by Argon2, one at a time in a process.

A hash takes 100 MiB and 0.1 seconds of every core that it gets. A dozen at once would each take a dozen times as long,
and everything else that the process answers would wait for them: 36 wrong sign-ins in five seconds took another
organization's sale from 6 to 116 ms, and the process from 300 to 962 MiB. Every check of a password and every new one
goes through here, since ``PASSWORD_HASHERS`` names this class and no other.

Who waits for a turn holds a seat of the process (saas/gate.py), and sales need seats. So few may wait, not for long; of
their places one is kept for who is known: signed in, or at a device that the account knows.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.contrib.auth import hashers

from shared.errors import Unavailable

LONGEST_WAIT = 1.0
"""Seconds that one waits for its turn."""

MOST_WAITING = 3
"""How many may wait at once in a process; strangers one fewer."""


class Turns:
    """Lets one work at a time, and the others wait in order."""

    def __init__(self) -> None:
        self.places = MOST_WAITING
        self._changed = threading.Condition()
        self._is_taken = False
        self._waiting: deque[object] = deque()

    def take(self, *, patience: float, is_known: bool) -> None:
        """Waits for the turn for at most ``patience`` seconds; :meth:`give` ends it.

        Raises:
            Unavailable: it did not come in time, or there was no place to wait.
        """
        me = object()
        with self._changed:
            if not self._is_taken and not self._waiting:
                self._is_taken = True
                return
            places = self.places if is_known else self.places - 1
            if patience <= 0 or len(self._waiting) >= places:
                raise _not_looked_at()
            self._waiting.append(me)
            try:
                is_mine = self._changed.wait_for(
                    lambda: not self._is_taken and self._waiting[0] is me, timeout=patience
                )
            finally:
                self._waiting.remove(me)
                self._changed.notify_all()  # of the next, this was the one before
            if not is_mine:
                raise _not_looked_at()
            self._is_taken = True

    def give(self) -> None:
        """Ends a turn."""
        with self._changed:
            self._is_taken = False
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)


def _not_looked_at() -> Unavailable:
    return Unavailable("Too many passwords are being looked at; this one was not. Try again.")


turns = Turns()
"""Those of this process."""


def leave_seats(seats: int) -> None:
    """Bounds how many hash and wait for it, so that a seat of the process is left to everybody else (if it has two)."""
    turns.places = max(min(MOST_WAITING, seats - 2), 0)


@dataclass(frozen=True, slots=True)
class _Manner:
    patience: float = LONGEST_WAIT
    is_known: bool = True


_manner = ContextVar("manner", default=_Manner())  # noqa: B039 - frozen
"""How one waits. Where nothing else is said, somebody who is signed in sets a password."""


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """Django's, in turn.

    Raises (each of the two):
        Unavailable: its turn did not come in time; nothing was looked at.
    """

    def encode(self, password: str, salt: str) -> str:
        with _in_turn():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with _in_turn():
            return super().verify(password, encoded)


@contextmanager
def _in_turn() -> Iterator[None]:
    manner = _manner.get()
    turns.take(patience=manner.patience, is_known=manner.is_known)
    try:
        yield
    finally:
        turns.give()


@contextmanager
def waiting_at_most(seconds: float, *, is_known: bool = True) -> Iterator[None]:
    """What is hashed in this block waits for its turn no longer than this, as who is known or as a stranger."""
    before = _manner.set(_Manner(seconds, is_known))
    try:
        yield
    finally:
        _manner.reset(before)
