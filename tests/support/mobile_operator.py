"""A mobile operator that misbehaves as it is told, as a process: the other side of recharge/delivery/gateways/http.py.

What it is told is a behaviour: what it does, and after a colon what is seen of that. ``succeed:cut`` tops up, then cuts
the connection. Whatever it answers, what it did stays done: it keeps each reference, with its effects, as long as it
lives, does nothing twice for one, and an inquiry says how it is.
"""

import hashlib
import hmac
import json
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import urllib3

from tests.support.certificates import make_certificate
from tests.support.server import ROOT

KEY_ID = "acme-1"
SECRET = "only-the-operator-and-acme-know-this"

DOES = ("succeed", "fail", "accept", "accept_then_fail", "forget", "refuse", "unsure")
"""What it does with a reference that is new to it. ``accept`` ends after ``LATER`` seconds; ``forget`` does not even
note it, ``refuse`` says so."""

SEEN = (
    "answer",
    "slow",  # after SLOW seconds
    "twice",
    "hang",  # no answer until the other side gives up
    "cut",  # no answer
    "cut_midway",  # half an answer
    "drip",  # a byte now and then
    "garbage",
    "too_large",
    "server_error",  # 500, with a right answer in it
    "bare_client_error",  # 400, with no answer in it
    "client_error",  # 409, with a right answer
    "redirect",
    "another_reference",
    "unheard_word",
    "echo",  # a right answer, with all headers of the request in it
)

LATER = 0.3
SLOW = 0.3
"""Seconds."""


@dataclass
class Record:
    """What the operator knows of a reference."""

    phone_number: str
    operator: str
    amount: int
    status: str
    ends_as: str = ""
    """Of an accepted one."""
    ends_at: float = 0.0
    effects: int = 0
    """How often the number was topped up because of it."""
    submits: int = 0
    inquiries: int = 0
    traceparents: list[str] = field(default_factory=list)
    """What came with each request of either kind."""


