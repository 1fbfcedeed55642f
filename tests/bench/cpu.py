"""CPU time of a server and of its database, and two checkouts of the product beside each other.

Rates swing by half on machines that are shared. The CPU that a request costs hardly does.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import urllib3

PASSWORD = "correct horse battery"


class Cpu(NamedTuple):
    """Seconds of CPU that processes have used so far."""

    web: float
    database: float

    def since(self, before: "Cpu", requests: int) -> "Cpu":
        """Milliseconds of each request."""
        return Cpu(*(1000 * (now - then) / max(1, requests) for now, then in zip(self, before, strict=True)))


def cpu_of(server: int, data_directory: Path) -> Cpu:
    """Of a server and its web processes, and of the database in this directory with all its processes."""
    postmaster = int((data_directory / "postgres" / "postmaster.pid").read_text().split()[0])
    return Cpu(_seconds(server), _seconds(postmaster))


def _seconds(pid: int) -> float:
    """With that of children, and of those that have ended."""
    whole = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            whole += times.user + times.system + times.children_user + times.children_system
    return whole


@dataclass
class Checkout:
    """A checkout's own server on a database of its own, with 20 sellers in two organizations."""

    root: Path
    directory: Path
    address: str
    server: "subprocess.Popen[bytes]"

    def cpu(self) -> Cpu:
        return cpu_of(self.server.pid, self.directory)

    def prepare(self) -> None:
        """Organizations and sellers, over the checkout's own commands and its API: these stay."""
        for slug in _ORGANIZATIONS:
            command = ["create_organization", slug, "--name", slug, "--admin-username", "bench"]
            _manage(self.root, self.directory, *command, "--admin-password", PASSWORD)
            admin = self.sign_in(slug, "bench")
            for name in _SELLERS:
                seller = {"name": name, "username": name, "password": PASSWORD}
                self.call(slug, "POST", "/sellers", seller, admin)
                asked = self.call(slug, "POST", "/credit-requests", {"amount": 10**12}, self.sign_in(slug, name))
                self.call(slug, "POST", f"/credit-requests/{asked['id']}/approve", {}, admin)

    def write_sellers(self) -> None:
        """Files of one seller and of 20, for the load, with tokens that are good for five minutes."""
        lines = [f"{slug}.localhost {self.sign_in(slug, name)}" for slug in _ORGANIZATIONS for name in _SELLERS]
        for count in (1, len(lines)):
            (self.directory / f"{count}.sellers").write_text("\n".join(lines[:count]) + "\n")

    def any_recharge(self) -> str:
        """The id of a recharge of the first seller."""
        slug, name = _ORGANIZATIONS[0], _SELLERS[0]
        sale = {"phone_number": "09121234567", "amount": 5000}
        return str(self.call(slug, "POST", "/recharges", sale, self.sign_in(slug, name))["id"])

    def sign_in(self, slug: str, username: str) -> str:
        answer = self.call(slug, "POST", "/auth/token", {"username": username, "password": PASSWORD})
        return str(answer["access"])

    def call(self, slug: str, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        headers = {"Host": f"{slug}.localhost", "Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = f"http://{self.address}/api/v1{path}"
        answer = urllib3.request(
            method, url, body=None if body is None else json.dumps(body), headers=headers, retries=False
        )
        if answer.status >= 300:
            raise SystemExit(f"{self.root}: {method} {path}: {answer.status} {answer.data[:500]!r}")
        return answer.json()


def _manage(root: Path, directory: Path, *arguments: str) -> None:
    command = [sys.executable, "manage.py", *arguments]
    environment = _environment(directory)
    run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{root}: {' '.join(arguments[:2])}: {run.stdout}{run.stderr}")


_ORGANIZATIONS = ("one", "two")
_SELLERS = [f"seller-{number}" for number in range(10)]


def _environment(directory: Path) -> dict[str, str]:
    known = {"DATABASE_URL", "SECRET_KEY", "BASE_DOMAIN", "LOG_LEVEL", "DJANGO_SETTINGS_MODULE", "RECHARGE_EMBEDDED"}
    return {name: value for name, value in os.environ.items() if name not in known} | {
        "RECHARGE_DATA_DIR": str(directory)
    }


@contextmanager
def checkout(root: Path, directory: Path) -> Iterator[Checkout]:
    """Starts a checkout's server, on this interpreter and its packages, until the block ends."""
    directory.mkdir()
    _manage(root, directory, "migrate_schemas", "--noinput")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (directory / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(port), "--no-delivery"],
            cwd=root,
            env=_environment(directory),
            stdout=log,
            stderr=log,
        )
    made = Checkout(root, directory, f"127.0.0.1:{port}", server)
    try:
        try:
            wait_until_ready(server, made.address)
        except SystemExit as error:
            raise SystemExit(f"{root}: {error}\n{(directory / 'server.log').read_text()[-2000:]}") from None
        made.prepare()
        yield made
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def wait_until_ready(server: "subprocess.Popen[bytes]", address: str) -> None:
    for _ in range(600):
        if server.poll() is not None:
            break
        try:
            if urllib3.request("GET", f"http://{address}/readyz", retries=False, timeout=5).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit("The server did not start.")
