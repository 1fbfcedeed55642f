"""Disconnects clients that take nothing of their answer: each holds a thread of Granian's, and memory.

Granian has no limit for that. The kernel's own (TCP_USER_TIMEOUT) also ends connections of readers that are only slow:
with a small window it counts from the first look at a full one, whatever is taken meanwhile. So this one counts the
bytes that clients have taken.
"""

import fcntl
import socket
import struct
import termios
import threading
from dataclasses import dataclass, field

from saas.clients import clients

LOOK_SECONDS = 5.0

LOOKS = 12
"""In a row at which a client has taken nothing, before it is disconnected: a minute. (One that reads a kilobyte a
second through a usual buffer says only once in half a minute or so that it has room again.)"""

_BYTES_ACKED = 120
"""Where struct tcp_info has them (Linux 4.2 and later)."""


@dataclass(slots=True)
class Stalls:
    """What the connections of this process to clients of the port had taken when it last looked."""

    port: int
    _seen: dict[tuple[int, object], tuple[int, int]] = field(default_factory=dict)
    """By descriptor and client: the bytes taken so far, and how many looks ago they were that many first."""

    def look(self) -> int:
        """Disconnects those that have taken nothing for :data:`LOOKS` looks, though there is something for them.

        Returns:
            How many.
        """
        seen: dict[tuple[int, object], tuple[int, int]] = {}
        ended = 0
        for name, connection in clients(self.port):
            taken = self._taken(connection)
            if taken is None:
                continue
            try:
                key = (int(name), connection.getpeername())
                before, looks = self._seen.get(key, (-1, 0))
                looks = looks + 1 if before == taken else 0
                if looks >= LOOKS:
                    connection.shutdown(socket.SHUT_RDWR)
                    ended += 1
                else:
                    seen[key] = (taken, looks)
            except OSError:
                continue  # it has gone by itself
        self._seen = seen
        return ended

    def _taken(self, connection: socket.socket) -> int | None:
        """The bytes that a client has taken so far; None where nothing waits for it."""
        try:
            (waiting,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
            if not waiting:
                return None
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
            taken: int = struct.unpack_from("Q", info, _BYTES_ACKED)[0]
        except (OSError, struct.error):
            return None
        return taken


def end_stalled(port: int) -> None:
    """Looks for them from now on, in a thread of its own."""
    threading.Thread(target=_look_again_and_again, args=(Stalls(port),), name="stalled", daemon=True).start()


def _look_again_and_again(stalls: Stalls) -> None:
    pause = threading.Event()
    while not pause.wait(LOOK_SECONDS):
        stalls.look()
