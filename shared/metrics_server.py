"""Answers ``GET /metrics`` on an address of its own, and nothing else."""

import http.server
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, NoReturn

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

RETRY_SECONDS = 1.0
"""Between two tries to get an address that is in use: a server that is about to end may have it."""


class Listen(NamedTuple):
    """An address and a port of this machine."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """Reads ``127.0.0.1:9464`` or ``[::1]:9464``.

        Raises:
            ValueError: it is nothing of that kind.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
            raise ValueError(text)
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(text)
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class MetricsServer(http.server.ThreadingHTTPServer):
    """Answers with what ``render`` gives; one request after the other, since each reads what all processes have."""

    daemon_threads = True

    def __init__(self, listen: Listen, render: Callable[[], bytes]) -> None:
        """Raises:
        OSError: the address is in use, or none of this machine's.
        """
        self.address_family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        self._render = render
        self._rendering = threading.Lock()
        super().__init__(listen, _Handler)

    def server_bind(self) -> None:
        # Not http.server's, which looks up the name of the address.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def body(self) -> bytes:
        with self._rendering:
            return self._render()


def serve_when_free(
    listen: Listen, render: Callable[[], bytes], say: Callable[[str], object], answers: threading.Event
) -> NoReturn:
    """Answers as soon as the address is to be had, and for ever; then it sets ``answers``. ``say`` is told once why it
    is not."""
    said = ""
    while True:
        try:
            server = MetricsServer(listen, render)
            answers.set()
            server.serve_forever()
        except OSError as error:
            if str(error) != said:
                said = str(error)
                say(f"Can't answer /metrics on {listen}: {error}. It is tried again and again.")
            time.sleep(RETRY_SECONDS)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = 10  # seconds that a client may take to ask
    server_version, sys_version = "recharge", ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/metrics":
            status, content_type, body = HTTPStatus.OK, CONTENT_TYPE, self.server.body()
        else:
            status, content_type, body = HTTPStatus.NOT_FOUND, "text/plain", b"Ask for /metrics.\n"
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: it is asked every few seconds."""
