"""A client that takes nothing of its answer is disconnected; one that takes it slowly is not."""

import socket

from saas.stalled import LOOKS, Stalls
from tests.support.waiting import wait_until


def test_only_who_takes_nothing_is_disconnected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)) as slow,
            socket.create_connection(("127.0.0.1", port)) as still,
            socket.create_connection(("127.0.0.1", port)) as idle,
        ):
            to_slow, to_still, to_idle = (server.accept()[0] for _ in range(3))
            with to_slow, to_still, to_idle:
                for sending in (to_slow, to_still):
                    sending.setblocking(False)
                    fill(sending)
                stalls, ended = Stalls(port), 0
                looks = 0
                while not ended and looks < 20 * LOOKS:  # what was sent may be on its way for some of them
                    ended += stalls.look()
                    looks += 1
                    slow.recv(1_000_000)
                    wait_until(lambda: fill(to_slow) > 0, "the slow one has made room")
                assert ended == 1
                assert looks > LOOKS
                assert is_open(to_slow)
                assert is_open(to_idle)
                assert not is_open(to_still)
                assert still
                assert idle


def fill(sending: socket.socket) -> int:
    """Sends until there is room for no more; how many bytes."""
    sent = 0
    try:
        while True:
            sent += sending.send(b"x" * 65536)
    except BlockingIOError:
        return sent


def is_open(sending: socket.socket) -> bool:
    try:
        sending.send(b"x")
    except BlockingIOError:
        return True
    except BrokenPipeError:
        return False
    return True
