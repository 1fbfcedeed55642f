import gc
import ipaddress
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.util import Finalize
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg2
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from granian._granian import SocketHolder
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from saas import embedded, gate, readiness, seats, stalled
from saas.companions import Companion
from saas.draining import DRAIN_SECONDS, drain_at
from saas.metrics_process import metrics_beside
from saas.migrated import is_migrated
from saas.neighbours import Neighbours
from saas.supervisor import Supervisor
from shared import tracing
from shared.identity.hashing import leave_seats
from shared.journal import say
from shared.metrics import keep_shared_directory, share_in, watch_process
from shared.processes import end_with
from tenants import direct
from tenants.collation import changed_collation
from tenants.functions import PUBLIC
from tenants.queries import working_organizations
from tenants.schemas import states_of

THREADS = 5
"""Per worker process. A thread mostly waits for PostgreSQL; more of them take turns at the interpreter. What they are
worth: deploy/README.md, "Processes, threads, connections"."""

BACKLOG = 1024
"""Connections that may wait to be taken; those of all processes together."""

DRAIN = signal.SIGUSR1
"""Tells a web process to take no more connections, and to end when those that it has are gone."""

_FIRST_HANDED_OVER = 3

MOST = 1000
"""Processes, and threads of each: more is a slip of the finger."""

ORPHAN_SECONDS = 10.0
"""What a web process has to finish its requests when the server was killed: nobody else would end it, and it holds the
port."""

STOP_SECONDS = 29.0
"""What web processes have to finish their requests, once connections are drained; a second later they are killed."""

TELL_AGAIN_SECONDS = 1.0
"""Between two times that they are told to end, meanwhile."""

LOOK_SECONDS = 0.02
"""Between two looks at whether they have ended, meanwhile."""

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - what is made there has a name that nobody could guess

SWITCH_SECONDS = 0.001
"""How long a thread keeps the interpreter that another one waits for (Python's default is 0.005). A sale lets go of it
some ten times, to talk to the database, and each time waits as long for a download that writes its lines."""


