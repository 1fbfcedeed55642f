"""The product's own server, as processes beside the tests."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

from tests.support import citus, forking

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Server:
    """``manage.py serve``: where it listens, its main process, and what it has logged so far."""

    address: str
    process: subprocess.Popen[bytes] | forking.Process
    log: Path

    def generations(self) -> list[int]:
        """The processes that Granian runs in: one, and two while one takes over from the other."""
        others = {b"deliver", b"saas.metrics_process"}
        return [pid for pid, command in children_of(self.process.pid) if not others & {*command.split(b"\0")}]

    def worker_pids(self) -> list[int]:
        """The processes that answer requests."""
        return [pid for generation in self.generations() for pid, _ in children_of(generation)]

    def delivery_pids(self) -> list[int]:
        """The delivery worker beside it; none while another one is about to be started."""
        return [pid for pid, command in children_of(self.process.pid) if b"deliver" in command.split(b"\0")]

    def readiness(self) -> tuple[int, str | None]:
        """What ``/readyz`` says: the status, and why it is not 200."""
        answer = self._ask_whether_ready()
        return answer.status, answer.json().get("detail")

    def wait_until_ready(self) -> None:
        """Asks ``/readyz`` until it says yes."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}")
            try:
                if self._ask_whether_ready().status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(0.05)  # between two looks at a process that is starting
        raise AssertionError(f"it did not get ready:\n{self.log.read_text()[-3000:]}")

    def _ask_whether_ready(self) -> urllib3.BaseHTTPResponse:
        """Keeps no connection: a server behind a proxy waits for those when it stops (saas/draining.py)."""
        return urllib3.request(
            "GET", f"http://{self.address}/readyz", headers={"Connection": "close"}, retries=False, timeout=10
        )


def children_of(pid: int) -> list[tuple[int, bytes]]:
    """Ids and command lines."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [(int(child), Path(f"/proc/{child}/cmdline").read_bytes()) for child in children]
    except FileNotFoundError:  # it ended between the two
        return []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def working_environment() -> dict[str, str]:
    """The environment of a process that works on the tests' database as an installation's processes do: by a role that
    does not own the tables."""
    owner = os.environ["DATABASE_URL"]
    working = _by_working_role(owner)
    environment = dict(os.environ) | {"DATABASE_URL": working, "OWNER_DATABASE_URL": owner}
    if direct := os.environ.get("DIRECT_DATABASE_URL"):
        environment |= {"OWNER_DATABASE_URL": direct, "DIRECT_DATABASE_URL": _by_working_role(direct)}
    return environment


def working_url() -> str:
    """The address of the tests' database by that role, past a pooler: tests hold sessions of their own."""
    return _by_working_role(os.environ.get("DIRECT_DATABASE_URL") or os.environ["DATABASE_URL"])


def _by_working_role(address: str) -> str:
    working = re.sub("(?<=//)[^:@]+", os.environ["TEST_WORKING_ROLE"], address, count=1)
    assert working != address or citus.nodes()  # there one role does everything
    return working


@contextmanager
def serving(
    log: Path,
    *,
    workers: int = 2,
    threads: int = 4,
    environment: dict[str, str] | None = None,
    wait: bool = True,
    delivery: bool = False,
    port: int | None = None,
    root: Path = ROOT,
) -> Iterator[Server]:
    """Runs ``manage.py serve`` until the block ends; it must then stop cleanly.

    Without ``delivery`` no worker beside it takes what a test wants to see pending. It serves
    the tests' database, or what an ``environment`` of its own says; without ``wait`` it may not be ready yet. A
    ``port`` is given where it must be known before. ``root`` is where the code is, of another release for example.
    """
    port = port or free_port()
    address = f"127.0.0.1:{port}"
    command = ["serve", "--port", str(port)]
    command += ["--workers", str(workers), "--threads", str(threads)]
    command += [] if delivery else ["--no-delivery"]
    environment = environment or working_environment()
    process: subprocess.Popen[bytes] | forking.Process
    with log.open("wb") as output:
        if root == ROOT:
            process = forking.start(command, environment=environment, stdout=output)
        else:
            whole = [sys.executable, "manage.py", *command]
            process = subprocess.Popen(whole, cwd=root, stdout=output, stderr=subprocess.STDOUT, env=environment)
    server = Server(address, process, log)
    try:
        if wait:
            server.wait_until_ready()
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert status == 0, log.read_text()[-2000:]
