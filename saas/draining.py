"""A web process that is to end takes no more connections, and answers what comes on those that it has.

A connection that is kept open has no moment at which it could be closed safely: the proxy may have sent a request that
is on its way, and would not send it again (a sale without a key must not be). So each answer says from now on that it
is the last one of its connection, and what is idle is left to the proxy to close: deploy/nginx.conf lets it wait for 10
seconds. Only then Granian is told to stop.
"""

import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from saas.clients import clients

DRAIN_SECONDS = 15.0
"""How long connections are waited for; longer than the proxy keeps an idle one."""

LOOK_SECONDS = 0.05

_UNACKED = 24
"""Where struct tcp_info has, for a listening socket, how many wait to be accepted."""

_has_begun = threading.Event()


def drain_at(number: int, listener: int, port: int) -> None:
    """Begins at this signal. ``listener`` is the descriptor that Granian takes connections from."""
    signal.signal(number, lambda *_: _begin(listener, port))


def has_begun() -> bool:
    """Whether this process is to end."""
    return _has_begun.is_set()


def with_farewell(start_response: Callable[..., Any]) -> Callable[..., Any]:
    """A ``start_response`` that says, once the process is draining, that the connection is closed after this answer."""
    if not _has_begun.is_set():
        return start_response

    def start_last_response(status: str, headers: list[tuple[str, str]], *exception: Any) -> Any:
        return start_response(status, [*headers, ("Connection", "close")], *exception)

    return start_last_response


def _begin(listener: int, port: int) -> None:
    if not _has_begun.is_set():
        _has_begun.set()
        threading.Thread(target=_drain, args=(listener, port), name="draining", daemon=True).start()


def _drain(listener: int, port: int) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    _take_no_more(listener, deadline)
    empty_looks = 0  # one that was being taken is seen at the second look
    while empty_looks < 2 and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        empty_looks = 0 if any(True for _ in clients(port)) else empty_looks + 1
    os.kill(os.getpid(), signal.SIGTERM)


def _take_no_more(listener: int, deadline: float) -> None:
    """Takes the listening socket from among what Granian watches, and lets go of it.

    It must not be shut down: it is the next processes', too. But if nobody else has it, it closes with this, so that
    others are refused from now on; what waits there would then be lost, and is taken first. In its place comes one that
    nobody connects to: Granian still closes what has its number."""
    while _waiting(listener) and time.monotonic() < deadline:
        time.sleep(0.001)
    for name in os.listdir("/proc/self/fd"):
        # One that was closed meanwhile, one that is no epoll, and one that does not watch this socket.
        with suppress(OSError, ValueError):
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":
                with select.epoll.fromfd(os.dup(int(name))) as watching:
                    watching.unregister(listener)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as quiet:
        os.dup2(quiet.fileno(), listener, inheritable=False)


def _waiting(listener: int) -> int:
    with socket.socket(fileno=os.dup(listener)) as copy:
        info = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED + 4)
    waiting: int = struct.unpack_from("I", info, _UNACKED)[0]
    return waiting
