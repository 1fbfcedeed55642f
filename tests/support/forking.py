"""Runs ``manage.py`` without the second that its imports take.

A process of its own imports what a command imports, and forks for each one that is asked for. What it forks has
arguments, an environment, a session and standard streams of its own, runs manage.py from its first line, and ends as
any process does. There are three: one knows packages alone, and what it forks reads its settings from its environment;
the others have set Django up as the tests have it, for commands with the same settings, by the role that owns the
tables or by the one that works with them.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = (
    "django.contrib.messages.middleware",
    "django.contrib.staticfiles.finders",
    "django.core.management.commands.runserver",
    "django.db.backends.postgresql.base",
    "django.db.migrations.executor",
    "django.forms",
    "django.template.loader_tags",
    "django.test",
    "django.views.generic",
    "csp.middleware",
    "environ",
    "granian.server",
    "jwt",
    "openpyxl",
    "phonenumbers.carrier",
    "rest_framework",
    "rich.console",
    "rich.progress",
    "rich.traceback",
    "structlog",
    "urllib3",
    "xlsxwriter",
)
"""What takes long to import, and reads no settings when it is imported."""


class Process:
    """A command that runs; a part of what :class:`subprocess.Popen` can."""

    def __init__(
        self, args: list[str], status: int, stdout: IO[str] | None = None, stderr: IO[str] | None = None
    ) -> None:
        self.args = args
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._status = os.fdopen(status)
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        """What it has said on its two streams until it ended."""
        deadline = time.monotonic() + timeout
        said = {stream: b"" for stream in (self.stdout, self.stderr) if stream}
        is_open = set(said)
        while is_open:
            ready, _, _ = select.select(is_open, [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired(self.args, timeout)
            for stream in ready:
                if read := os.read(stream.fileno(), 65536):
                    said[stream] += read
                else:
                    stream.close()
                    is_open.remove(stream)
        self.wait(max(0, deadline - time.monotonic()))
        output, errors = (said[stream].decode() if stream else "" for stream in (self.stdout, self.stderr))
        return output, errors

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    arguments: list[str],
    *,
    environment: Mapping[str, str],
    stdin: IO[Any] | None = None,
    stdout: IO[Any] | None = None,
    new_session: bool = False,
) -> Process:
    """Starts ``manage.py``. It reads ``stdin``, or finds nothing to read; what it says goes to ``stdout``, or into two
    pipes."""
    ends = [os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin.fileno())]
    pipes: list[IO[str]] = []
    if stdout is None:
        for _ in range(2):
            reading, writing = os.pipe()
            pipes.append(os.fdopen(reading))
            ends.append(writing)
        streams = ends.copy()
    else:
        streams = [*ends, stdout.fileno(), stdout.fileno()]
    status, writing = os.pipe()
    ends.append(writing)
    order = {"arguments": arguments, "environment": dict(environment), "new_session": new_session}
    try:
        socket.send_fds(_forker(environment), [json.dumps(order).encode()], [*streams, writing])
    finally:
        for end in ends:
            os.close(end)
    return Process(["manage.py", *arguments], status, *pipes)


def _forker(environment: Mapping[str, str]) -> socket.socket:
    from tests.support.environment import SETTINGS

    owner = os.environ["DATABASE_URL"]
    ours = {"DATABASE_URL": owner, "OWNER_DATABASE_URL": None}
    if is_working := environment.get("OWNER_DATABASE_URL") == owner:
        ours = {"DATABASE_URL": environment["DATABASE_URL"], "OWNER_DATABASE_URL": owner}
    names = {*SETTINGS, "RECHARGE_EMBEDDED", "DJANGO_SETTINGS_MODULE"} - ours.keys()
    # Behind a pooler a command decides before it reads its settings which way it goes.
    has_our_settings = (
        not environment.get("DATABASE_POOLER")
        and all(environment.get(name) == os.environ.get(name) for name in names)
        and all(environment.get(name) == value for name, value in ours.items())
    )
    if not has_our_settings:
        return _start_forker(is_for_tests=False)
    return _start_forker(is_for_tests=True, working=environment["DATABASE_URL"] if is_working else None, owner=owner)


@cache
def _start_forker(*, is_for_tests: bool, working: str | None = None, owner: str = "") -> socket.socket:
    """One that has set Django up, or not; by the role of this address (None: the owner's)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with theirs:
        command = [
            sys.executable,
            "-m",
            "tests.support.forking",
            str(theirs.fileno()),
            "django" if is_for_tests else "",
        ]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"DATABASE_URL": working, "OWNER_DATABASE_URL": owner} if working else None,
        )

    def stop() -> None:
        ours.close()
        process.wait()

    atexit.register(stop)
    return ours


def main(descriptor: int, *, with_django: bool) -> None:
    """Forks until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then end this
    _import(with_django=with_django)
    gc.freeze()  # else each process would visit, and so copy, all of it when it ends, which took half a second
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    asked = socket.socket(fileno=descriptor)
    while True:
        order, descriptors, _, _ = socket.recv_fds(asked, 1 << 20, 4)
        if not order:
            return
        if not os.fork():
            asked.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _keep(json.loads(order), *descriptors)
            return
        for one in descriptors:
            os.close(one)


def _import(*, with_django: bool) -> None:
    for name in PACKAGES:
        importlib.import_module(name)
    if with_django:
        import django

        django.setup()
        for urls in ("saas.urls_organization", "saas.urls_platform", "saas.wsgi"):
            importlib.import_module(urls)


def _keep(order: dict[str, Any], stdin: int, stdout: int, stderr: int, status: int) -> None:
    """Forks the command, and tells its process id and what it ended with: only a parent is told."""
    pid = os.fork()
    if pid:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        with os.fdopen(status, "w", buffering=1) as told:
            print(pid, file=told)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=told)
        os._exit(0)
    os.close(status)
    if order["new_session"]:
        os.setsid()
    for descriptor, number in ((stdin, 0), (stdout, 1), (stderr, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["manage.py", *order["arguments"]]
    runpy.run_path("manage.py", run_name="__main__")


if __name__ == "__main__":
    main(int(sys.argv[1]), with_django=bool(sys.argv[2]))
