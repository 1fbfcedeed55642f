"""Keeps the server's processes running: the web processes', and the delivery worker's. It hands over without a gap.

The web processes of one start are a generation: a process that Granian runs in, and those that it forks. On SIGHUP a
new generation is started from the code that is there by then. It has the same listening socket, so that nothing that
waits there is lost, and takes nothing from it until it is ready. Then the generation before is told to end (which
answers what it has accepted, saas/draining.py), and so is its delivery worker. A generation that does not get ready is
ended, and the one before goes on.

This module needs nothing of Django: it runs for as long as the server does, so it holds little that a new release could
change.
"""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from saas.companions import Companion, Companions, log_line
from saas.reload import HANDED_OVER, NOT_HANDED_OVER, answer
from shared.processes import end_with

READY_SECONDS = 120.0
"""What a new generation has to get ready, while the one before serves."""

WEB_STOP_SECONDS = 50.0
"""What web processes have to end: for connections that are kept open (saas/draining.py), and for what has begun."""

WORKER_STOP_SECONDS = 40.0
"""What a delivery worker has to finish what it has begun; more than its longest call."""

SERVER_STOP_SECONDS = 60.0
"""What all of it takes to stop, at most: the web processes and the delivery worker, then what runs beside them."""

RESTART_SECONDS = 2.0
"""Between the end of a worker that was not stopped and the start of the next."""

LOOK_SECONDS = 0.2
"""Between two looks at the processes."""

_STOPPED = (0, -signal.SIGTERM, 128 + signal.SIGTERM)
"""What a process ends with that was told to: also one that had not started yet."""


@dataclass
class _Child:
    """A process that this one has started."""

    pid: int
    status: int | None = None
    """What it has ended with."""
    deadline: float | None = None
    """When it is killed, if it was told to end."""

    def has_ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def end(self, seconds: float) -> None:
        """Tells it to end, and gives it so many seconds."""
        if self.deadline is None:
            self.deadline = time.monotonic() + seconds
            self._tell(signal.SIGTERM)

    def kill_if_late(self) -> None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            self._tell(signal.SIGKILL)

    def _tell(self, number: int) -> None:
        if not self.has_ended():
            os.kill(self.pid, number)


@dataclass
class Generation(_Child):
    """Web processes of one start. ``told`` is the end of a pipe on which each writes a byte when it is ready."""

    told: int = -1
    processes: int = 1
    given_up_at: float = field(default_factory=lambda: time.monotonic() + READY_SECONDS)
    _ready: int = 0

    def is_ready(self) -> bool:
        while self._ready < self.processes and select.select([self.told], [], [], 0)[0]:
            said = os.read(self.told, self.processes)
            if not said:
                return False  # they have ended
            self._ready += len(said)
        return self._ready >= self.processes

    def forget(self) -> None:
        """Nobody waits for it any more, which its processes see by the pipe."""
        os.close(self.told)


