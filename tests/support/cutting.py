"""What stands between an application and its database, and cuts the connection right after a COMMIT: the database has
done it, and nobody is told."""

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_READY = b"Z\x00\x00\x00\x05"
"""How the database says that a statement is over, and with it the transaction that it was (ReadyForQuery; see
https://www.postgresql.org/docs/current/protocol-message-formats.html)."""

_PREPARED = re.compile(rb"PREPARE (\w+) AS (.*)", re.DOTALL)

_EXECUTED = re.compile(rb"EXECUTE (\w+)")

_SALE = re.compile(rb'SELECT .*"recharge_sell\w*"', re.DOTALL)
"""A sale is one statement in autocommit: its end is its COMMIT."""


@dataclass
class Cutter:
    """Passes on what is said between whoever connects to the socket ``path`` and the database."""

    path: Path
    host: str
    """Of the database; a directory: that of its socket."""
    port: int
    cuts: int = 0
    """How many connections were cut."""
    every: int = 0
    """Each so many'th COMMIT is answered by a cut connection; 0: none is."""
    left: int = 0
    """How many of the next ones are, each of them."""
    _commits: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_to_be_cut(self) -> bool:
        """Whether this COMMIT is one of those; counts it."""
        with self._lock:
            self._commits += 1
            is_due = self.left > 0 or (self.every > 0 and self._commits % self.every == 0)
            self.left = max(0, self.left - 1)
            self.cuts += is_due
            return is_due


@contextmanager
def cutting(directory: Path, host: str, port: int = 5432) -> Iterator[Cutter]:
    """A cutter in front of the database at ``host``; an application finds it in ``directory``."""
    cutter = Cutter(directory / ".s.PGSQL.5432", host, port)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(cutter.path))
        listener.listen(64)

        def accept() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=_serve, args=(cutter, client), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield cutter
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
    cutter.path.unlink()


def _serve(cutter: Cutter, client: socket.socket) -> None:
    """One connection, until either side closes it or it is cut."""
    with client, _connect(cutter.host, cutter.port) as server:
        is_cut = threading.Event()
        answering = threading.Thread(target=_pass_answers, args=(server, client, is_cut), daemon=True)
        answering.start()
        with suppress(OSError):
            _pass_statements(cutter, client, server, is_cut)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        answering.join()


def _connect(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{host}/.s.PGSQL.{port}")
    return server


def _pass_statements(cutter: Cutter, client: socket.socket, server: socket.socket, is_cut: threading.Event) -> None:
    prepared: set[bytes] = set()
    has_begun = False
    while True:
        head = _read(client, 5 if has_begun else 4)
        (length,) = struct.unpack("!I", head[-4:])
        body = _read(client, length - 4)
        if has_begun and head[:1] == b"Q" and _ends_a_transaction(body, prepared) and cutter.is_to_be_cut():
            is_cut.set()
        has_begun = True  # the first message has no type
        server.sendall(head + body)


def _ends_a_transaction(statement: bytes, prepared: set[bytes]) -> bool:
    """Whether this commits something: COMMIT itself, or a sale. Notes the names of sales that are prepared."""
    if found := _PREPARED.match(statement):
        if _SALE.match(found[2]):
            prepared.add(found[1])
        return False
    if found := _EXECUTED.match(statement):
        return found[1] in prepared
    return statement.startswith(b"COMMIT") or _SALE.match(statement) is not None


def _pass_answers(server: socket.socket, client: socket.socket, is_cut: threading.Event) -> None:
    with suppress(OSError):
        while answer := server.recv(65536):
            if is_cut.is_set():
                while _READY not in answer:
                    answer += server.recv(65536)
                break
            client.sendall(answer)
    for end in (client, server):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _read(end: socket.socket, length: int) -> bytes:
    """Exactly so many bytes.

    Raises:
        ConnectionResetError: the other side has closed it.
    """
    read = b""
    while len(read) < length:
        if not (more := end.recv(length - len(read))):
            raise ConnectionResetError
        read += more
    return read
