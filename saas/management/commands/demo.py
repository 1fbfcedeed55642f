import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import urllib3
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from saas import embedded, migrating
from saas.demo import ORGANIZATIONS, Accounts, Demo, DemoError
from saas.management.commands.serve import listen, what_to_open
from shared.errors import UsernameTaken
from shared.identity.new_accounts import create_platform_admin
from shared.models import User
from tenants.models import Organization
from tenants.working_role import as_owner

PLATFORM_ADMIN = "demo"


class Command(BaseCommand):
    help = "Two organizations, 20 sellers, 1,200 sales over HTTP, and the proof of the books; then serves until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="default: 8000")
        parser.add_argument("--exit", action="store_true", help="stop after the proof; status 0 only if it held")

    def handle(self, *args: Any, **options: Any) -> None:
        if not embedded.is_used():
            # Before anything else: whatever DATABASE_URL leads to, the demo's accounts and sales have no place there.
            raise CommandError(
                "The demo runs on the embedded database only, and DATABASE_URL is set: nothing was done. "
                "Unset DATABASE_URL; RECHARGE_DATA_DIR may name a directory for the demo's own database."
            )
        console = Console()
        address = f"127.0.0.1:{options['port']}"
        listen("127.0.0.1", options["port"]).close()
        with console.status("Migrating the database …"), migrating.alone(), as_owner():
            call_command("migrate_schemas", interactive=False, verbosity=0)
        try:
            accounts = Accounts(embedded.data_dir() / "demo-accounts.json")
        except DemoError as error:
            raise CommandError(str(error)) from None
        _ensure_platform_admin(accounts)

        command = [sys.executable, sys.argv[0], "serve", "--port", str(options["port"]), "--beside", str(os.getpid())]
        log_path = embedded.data_dir() / "demo-server.log"
        # In a session of its own, so that Ctrl-C reaches this process first and it can stop the server in order.
        with log_path.open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
        held = False
        try:
            with console.status(f"Starting the server (its log: {log_path}) …"):
                _wait_until_ready(server, address)
            demo = Demo(address, settings.BASE_DOMAIN, accounts, PLATFORM_ADMIN, console)
            held = demo.run()
            console.rule("manage.py reconcile")
            held = _reconcile() and held
            if held:
                console.print("[bold green]The proof held.")
            else:
                console.print("[bold red]THE PROOF DID NOT HOLD.")
            _let_newcomers_keep_passwords()
            demo.print_addresses(is_served=not options["exit"])
            if not options["exit"]:
                console.print(f"Serving until Ctrl-C. {what_to_open(options['port'])}")
                server.wait()
                raise DemoError(f"The server has ended; its log says why: {log_path}")
        except DemoError as error:
            raise CommandError(str(error)) from None
        except (urllib3.exceptions.HTTPError, BrokenProcessPool) as error:
            raise CommandError(f"The demo lost its server or its clients ({error}). See {log_path}") from None
        except KeyboardInterrupt:
            console.print("\nStopped by Ctrl-C. The demo can be run again: it goes on with the accounts it has.")
            if not held:
                sys.exit(128 + signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C while it stops
            server.send_signal(signal.SIGTERM)
            server.wait()
        if not held:
            sys.exit(1)


def _let_newcomers_keep_passwords() -> None:
    """The passwords are printed for whoever looks around: nobody else knows them, and none must be changed first."""
    organizations = Organization.objects.filter(slug__in=ORGANIZATIONS).values("pk")
    User.objects.filter(memberships__organization_id__in=organizations).update(must_change_password=False)


def _ensure_platform_admin(accounts: Accounts) -> None:
    password = accounts.password_of("platform")
    try:
        create_platform_admin(username=PLATFORM_ADMIN, password=password)
    except UsernameTaken:
        if not User.objects.get(username=PLATFORM_ADMIN).check_password(password):
            raise CommandError(
                f"This database has a platform admin {PLATFORM_ADMIN!r} whose password is not in {accounts.path}. "
                "The demo wants a database of its own: set RECHARGE_DATA_DIR to an empty directory."
            ) from None


def _wait_until_ready(server: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        try:
            if urllib3.request("GET", f"http://{address}/readyz", retries=False, timeout=5).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.1)
    raise DemoError("The server did not start; its log says why.")


def _reconcile() -> bool:
    # As a process of its own, as anybody would prove the books at any moment.
    return subprocess.run([sys.executable, sys.argv[0], "reconcile"], check=False).returncode == 0  # noqa: S603
