import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg2
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from saas import embedded, gate, migrating, seats, stalled
from saas.beside import Beside, Companion
from saas.metrics_process import metrics_beside
from saas.migrated import is_migrated
from saas.worker_process import worker_beside
from shared.identity.hashing import leave_seats
from shared.metrics import share_in, watch_process
from shared.processes import end_with
from tenants.collation import changed_collation
from tenants.functions import PUBLIC
from tenants.queries import working_organizations
from tenants.schemas import states_of

THREADS = 5
"""Per worker process. A thread mostly waits for PostgreSQL; more of them only take turns at the interpreter."""

MOST = 1000
"""Processes, and threads of each: more is a slip of the finger."""

STOP_SECONDS = 85.0
"""What all of it takes to stop, at most: the web processes, then the delivery worker and what answers /metrics."""

ORPHAN_SECONDS = 10.0
"""What a web process has to finish its requests when the server was killed: nobody else would end it, and it holds the
port."""


class Command(BaseCommand):
    help = "Serves HTTP with Granian: processes of several threads. SIGINT or SIGTERM stops it after what it has begun."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
        parser.add_argument("--port", type=int, default=8000, help="default: 8000")
        parser.add_argument(
            "--workers", type=int, default=max(2, os.cpu_count() or 1), help="processes; default: one a core"
        )
        parser.add_argument("--threads", type=int, default=THREADS, help=f"of each process; default: {THREADS}")
        parser.add_argument(
            "--no-delivery",
            action="store_true",
            help="no delivery worker beside it: recharges wait until a `manage.py deliver` runs somewhere",
        )
        parser.add_argument("--beside", type=int, help="stop when this process, the parent, is gone")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["workers"] <= MOST or not 1 <= options["threads"] <= MOST:
            raise CommandError(f"--workers and --threads must be 1 to {MOST}.")
        check_port_is_free(options["host"], options["port"])
        check_it_is_shielded(options["host"])
        if options["beside"]:
            end_with(options["beside"], seconds=STOP_SECONDS)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saas.settings")
        self._prepare_database()
        self._say(
            f"Listening on {options['host']}:{options['port']} for {settings.BASE_DOMAIN} and its subdomains, with "
            f"{options['workers']} processes of {options['threads']} threads"
            f"{'' if options['no_delivery'] else ' and a delivery worker'}. Ctrl-C stops."
        )
        self._say(what_to_open(options["port"]))
        self._warn()
        with self._beside(options):
            self._serve(options)

    @contextmanager
    def _beside(self, options: dict[str, Any]) -> Iterator[None]:
        """What runs beside the web processes: a delivery worker, and what answers ``/metrics``, which ends last."""
        companions: list[Companion] = [] if options["no_delivery"] else [worker_beside()]
        with ExitStack() as ending:
            if listen := settings.METRICS_LISTEN:
                directory = Path(ending.enter_context(TemporaryDirectory(prefix="recharge-metrics-")))
                share_in(directory)
                companions.append(metrics_beside(listen, directory))
            beside = Beside(companions)
            ending.callback(beside.stop)
            yield

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

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
                self.stderr.write(
                    "The database lacks migrations: run manage.py migrate_schemas. Until then the answer is 503."
                )
        except psycopg2.OperationalError as error:
            self.stderr.write(f"The database can't be reached; until it can, the answer is 503: {str(error).strip()}")
        except psycopg2.Error as error:
            self.stderr.write(f"The database does not answer as it should: {str(error).strip()}")

    def _is_migrated(self) -> bool:
        with closing(migrating.connect()) as opened, opened.cursor() as cursor:
            return is_migrated(cursor)

    def _warn(self) -> None:
        try:
            if changed := changed_collation():
                self.stderr.write(f"WARNING: the database {': '.join(changed)}")
            schemas = [PUBLIC, *working_organizations().values_list("schema_name", flat=True)]
            behind = [schema for schema, state in states_of(schemas).items() if not state.is_current]
            if behind:
                named = ", ".join(behind[:5]) + (" …" if len(behind) > 5 else "")
                self.stderr.write(
                    f"WARNING: {len(behind)} of {len(schemas)} schemas are not as this release wants them ({named}): "
                    "manage.py migrate_schemas --check says why."
                )
        except DatabaseError:
            return  # it serves, and says so at /readyz, until the database answers
        finally:
            connection.close()

    def _serve(self, options: dict[str, Any]) -> None:
        # Granian warns of so many; most of these only wait (saas/gate.py).
        logging.getLogger("_granian").addFilter(lambda record: "Python threads" not in record.getMessage())
        _Server(
            "saas.wsgi:application",
            address=options["host"],
            port=options["port"],
            interface=Interfaces.WSGI,
            workers=options["workers"],
            blocking_threads=gate.granian_threads(options["threads"]),
            websockets=False,
            respawn_failed_workers=True,
            workers_kill_timeout=30,
            log_level=LogLevels.warning,
        ).serve(target_loader=_Loader(os.getpid(), options["threads"], options["port"]), wrap_loader=False)


class _Server(Server):  # type: ignore[misc, valid-type]
    """Granian's, which tells its processes once to stop: one that is just starting may not hear it, and was waited for
    until it was killed. This one tells them again."""

    def _stop_workers(self) -> None:
        processes, are_gone = [worker.inner for worker in self.wrks], threading.Event()

        def tell_again() -> None:
            while not are_gone.wait(1):
                for process in processes:
                    process.terminate()  # which does nothing to one that has ended

        threading.Thread(target=tell_again, daemon=True).start()
        super()._stop_workers()
        are_gone.set()


class _Loader:
    """Called in each web process, before it serves."""

    def __init__(self, server: int, threads: int, port: int) -> None:
        self.server = server
        self.threads = threads
        self.port = port

    def __call__(self) -> Callable[..., Any]:
        # Until Granian's own handlers are there, those of the server stand here, which stop nothing: a process that was
        # told to stop while it started was waited for in vain.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server too, which then stops this
        end_with(self.server, seconds=ORPHAN_SECONDS)
        from saas.wsgi import application, at_once

        stalled.end_stalled(self.port)
        leave_seats(self.threads)
        seats.limit_statements()
        answering = gate.Gate(application, at_once, seats=self.threads)
        if settings.METRICS_LISTEN:
            watch_process("web", answering.load)
        return answering


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


def check_port_is_free(host: str, port: int) -> None:
    """Granian's sockets share a port (SO_REUSEPORT), with a server that runs already too; this refuses that.

    Raises:
        CommandError: the address is in use or not ours, or there is no such port.
    """
    if not 1 <= port <= 65535:
        raise CommandError(f"There is no port {port}: --port must be 1 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, ValueError) as error:  # ValueError: a host that is no name (UnicodeError)
            raise CommandError(
                f"Can't listen on {host}:{port}: {error}. Choose another with --host or --port."
            ) from None
