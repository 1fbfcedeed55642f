import sys
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.utils import timezone
from psycopg2 import errorcodes

from recharge.reports.books import Fault, prove_books
from shared.errors import NotFound, Problem
from shared.identity.passwords import read_password
from shared.sick import sqlstate_of
from tenants.keeping.deletion import (
    delete_organization,
    due_for_deletion,
    give_up_reservation,
    plan_deletion,
)
from tenants.keeping.errors import BooksAreWrong, CanNotDelete, CanNotExport, CanNotImport, NotAnExport
from tenants.keeping.export import export_organization
from tenants.keeping.importing import import_organization
from tenants.models import Organization
from tenants.placing import CanNotPlace, NoSuchNode, place_of, place_organization
from tenants.queries import working_organizations
from tenants.services import LONGEST_REASON, activate_organization, domain_of, suspend_organization

_PASSPHRASE = "RECHARGE_EXPORT_PASSPHRASE"  # noqa: S105 - the name of a variable

_SHOWN_FAULTS = 20


class Command(BaseCommand):
    help = (
        "Lists organizations, writes one whole to an encrypted file, makes one of such a file, here or on another "
        "installation, suspends, activates or deletes one, or says or changes at which node of a cluster it lives. See "
        "'Moving and deleting organizations' and 'Many databases' in deploy/README.md."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(
            dest="act", required=True, metavar="list|export|import|suspend|activate|delete|place"
        )

        acts.add_parser("list", help="a line for each: slug, status, host, name")

        export = acts.add_parser(
            "export", help="to a file, of one moment; it goes on selling. A file there is replaced"
        )
        export.add_argument("slug", metavar="SLUG")
        export.add_argument("file", metavar="FILE")

        imports = acts.add_parser("import", help="from a file: all of it, proved, or nothing")
        imports.add_argument("file", metavar="FILE")
        imports.add_argument("--slug", metavar="NEW", help="under another slug than it had")

        suspend = acts.add_parser("suspend", help="answers no more for it; its data stay")
        suspend.add_argument("slug", metavar="SLUG")
        suspend.add_argument("--reason", default="", help="for the audit log")

        activate = acts.add_parser("activate", help="takes a suspension back, and a deletion that is planned")
        activate.add_argument("slug", metavar="SLUG")

        delete = acts.add_parser("delete", help="suspends it, and says from when on; from then on: deletes it for good")
        which = delete.add_mutually_exclusive_group(required=True)
        which.add_argument("slug", metavar="SLUG", nargs="?")
        which.add_argument("--due", action="store_true", help="all whose time is over; for a timer")
        delete.add_argument("--yes", action="store_true", help="it is meant")

        place = acts.add_parser("place", help="moves it to a node of the cluster; it goes on selling")
        place.add_argument("slug", metavar="SLUG")
        place.add_argument(
            "node", metavar="NODE", nargs="?", help="its host or host:port; without it: says where it is"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            match options["act"]:
                case "list":
                    self._list()
                case "export":
                    self._export(options["slug"], Path(options["file"]))
                case "import":
                    self._import(Path(options["file"]), options["slug"])
                case "suspend":
                    self._suspend(options["slug"], options["reason"])
                case "activate":
                    self._activate(options["slug"])
                case "place":
                    self._place(options["slug"], options["node"])
                case _:
                    self._delete(options["slug"], is_meant=options["yes"])
        except NotFound as error:
            slug = options.get("slug")
            raise CommandError(f"There is no organization {slug!r}." if slug else str(error), returncode=2) from None
        except NoSuchNode as error:
            raise CommandError(str(error), returncode=2) from None
        except (CanNotExport, CanNotImport, CanNotDelete, CanNotPlace, Problem) as error:
            raise CommandError(str(error)) from None
        except NotAnExport as error:
            raise CommandError(f"{options['file']} can't be imported: {error}", returncode=2) from None
        except BooksAreWrong as error:
            for fault in error.faults[:_SHOWN_FAULTS]:
                self.stdout.write(f"  {fault.fault}: {fault.row}: {fault.detail}")
            raise CommandError(f"{error} Nothing was imported.") from None

    def _list(self) -> None:
        for one in Organization.objects.order_by("slug"):
            until = f" (may be deleted from {one.delete_after:%Y-%m-%d %H:%M} UTC on)" if one.delete_after else ""
            self.stdout.write(f"{one.slug}\t{one.status}{until}\t{domain_of(one.slug)}\t{one.name}")

    def _export(self, slug: str, file: Path) -> None:
        organization = working_organizations().filter(slug=slug).first()
        if organization is None:
            raise CommandError(f"There is no organization {slug!r}.", returncode=2)
        passphrase = read_password(None, variable=_PASSPHRASE, noun="passphrase")
        try:
            done = export_organization(organization=organization, file=file, passphrase=passphrase)
        except OSError as error:
            raise CommandError(f"It can't be written: {error}", returncode=2) from None
        self.stdout.write(f"{slug} is in {file}: {done.rows} rows, {done.members} members. SHA-256 {done.digest}")

    def _import(self, file: Path, slug: str | None) -> None:
        passphrase = read_password(None, variable=_PASSPHRASE, noun="passphrase", is_new=False)
        try:
            done = import_organization(file=file, passphrase=passphrase, prove=_faults, slug=slug)
        except OSError as error:
            raise CommandError(f"It can't be read: {error}", returncode=2) from None
        made = done.organization
        self.stdout.write(
            f"{made.slug} is {made.status} at {domain_of(made.slug)}: {done.rows} rows, {done.members} members; its "
            f"books are right. SHA-256 {done.digest}"
        )
        for was, became in done.keys.items():
            self.stdout.write(f"The API key {was} is somebody's here already; this one is {became} now.")
        for host in done.left_out:
            self.stdout.write(f"It had the host {host}, too, which it can't have here.")
        if done.passkeys:
            self.stdout.write(
                f"{done.passkeys} passkeys are of another host, where they stay: who has no other factor uses a "
                "recovery code, or has it reset (reset_second_factor)."
            )

    def _suspend(self, slug: str, reason: str) -> None:
        if len(reason) > LONGEST_REASON:
            raise CommandError(f"A reason has {LONGEST_REASON} characters at most.", returncode=2)
        suspend_organization(slug=slug, reason=reason)
        self.stdout.write(f"{slug} is suspended.")

    def _activate(self, slug: str) -> None:
        activate_organization(slug=slug)
        self.stdout.write(f"{slug} is active.")

    def _place(self, slug: str, node: str | None) -> None:
        if node is None:
            self.stdout.write(f"{slug} is at {place_of(slug=slug)}.")
            return
        placed = place_organization(slug=slug, node=node)
        if placed.node == placed.before:
            self.stdout.write(f"{slug} is at {placed.node} already.")
        else:
            self.stdout.write(f"{slug} is at {placed.node} now; it was at {placed.before}.")

    def _delete(self, slug: str | None, *, is_meant: bool) -> None:
        if not is_meant:
            due = f" Due: {', '.join(due_for_deletion()) or 'none'}." if slug is None else ""
            raise CommandError(f"Nothing was done.{due} Say --yes if it is meant.")
        if slug is None:
            self._delete_those_due()
            return
        if give_up_reservation(slug=slug):
            self.stdout.write(f"{slug} was never complete; it is removed.")
            return
        organization = plan_deletion(slug=slug)
        assert organization.delete_after is not None
        if organization.delete_after <= timezone.now():
            self._delete_for_good(slug)
        else:
            self.stdout.write(
                f"{slug} is suspended, and can be deleted from {organization.delete_after:%Y-%m-%d %H:%M} UTC on, by "
                "the same command. Whoever activates it until then has it back."
            )

    def _delete_those_due(self) -> None:
        is_left = False
        for slug in due_for_deletion():
            try:
                self._delete_for_good(slug)
            except (CanNotDelete, DatabaseError) as error:
                if not connection.is_usable():
                    raise
                is_left = True
                self.stderr.write(f"{slug} is not deleted: {str(error).strip()}")
        if is_left:
            sys.exit(1)

    def _delete_for_good(self, slug: str) -> None:
        try:
            went = asdict(delete_organization(slug=slug))
        except DatabaseError as error:
            if sqlstate_of(error) == errorcodes.LOCK_NOT_AVAILABLE:
                raise CanNotDelete(f"Somebody works with {slug}'s tables at this moment. Try again.") from None
            raise
        counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in went.items() if what != "slug")
        self.stdout.write(f"{slug} is deleted, with its schema, {counts}.")


def _faults(organization: Organization) -> list[Fault]:
    return [fault for proof in prove_books([organization]) for fault in proof.faults]
