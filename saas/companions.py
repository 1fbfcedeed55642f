"""Keeps processes running beside the web server, and ends them with it. Needs nothing of Django.

They are processes and not threads of the server: it forks its web processes, and a fork of a process with threads
inherits the locks that they hold.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType

from shared.journal import is_journal, say, with_priority

LOOK_SECONDS = 2.0
"""Between two looks at whether they run."""


@dataclass(slots=True)
class Companion:
    """A module that is run, with the server's process id and more as its arguments. It ends by itself when that process
    is gone."""

    module: str
    arguments: Sequence[str]
    name: str
    """In the log."""
    event: str
    """What the log says when it has ended, and is started again."""
    stop_seconds: float
    """What it may take to end."""
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        command = [sys.executable, "-m", self.module, str(os.getpid()), *self.arguments]
        self.process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, preexec_fn=_hear_all_but_ctrl_c
        )

    def look(self) -> None:
        status = self.process.poll() if self.process else None
        if status is not None:
            log_line(self.event, f"{self.name} ended with {status}; another one is started.", status=status)
            self.start()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Companions:
    """Starts companions, and starts one again that ends before :meth:`stop`.

    A timer's signal looks at them, in the main thread, for want of a thread that a fork of web processes would meet.
    """

    def __init__(self, companions: Sequence[Companion]) -> None:
        self._companions = companions
        if companions:
            signal.signal(signal.SIGALRM, self._look)
        self._start()

    def renew(self) -> None:
        """Starts each again, from the code that is there now."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """Waits for one after the other, until each has finished what it has begun."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for companion in self._companions:
            companion.stop()

    def _start(self) -> None:
        for companion in self._companions:
            companion.start()
        if self._companions:
            signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)

    def _look(self, _number: int, _frame: FrameType | None) -> None:
        for companion in self._companions:
            companion.look()


def _hear_all_but_ctrl_c() -> None:
    """Ctrl-C reaches every process of a terminal; and the server takes its signals from where they wait."""
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGINT})


def log_line(event: str, detail: str, *, status: int | None = None, level: str = "error") -> None:
    """Writes a line as shared/logs.py does, without what that needs."""
    line = {
        **({} if status is None else {"status": status}),
        "detail": detail,
        "event": event,
        "level": level,
        "logger": "recharge.serve",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    text = json.dumps(line)
    if is_journal(2):
        text = with_priority(text, level)
    say(text, descriptor=2)
