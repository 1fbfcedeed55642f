"""Keeps a delivery worker running beside the web server, and ends it with the server, however that ends.

This is a process of its own, and not a thread of the server: the server forks its workers, and a fork of a process with
threads inherits the locks that they hold. It runs ``manage.py deliver`` and needs nothing of Django itself.
"""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from types import FrameType
from typing import NoReturn

from shared.processes import without_ctrl_c

RESTART_SECONDS = 2.0
"""Between the end of a worker that was not stopped and the start of the next; and between two looks at its keeper."""

STOP_SECONDS = 40
"""What a worker has to finish what it has begun; more than its longest call."""


class WorkerBeside:
    """The process that keeps a worker running, which is started again if it ends before :meth:`stop`.

    A timer's signal looks at it, in the main thread, for want of a thread that a fork of the web processes would meet.
    """

    def __init__(self) -> None:
        self._process = _start()
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, RESTART_SECONDS, RESTART_SECONDS)

    def stop(self) -> None:
        """Waits until the worker has finished what it has begun."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its worker then ends by itself

    def _look(self, _number: int, _frame: FrameType | None) -> None:
        status = self._process.poll()
        if status is not None:
            # Its worker has seen it too, and ends when it has finished what it has begun.
            _log("delivery_keeper_ended", "The process that keeps the delivery worker ended", status)
            self._process = _start()


def _start() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "saas.worker_process", str(os.getpid()), sys.argv[0]]
    with without_ctrl_c():
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603


def _log(event: str, what: str, status: int) -> None:
    """A line as shared/logs.py writes them, without what that needs."""
    line = {
        "status": status,
        "detail": f"{what} with {status}; another one is started.",
        "event": event,
        "level": "error",
        "logger": "recharge.serve",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    os.write(2, f"{json.dumps(line)}\n".encode())  # at once, and past every lock that a fork could inherit


def _keep_running(server: int, manage: str) -> NoReturn:
    is_stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    while True:
        worker = subprocess.Popen([sys.executable, manage, "deliver", "--beside", str(os.getpid())])  # noqa: S603
        while worker.poll() is None:
            time.sleep(0.2)
            if is_stopping or os.getppid() != server:
                _finish(worker)
        _log("delivery_worker_ended", "The delivery worker ended", worker.returncode)
        time.sleep(RESTART_SECONDS)


def _finish(worker: "subprocess.Popen[bytes]") -> NoReturn:
    worker.terminate()
    try:
        worker.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()  # what it held is due again when its time runs out
    sys.exit()


if __name__ == "__main__":
    _keep_running(int(sys.argv[1]), sys.argv[2])