@dataclass
class State:
    """All that the process knows."""

    key_id: str
    secret: str
    behaviours: dict[str, list[str]] = field(default_factory=dict)
    """By kind of request and ending of the number (``recharges 17``, ``inquiries``): one of these, picked at random."""
    records: dict[str, Record] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    """Requests that no right gateway sends, since it was last told how to behave."""
    connections: int = 0
    nonces: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)
    dice: random.Random = field(default_factory=lambda: random.Random(4))

    def behaviour(self, kind: str, phone_number: str) -> tuple[str, str]:
        told = self.behaviours.get(f"{kind} {phone_number[-2:]}") or self.behaviours.get(kind) or [""]
        does, _, seen = self.dice.choice(told).partition(":")
        return does or "succeed", seen or "answer"

    def complaint(self, path: str, headers: Any, body: bytes) -> str:
        """What is wrong with the signature; nothing if it is right."""
        timestamp, nonce = headers["Recharge-Timestamp"], headers["Recharge-Nonce"]
        signed = f"v1\nPOST\n{path}\n{timestamp}\n{nonce}\n{hashlib.sha256(body).hexdigest()}"
        right = "v1=" + hmac.digest(self.secret.encode(), signed.encode(), "sha256").hex()
        if headers["Recharge-Key-Id"] != self.key_id:
            return "unknown key"
        if not hmac.compare_digest(right, headers["Recharge-Signature"]):
            return "wrong signature"
        if abs(time.time() - int(timestamp)) > 300:
            return "stale"
        if nonce in self.nonces:
            return "the same nonce again"
        self.nonces.add(nonce)
        return ""

    def submit(self, said: dict[str, Any], does: str) -> str:
        """Does it, and gives the status."""
        status = {"succeed": "succeeded", "fail": "failed", "unsure": "unknown"}.get(does, "accepted")
        known = self.records.get(said["reference"])
        if known is None:
            if does in ("forget", "refuse"):
                return "refused"
            known = Record(said["phone_number"], said["operator"], said["amount"], status)
            if status == "accepted":
                known.ends_as = "failed" if does == "accept_then_fail" else "succeeded"
                known.ends_at = time.monotonic() + LATER
            known.effects = int(status == "succeeded")
            self.records[said["reference"]] = known
        elif (known.phone_number, known.operator, known.amount) != (
            said["phone_number"],
            said["operator"],
            said["amount"],
        ):
            self.complaints.append(f"another recharge under the reference {said['reference']}")
        known.submits += 1
        self.settle(known)
        return known.status

    def inquire(self, said: dict[str, Any], does: str) -> str:
        if does == "unsure":
            return "unknown"
        known = self.records.get(said["reference"])
        if known is None:
            return "missing"
        known.inquiries += 1
        self.settle(known)
        return known.status

    def settle(self, record: Record) -> None:
        if record.status == "accepted" and time.monotonic() >= record.ends_at:
            record.status = record.ends_as
            record.effects += int(record.status == "succeeded")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.state.lock:
            self.state.connections += 1

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        with self.state.lock:
            for record in self.state.records.values():
                self.state.settle(record)
            told = {
                "records": {reference: asdict(record) for reference, record in self.state.records.items()},
                "complaints": self.state.complaints,
                "connections": self.state.connections,
            }
        self.say(200, json.dumps(told).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = json.loads(body)
        if self.path == "/behaviours":
            with self.state.lock:
                self.state.behaviours |= said
                self.state.complaints.clear()
            self.say(200, b"{}")
            return
        kind = self.path.rpartition("/")[2]
        with self.state.lock:
            if complaint := self.state.complaint(self.path, self.headers, body):
                self.state.complaints.append(complaint)
                does, seen, status = "refuse", "answer", "refused"
            else:
                does, seen = self.state.behaviour(kind, said["phone_number"])
                status = (self.state.submit if kind == "recharges" else self.state.inquire)(said, does)
                if known := self.state.records.get(said["reference"]):
                    known.traceparents += self.headers.get_all("traceparent", [])
        answer = {
            "reference": said["reference"],
            "status": status,
            "operator_reference": f"op-{said['reference'][-4:]}",
        }
        if status == "failed":
            answer["reason"] = "Number barred"
        self.show(seen, answer)

    def show(self, seen: str, answer: dict[str, Any]) -> None:
        right = json.dumps(answer).encode()
        match seen:
            case "answer":
                self.say(200, right)
            case "slow":
                time.sleep(SLOW)
                self.say(200, right)
            case "twice":
                self.say(200, right)
                self.say(200, right)
            case "hang":
                self.connection.settimeout(60)
                self.connection.recv(1)  # returns when the other side closes
                self.close_connection = True
            case "cut":
                self.close_connection = True
            case "cut_midway":
                self.say(200, right, cut_at=len(right) // 2)
            case "drip":
                self.say(200, right, drip=0.05)
            case "garbage":
                self.say(200, b"<html>\xff\x00 it works")
            case "too_large":
                self.say(200, right + b" " * 100_000)
            case "server_error":
                self.say(500, right)
            case "bare_client_error":
                self.say(400, b'{"error": "bad request"}')
            case "client_error":
                self.say(409, right)
            case "redirect":
                self.say(307, right, Location="/elsewhere/recharges")
            case "another_reference":
                self.say(200, json.dumps(answer | {"reference": "0" * 8 + answer["reference"][8:]}).encode())
            case "unheard_word":
                self.say(200, json.dumps(answer | {"status": "done"}).encode())
            case "echo":
                self.say(
                    200, json.dumps(answer | {"you_sent": dict(self.headers), "secret": self.state.secret}).encode()
                )
            case _:
                raise AssertionError(seen)

    def say(self, status: int, body: bytes, *, cut_at: int | None = None, drip: float = 0, **headers: str) -> None:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        head = (
            f"HTTP/1.1 {status} Said\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        )
        data = head.encode() + body
        if cut_at is not None:
            data = data[: len(head) + cut_at]
            self.close_connection = True
        try:
            for piece in [data] if not drip else [data[i : i + 1] for i in range(len(data))]:
                self.wfile.write(piece)
                time.sleep(drip)
        except OSError:  # the other side has had enough
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        pass  # a client that was killed, or does not trust the certificate


def main(certificate: str, key_id: str, secret: str) -> None:
    """Listens, over TLS if there is a certificate, and says on which port."""
    handler = type("ItsHandler", (Handler,), {"state": State(key_id, secret)})
    server = _Server(("127.0.0.1", 0), handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # The handshake is done by the connection's own thread, so that nobody can keep the others waiting.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_address[1], flush=True)
    server.serve_forever()


# --- For the tests ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MisbehavingOperator:
    """The process, and what it is asked and told."""

    url: str
    certificate: Path | None
    """What is to be trusted to speak to it."""
    process: subprocess.Popen[str]

    def behave(self, *behaviours: str, ending: str = "", inquiries: bool = False) -> None:
        """From now on, to every submission (or every inquiry): one of these, at random each time. With an ``ending``:
        for numbers that end in these two digits, before what is said for all."""
        for behaviour in behaviours:
            does, _, seen = behaviour.partition(":")
            assert does in ("", *DOES), behaviour
            assert seen in ("", *SEEN), behaviour
        kind = "inquiries" if inquiries else "recharges"
        self._control("POST", "/behaviours", {f"{kind} {ending}".strip(): behaviours})

    def records(self) -> dict[str, Record]:
        """By reference."""
        return {reference: Record(**record) for reference, record in self._told("records").items()}

    def complaints(self) -> list[str]:
        return cast(list[str], self._told("complaints"))

    def connections(self) -> int:
        """How many there have been, those of these questions included."""
        return cast(int, self._told("connections"))

    def _told(self, what: str) -> Any:
        return self._control("GET", "/")[what]

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        trusted = str(self.certificate) if self.certificate else None
        with urllib3.PoolManager(ca_certs=trusted, retries=False, timeout=10) as pool:
            root = self.url.removesuffix("/v1")
            response = pool.request(method, root + path, json=body, headers={"Connection": "close"})
        assert response.status == 200
        return response.json()


@contextmanager
def operating(
    directory: Path | None = None, *, key_id: str = KEY_ID, secret: str = SECRET
) -> Iterator[MisbehavingOperator]:
    """An operator until the block ends; over TLS, with a certificate made in ``directory``, if that is given."""
    certificate = make_certificate(directory) if directory else None
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.mobile_operator", str(certificate or ""), key_id, secret],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        port = process.stdout.readline().strip()
        assert port, "the operator did not start"
        yield MisbehavingOperator(f"{'https' if certificate else 'http'}://127.0.0.1:{port}/v1", certificate, process)
        assert process.poll() is None, "the operator died"
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    main(*sys.argv[1:])
