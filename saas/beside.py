"""A delivery worker beside the web server: kept running, and taken along when the server ends, however it ends.

This is a process of its own, and not a thread of the server: the server forks its workers, and a fork of a process with
threads inherits the locks that they hold. It runs ``manage.py deliver`` and needs nothing of Django itself.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import NoReturn

RESTART_SECONDS = 2.0
"""Between the end of a worker that was not stopped and the start of the next."""

STOP_SECONDS = 40
"""What a worker has to finish what it has begun; more than its longest call."""


def start_worker() -> "subprocess.Popen[bytes]":
    """Starts the process that keeps a worker running; SIGTERM stops both when what was begun is finished."""
    command = [sys.executable, "-m", "saas.beside", str(os.getpid()), sys.argv[0]]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603


def stop_worker(process: "subprocess.Popen[bytes]") -> None:
    """Waits until it has finished what it has begun."""
    process.terminate()
    process.wait(STOP_SECONDS + 5)


def _keep_running(server: int, manage: str) -> NoReturn:
    is_stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server too, which then stops this
    while True:
        worker = subprocess.Popen([sys.executable, manage, "deliver", "--beside", str(os.getpid())])  # noqa: S603
        while worker.poll() is None:
            time.sleep(0.2)
            if is_stopping or os.getppid() != server:
                _finish(worker)
        print(f"The delivery worker ended with {worker.returncode}; another one is started.", file=sys.stderr)
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
