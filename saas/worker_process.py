"""Keeps a delivery worker running beside the web server, and ends it with the server, however that ends.

It runs ``manage.py deliver`` and needs nothing of Django itself.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import NoReturn

from saas.beside import Companion, log_line

RESTART_SECONDS = 2.0
"""Between the end of a worker that was not stopped and the start of the next."""

STOP_SECONDS = 40
"""What a worker has to finish what it has begun; more than its longest call."""


def worker_beside() -> Companion:
    """The process that keeps a worker. If it is killed, its worker ends when it has finished what it has begun."""
    return Companion(
        module="saas.worker_process",
        arguments=[sys.argv[0]],
        name="The process that keeps the delivery worker",
        event="delivery_keeper_ended",
        stop_seconds=STOP_SECONDS + 5,
    )


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
        status = worker.returncode
        detail = f"The delivery worker ended with {status}; another one is started."
        log_line("delivery_worker_ended", detail, status=status)
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