class Command(BaseCommand):
    help = (
        "Serves HTTP with Granian: processes of several threads. SIGINT or SIGTERM stops it after what it has begun; "
        "SIGHUP puts processes of the code that is there now in the place of those that serve."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help="default: 127.0.0.1; a socket that systemd opens comes first"
        )
        parser.add_argument("--port", type=int, default=8000, help="default: 8000")
        parser.add_argument(
            "--workers",
            type=int,
            default=max(2, os.cpu_count() or 1),
            help="processes; default: one a core, at least 2",
        )
        parser.add_argument("--threads", type=int, default=THREADS, help=f"of each process; default: {THREADS}")
        parser.add_argument(
            "--no-delivery",
            action="store_true",
            help="no delivery worker beside it: recharges wait until a `manage.py deliver` runs somewhere",
        )
        parser.add_argument("--beside", type=int, help="stop when this process, the parent, is gone")
        # What the server hands to those of its processes that come after others (saas/supervisor.py).
        parser.add_argument("--listener", type=int, help=SUPPRESS)
        parser.add_argument("--ready", type=int, help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["workers"] <= MOST or not 1 <= options["threads"] <= MOST:
            raise CommandError(f"--workers and --threads must be 1 to {MOST}.")
        if options["listener"] is not None:
            self._be_next_generation(options)
            return
        listener = handed_over() or listen(options["host"], options["port"])
        check_it_is_shielded(listener.getsockname()[0])
        with companions() as beside:
            supervisor = Supervisor(
                listener,
                command=[sys.executable, *sys.argv],
                processes=options["workers"],
                deliver=None
                if options["no_delivery"]
                else [sys.executable, sys.argv[0], "deliver", "--beside", str(os.getpid())],
                companions=beside,
                parent=options["beside"],
            )
            status = supervisor.run(lambda ready: self._be_first_generation(listener, ready, options))
        if status:
            sys.exit(status)

    def _be_first_generation(self, listener: socket.socket, ready: int, options: dict[str, Any]) -> None:
        end_with(os.getppid(), seconds=ORPHAN_SECONDS)
        self._prepare_database()
        host, port = listener.getsockname()[:2]
        _say(
            f"Listening on {host}:{port} for {settings.BASE_DOMAIN} and its subdomains, with "
            f"{options['workers']} processes of {options['threads']} threads"
            f"{'' if options['no_delivery'] else ' and a delivery worker'}. Ctrl-C stops; SIGHUP takes new code."
        )
        _say(what_to_open(port))
        self._warn()
        self._serve(_Loader(os.getpid(), options["threads"], listener, ready), options["workers"])

    def _be_next_generation(self, options: dict[str, Any]) -> None:
        end_with(os.getppid(), seconds=ORPHAN_SECONDS)
        keep_shared_directory()
        for descriptor in (options["listener"], options["ready"]):
            os.set_inheritable(descriptor, False)
        listener = socket.socket(fileno=options["listener"])
        self._warn()
        loader = _Loader(os.getpid(), options["threads"], listener, options["ready"], waits=True)
        self._serve(loader, options["workers"])

    def _prepare_database(self) -> None:
        """Migrates the embedded database; of another one says what is wrong, and goes on: it answers 503 until then."""
        if embedded.is_used():
            migrate = [sys.executable, sys.argv[0], "migrate_schemas", "--noinput", "--verbosity", "0"]
            # One broken organization, which is named, keeps no other from being served.
            if subprocess.run(migrate, check=False).returncode and not self._is_migrated():  # noqa: S603
                raise CommandError("The embedded database could not be migrated; the message above says why.")
            return
        try:
            if not self._is_migrated():
                _complain("The database lacks migrations: run manage.py migrate_schemas. Until then the answer is 503.")
        except psycopg2.OperationalError as error:
            _complain(f"The database can't be reached; until it can, the answer is 503: {str(error).strip()}")
        except psycopg2.Error as error:
            _complain(f"The database does not answer as it should: {str(error).strip()}")

    def _is_migrated(self) -> bool:
        with closing(direct.connect()) as opened, opened.cursor() as cursor:
            return is_migrated(cursor)

    def _warn(self) -> None:
        try:
            if changed := changed_collation():
                _complain(f"WARNING: the database {': '.join(changed)}")
            schemas = [PUBLIC, *working_organizations().values_list("schema_name", flat=True)]
            behind = [schema for schema, state in states_of(schemas).items() if not state.is_current]
            if behind:
                named = ", ".join(behind[:5]) + (" …" if len(behind) > 5 else "")
                _complain(
                    f"WARNING: {len(behind)} of {len(schemas)} schemas are not as this release wants them ({named}): "
                    "manage.py migrate_schemas --check says why."
                )
        except DatabaseError:
            return  # it serves, and says so at /readyz, until the database answers
        finally:
            connection.close()

    def _serve(self, loader: "_Loader", workers: int) -> None:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saas.settings")
        # Granian warns of so many; most of these only wait (saas/gate.py).
        logging.getLogger("_granian").addFilter(lambda record: "Python threads" not in record.getMessage())
        _Server(
            "saas.wsgi:application",
            listener=loader.listener,
            interface=Interfaces.WSGI,
            workers=workers,
            blocking_threads=gate.granian_threads(loader.threads),
            backlog=BACKLOG,
            websockets=False,
            respawn_failed_workers=True,
            workers_kill_timeout=1,  # after STOP_SECONDS
            log_level=LogLevels.warning,
        ).serve(target_loader=loader, wrap_loader=False)


class _Server(Server):  # type: ignore[misc, valid-type]
    """Granian's, but for two things: it listens on a socket that it is handed, and lets its processes drain before it
    stops them.

    It also stops them itself. One that is just starting may not hear it the first time, so each is told again and
    again. And two threads of Granian's wait for each at once: that one had ended was at times seen by the other alone,
    and the log said that it was killed.
    """

    def __init__(self, *args: Any, listener: socket.socket, **options: Any) -> None:
        super().__init__(*args, **options)
        self._listener = listener

    def _init_shared_socket(self) -> None:
        # One queue for all processes, of this generation and the next; Granian's own sockets have one each, and what
        # waits in that of a process that ends is lost.
        self._ssp, self._sso = None, None
        holder: Any = SocketHolder  # whose stub knows no arguments
        self._shd = holder(self._listener.fileno(), False, self.backlog)

    def _drop_shared_socket(self) -> None:
        self._listener.close()

    def signal_handler_reload(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: Granian would start processes of the code that is loaded already (saas/supervisor.py)."""

    def _stop_workers(self) -> None:
        if settings.TRUSTED_PROXIES:
            self._drain()
        told = time.monotonic()
        deadline = told + STOP_SECONDS
        while any(worker.is_alive() for worker in self.wrks) and (now := time.monotonic()) < deadline:
            if now >= told:
                told += TELL_AGAIN_SECONDS
                for worker in self.wrks:
                    worker.terminate()  # which does nothing to one that has ended
            time.sleep(LOOK_SECONDS)
        super()._stop_workers()  # which kills those that have not ended

    def _drain(self) -> None:
        """A proxy keeps connections open, and lets them go."""
        deadline = time.monotonic() + DRAIN_SECONDS + 1
        for worker in self.wrks:
            worker.interrupt_by_parent = True  # else its end would be a failure
            with suppress(ProcessLookupError):
                os.kill(worker.inner.pid, DRAIN)
        alive = [worker.inner.sentinel for worker in self.wrks]
        while alive and (left := deadline - time.monotonic()) > 0:
            ended = wait(alive, left)
            alive = [one for one in alive if one not in ended]


@dataclass(frozen=True)
class _Loader:
    """Called in each web process, before it serves. ``ready`` is the end of the pipe on which it says that it is.

    One that ``waits`` comes after others that serve, and gets ready first.
    """

    server: int
    threads: int
    listener: socket.socket
    ready: int
    waits: bool = False
    neighbours: Neighbours = field(default_factory=Neighbours)

    def __call__(self) -> Callable[..., Any]:
        port = self.listener.getsockname()[1]
        # Until Granian's own handlers are there, those of the server stand here, which stop nothing: a process that was
        # told to stop while it started was waited for in vain.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server too, which then stops this
        end_with(self.server, seconds=ORPHAN_SECONDS)
        keep_shared_directory()
        from saas.wsgi import application, at_once

        sys.setswitchinterval(SWITCH_SECONDS)
        Finalize(None, tracing.finish, exitpriority=0)  # such a process knows nothing of atexit
        stalled.end_stalled(port)
        leave_seats(self.threads)
        seats.limit_statements()
        gated = gate.Gate(application, at_once, self.neighbours, seats=self.threads)
        if settings.METRICS_LISTEN:
            watch_process("web", gated.load)
        if self.waits:
            readiness.wait_until_ready(gated, self.ready)
        # What is here by now stays. The garbage collector need not look through it: that stopped all threads for 90 ms,
        # once in 300 lists.
        gc.collect()
        gc.freeze()
        drain_at(DRAIN, self.listener.fileno(), port)
        readiness.say(self.ready)
        return gated


_say = partial(say, descriptor=1)
_complain = partial(say, descriptor=2)


@contextmanager
def companions() -> Iterator[list[Companion]]:
    """What runs beside the web processes and the delivery worker: what answers ``/metrics``, of all of them."""
    if not (listen := settings.METRICS_LISTEN):
        yield []
        return
    directory, server = Path(mkdtemp(prefix="recharge-metrics-", dir=_in_memory())), os.getpid()
    try:
        share_in(directory)
        yield [metrics_beside(listen, directory)]
    finally:
        if os.getpid() == server:  # and not a fork of it, which ends earlier
            shutil.rmtree(directory, ignore_errors=True)


def _in_memory() -> str | None:
    """Where files lie in memory, if there is such a place. What is counted is written by way of mapped memory, and a
    process that finds no room on the disk for a page of that is killed (SIGBUS)."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK) else None


def what_to_open(port: int) -> str:
    """A line for who has started the server: the platform's address, and how those of organizations are made."""
    if settings.HTTPS:
        scheme, end, where = "https", "/", ", through the reverse proxy"
    else:
        scheme, end, where = "http", "/" if port == 80 else f":{port}/", ""
    return (
        f"Open {scheme}://{settings.BASE_DOMAIN}{end} for the platform; "
        f"an organization is at {scheme}://NAME.{settings.BASE_DOMAIN}{end}{where}"
    )


def check_it_is_shielded(host: str) -> None:
    """Slow senders are a reverse proxy's to keep away: a body whose end never comes holds a thread, and nobody ends it.

    Raises:
        CommandError: others than this machine can reach the host, and no proxy is said to stand in front.
    """
    try:
        is_open = not ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_open = host != "localhost"
    if is_open and not settings.TRUSTED_PROXIES:
        raise CommandError(
            f"On {host} anybody could reach it, and it is not made for that. Put a reverse proxy in front "
            "(deploy/nginx.conf), and say so with TRUSTED_PROXIES=1; or listen on 127.0.0.1."
        )


def handed_over() -> socket.socket | None:
    """The socket that systemd has opened for this process (sd_listen_fds(3)); None: it has opened none.

    Raises:
        CommandError: it has opened several.
    """
    is_ours = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    count = os.environ.pop("LISTEN_FDS", "0")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not is_ours:
        return None
    if count != "1":
        raise CommandError(f"One socket is served; the service manager has opened {count}.")
    listener = socket.socket(fileno=_FIRST_HANDED_OVER)
    listener.set_inheritable(False)
    return listener


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the address, which is then this process' alone.

    Raises:
        CommandError: the address is in use or not ours, or there is no such port.
    """
    if not 1 <= port <= 65535:
        raise CommandError(f"There is no port {port}: --port must be 1 to 65535.")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, ValueError) as error:  # ValueError: a host that is no name (UnicodeError)
        listener.close()
        raise CommandError(f"Can't listen on {host}:{port}: {error}. Choose another with --host or --port.") from None
    return listener