@dataclass
class Supervisor:
    """``command`` is what starts a generation, but for the two descriptors that it is handed."""

    listener: socket.socket
    command: list[str]
    processes: int
    deliver: list[str] | None
    """The command of the delivery worker; None: none runs beside the web processes."""
    companions: Sequence[Companion]
    """What else runs beside them."""
    parent: int | None
    """The process that this one ends with."""
    _leaving: list[_Child] = field(default_factory=list)
    _worker: _Child | None = None
    _worker_due: float = 0.0
    _kept: Companions = field(init=False)

    def run(self, begin: Callable[[int], None]) -> int:
        """Runs the server until it is told to stop. ``begin`` is the first generation, in a fork of this process; it is
        handed the end of the pipe.

        Returns:
            The exit status.
        """
        # They are taken from where they wait, in _next_signal: no handler interrupts anything.
        signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            os.close(reading)
            # Ctrl-C reaches every process of a terminal; these are told to end by this one, in their turn.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals - {signal.SIGINT})
            begin(writing)
            return 0
        os.close(writing)
        if self.parent:
            end_with(self.parent, seconds=SERVER_STOP_SECONDS)
        self._kept = Companions(self.companions)
        web, following = Generation(pid, told=reading, processes=self.processes), None
        has_begun = False
        while not web.has_ended():
            number = _next_signal(signals)
            if number in (signal.SIGTERM, signal.SIGINT):
                return self._stop(web, following)
            if number == signal.SIGHUP:
                if following:
                    self._give_up(following)
                following = self._start_generation()
            if not has_begun and web.is_ready():
                has_begun = True
                web.forget()
                _say_ready()
                self._worker_due = time.monotonic()
            if following and following.has_ended():
                _say(NOT_HANDED_OVER, f"The new web processes ended with {following.status}; those before go on.")
                following.forget()
                following = None
            elif following and has_begun and following.is_ready():
                following.forget()
                web, following = self._hand_over(web, following), None
            elif following and time.monotonic() > following.given_up_at:
                _say(NOT_HANDED_OVER, f"After {READY_SECONDS:.0f} s they are not ready; those before go on.")
                self._give_up(following)
                following = None
            self._look()
        if has_begun:
            log_line("web_processes_ended", f"The web processes ended with {web.status}; so does the server.")
        return self._stop(web, following) or 1

    def _start_generation(self) -> Generation:
        reading, writing = os.pipe()
        descriptors = [self.listener.fileno(), writing]
        with _inheritable(descriptors):
            arguments = ["--listener", str(descriptors[0]), "--ready", str(descriptors[1])]
            pid = _start([*self.command, *arguments])
        os.close(writing)
        return Generation(pid, told=reading, processes=self.processes)

    def _give_up(self, generation: Generation) -> None:
        generation.forget()
        generation.end(WEB_STOP_SECONDS)
        self._leaving.append(generation)

    def _hand_over(self, web: Generation, following: Generation) -> Generation:
        _say(HANDED_OVER, "New web processes serve; those before end.", level="info")
        web.end(WEB_STOP_SECONDS)
        self._leaving.append(web)
        if self._worker:
            self._worker.end(WORKER_STOP_SECONDS)
            self._leaving.append(self._worker)
            self._worker = None
        self._worker_due = time.monotonic()
        self._kept.renew()
        return following

    def _look(self) -> None:
        for child in self._leaving:
            child.kill_if_late()
        self._leaving = [child for child in self._leaving if not child.has_ended()]
        if self._worker and self._worker.has_ended():
            # What it held is due again when its time runs out.
            status = self._worker.status
            log_line("delivery_worker_ended", f"The delivery worker ended with {status}; another one is started.")
            self._worker = None
            self._worker_due = time.monotonic() + RESTART_SECONDS
        if self.deliver and not self._worker and 0 < self._worker_due <= time.monotonic():
            self._worker = _Child(_start(self.deliver))

    def _stop(self, web: Generation, following: Generation | None) -> int:
        """Ends all of it. The delivery worker is told at the same time as the web processes: who waits in a socket of
        systemd's for the next server waits for the slower of them, and not for both."""
        self.listener.close()  # it is refused from when the web processes close theirs, and nobody waits for nothing
        for generation in (web, following):
            if generation:
                generation.end(WEB_STOP_SECONDS)
                self._leaving.append(generation)
        if self._worker:
            self._worker.end(WORKER_STOP_SECONDS)
            self._leaving.append(self._worker)
        _wait(self._leaving)
        self._kept.stop()
        assert web.status is not None
        return 0 if web.status in _STOPPED else abs(web.status)


def _say(event: str, detail: str, *, level: str = "error") -> None:
    """To the log, and to who has asked for new processes."""
    log_line(event, detail, level=level)
    answer(event)


def _say_ready() -> None:
    """To a service manager that waits for it (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(b"READY=1", address)
    except OSError as error:
        log_line("readiness_not_said", f"The service manager could not be told that all is ready: {error}")


def _next_signal(signals: set[signal.Signals]) -> int | None:
    """Which has come; None: none did for a while."""
    come = signal.sigtimedwait(signals, LOOK_SECONDS)
    return come.si_signo if come else None


def _wait(children: list[_Child]) -> None:
    while any(not child.has_ended() for child in children):
        for child in children:
            child.kill_if_late()
        time.sleep(LOOK_SECONDS / 10)


def _start(command: list[str]) -> int:
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    return os.posix_spawn(command[0], command, os.environ, file_actions=[nothing], setsigmask=[signal.SIGINT])


@contextmanager
def _inheritable(descriptors: list[int]) -> Iterator[None]:
    """They go to what is started meanwhile, and to nothing else."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
