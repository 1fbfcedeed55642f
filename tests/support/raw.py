"""Requests as bytes on a socket, for what no HTTP client would send."""

import http.client
import json
import socket
from contextlib import suppress
from io import BytesIO

import urllib3

from tests.support.client import Answer, Client, check_contract


class _Received:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *_: object) -> BytesIO:
        return BytesIO(self.data)


def send(address: str, *lines: str | bytes, body: bytes = b"") -> Answer:
    """Sends a request of these lines and this body and reads its answer until the server closes the connection."""
    host, _, port = address.partition(":")
    encoded = [line.encode() if isinstance(line, str) else line for line in (*lines, "Connection: close")]
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        with suppress(BrokenPipeError):  # the server has answered before it had all of a body that is too large
            connection.sendall(b"\r\n".join(encoded) + b"\r\n\r\n" + body)
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    response = http.client.HTTPResponse(_Received(data))  # type: ignore[arg-type]
    response.begin()
    content = response.read()
    headers = urllib3.HTTPHeaderDict(response.getheaders())
    is_json = headers.get("Content-Type", "") in ("application/json", "application/problem+json")
    return Answer(response.status, headers, content, json.loads(content) if is_json else None)


def send_as(client: Client, method: str, path: str, headers: list[bytes], body: bytes = b"") -> Answer:
    """Sends the bytes of these header lines and of this body as they are, in the name of this client.

    What the server's HTTP parser refuses by itself has no request id and is no problem document; the rest is checked
    as every answer is."""
    lines = [f"{method} /api/v1{path} HTTP/1.1", f"Host: {client.host}"]
    if client.token is not None:
        lines.append(f"Authorization: Bearer {client.token}")
    answer = send(client.address, *lines, *headers, body=body)
    if "X-Request-ID" in answer.headers:
        check_contract(method, f"/api/v1{path}", client.host, answer)
    return answer
