"""Somebody's own system that takes webhooks: a real HTTP server, which can be told to misbehave."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

HANG, CUT, GARBAGE, DRIP, ENDLESS = "hang", "cut", "garbage", "drip", "endless"
"""Instead of a status: never answers; closes the connection; answers what is no HTTP; sends a header byte by byte, for
ever; answers 200 with a body that has no end."""


@dataclass(frozen=True)
class Received:
    """A request as it came, its body read as JSON, and the secrets by which its signature is right."""

    path: str
    headers: dict[str, str]
    body: bytes
    json: Any
    verified_by: list[str]
    at: float = field(default_factory=time.time)
    """Unix time."""

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """Where it listens, what it has received, and how it answers."""

    port: int = 0
    secrets: list[str] = field(default_factory=list)
    """Of the endpoints that lead here; each request is verified by each of them."""
    answer: int | str = 204
    location: str = ""
    """With 302."""
    received: list[Received] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: what hangs ends then."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?from=recharge"

    def verified_by(self, headers: dict[str, str], body: bytes) -> list[str]:
        good = []
        for secret in self.secrets:
            with suppress(WebhookVerificationError):
                Webhook(secret).verify(body, headers)
                good.append(secret)
        return good


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            verified_by = receiver.verified_by(headers, body)
            receiver.received.append(Received(self.path, headers, body, json.loads(body), verified_by))
            self.close_connection = True
            answer = receiver.answer
            if answer == HANG:
                receiver.released.wait(30)
            elif answer == GARBAGE:
                self.wfile.write(b"\x00\xff no HTTP at all\r\n\r\n")
            elif answer == DRIP:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not receiver.released.wait(0.02):
                    self.wfile.write(b"x")
            elif answer == ENDLESS:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                while not receiver.released.is_set():
                    self.wfile.write(b"\x00\xffx" * 5000)
            elif answer != CUT:
                self.send_response(int(answer))
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "9" if answer != 204 else "0")
                self.end_headers()
                self.wfile.write(b"no\x00 thanks"[:9] if answer != 204 else b"")

        def handle(self) -> None:
            with suppress(OSError):  # whoever called has hung up
                super().handle()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a TLS handshake that the other side breaks off


@contextmanager
def receiving(*, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Runs a receiver until the block ends."""
    receiver = Receiver()
    server = _Server(("127.0.0.1", 0), _handler(receiver))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
