"""The product's own server, as processes beside the tests."""

import os
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

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Server:
    """``manage.py serve``: where it listens, its main process, and what it has logged so far."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def worker_pids(self) -> list[int]:
        """The processes that answer requests."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
        return [pid for pid, command in commands.items() if b"resource_tracker" not in command]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(
    log: Path, *, workers: int = 2, threads: int = 4, environment: dict[str, str] | None = None
) -> Iterator[Server]:
    """Runs ``manage.py serve`` on the tests' database until the block ends; it must then stop cleanly."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "manage.py", "serve", "--port", address.split(":")[1]]
    command += ["--workers", str(workers), "--threads", str(threads)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=os.environ | (environment or {})
        )
    try:
        wait_until_ready(address, process, log)
        yield Server(address, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert status == 0, log.read_text()[-2000:]


def wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Asks ``/readyz`` until it says yes."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}:\n{log.read_text()[-3000:]}")
        try:
            if urllib3.request("GET", f"http://{address}/readyz", retries=False, timeout=5).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            time.sleep(0.05)  # between two looks at a process that is starting
    raise AssertionError(f"the server did not get ready:\n{log.read_text()[-3000:]}")
