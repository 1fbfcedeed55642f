"""The connections of this process to clients of its port. Granian keeps them to itself; the kernel shows them."""

import os
import socket
from collections.abc import Iterator


def clients(port: int) -> Iterator[tuple[str, socket.socket]]:
    """The descriptor of each connection, and a copy of it, which is closed when the next one is asked for."""
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = os.dup(int(name))
        except OSError:
            continue  # closed meanwhile
        try:
            connection = socket.socket(fileno=copy)
        except OSError:
            os.close(copy)  # no socket
            continue
        with connection:
            if _is_client(connection, port):
                yield name, connection


def _is_client(connection: socket.socket, port: int) -> bool:
    try:
        return (
            connection.family in (socket.AF_INET, socket.AF_INET6)
            and connection.type == socket.SOCK_STREAM
            and connection.getsockname()[1] == port
            and not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        )
    except OSError:
        return False
