import os
import socket
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from saas.beside import start_worker, stop_worker
from tenants.collation import changed_collation

THREADS = 5
"""Per worker process. A thread mostly waits for PostgreSQL; more of them only take turns at the interpreter."""


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

    def handle(self, *args: Any, **options: Any) -> None:
        if options["workers"] < 1 or options["threads"] < 1:
            raise CommandError("--workers and --threads must be at least 1.")
        check_port_is_free(options["host"], options["port"])
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saas.settings")
        self.stdout.write(
            f"Listening on {options['host']}:{options['port']} for {settings.BASE_DOMAIN} and its subdomains, with "
            f"{options['workers']} processes of {options['threads']} threads"
            f"{'' if options['no_delivery'] else ' and a delivery worker'}. Ctrl-C stops."
        )
        self.stdout.flush()
        self._warn()
        worker = None if options["no_delivery"] else start_worker()
        try:
            self._serve(options)
        finally:
            if worker:
                stop_worker(worker)

    def _warn(self) -> None:
        try:
            changed = changed_collation()
        except DatabaseError:
            return  # it serves, and says so at /readyz, until the database answers
        finally:
            connection.close()
        if changed:
            self.stderr.write(f"WARNING: the database {': '.join(changed)}")

    def _serve(self, options: dict[str, Any]) -> None:
        Server(
            "saas.wsgi:application",
            address=options["host"],
            port=options["port"],
            interface=Interfaces.WSGI,
            workers=options["workers"],
            blocking_threads=options["threads"],
            websockets=False,
            respawn_failed_workers=True,
            workers_kill_timeout=30,
            log_level=LogLevels.warning,
        ).serve()


def check_port_is_free(host: str, port: int) -> None:
    """Granian's sockets share a port (SO_REUSEPORT), with a server that runs already too; this refuses that.

    Raises:
        CommandError: the address is in use or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise CommandError(f"Can't listen on {host}:{port}: {error}. Choose another with --port.") from None
