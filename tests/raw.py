"""Requests as bytes on a socket, for what no HTTP client would send."""

import http.client
import json
import socket
from io import BytesIO

import urllib3

from tests.http import Answer


class _Received:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *_: object) -> BytesIO:
        return BytesIO(self.data)


def send(address: str, *lines: str | bytes) -> Answer:
    """Sends a request of these lines (no body) and reads its answer until the server closes the connection."""
    host, _, port = address.partition(":")
    encoded = [line.encode() if isinstance(line, str) else line for line in (*lines, "Connection: close")]
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"\r\n".join(encoded) + b"\r\n\r\n")
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    response = http.client.HTTPResponse(_Received(data))  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    headers = urllib3.HTTPHeaderDict(response.getheaders())
    is_json = headers.get("Content-Type", "") in ("application/json", "application/problem+json")
    return Answer(response.status, headers, body, json.loads(body) if is_json else None)
