import json
import sys
from argparse import ArgumentParser
from collections.abc import Sized
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from recharge.reports.books import Fault, prove_books, prove_platform
from tenants.queries import working_organizations
from tenants.services import record_reconciliation


class Command(BaseCommand):
    help = "Proves the books of every organization from the tables alone. Exit status 1, and the rows, if any is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="only this one")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        organizations = working_organizations()
        if options["organization"]:
            organizations = organizations.filter(slug=options["organization"])
            if not organizations:
                raise CommandError(f"There is no organization {options['organization']!r}.", returncode=2)
        platform = prove_platform()
        found: dict[str, list[Fault]] = {}
        for organization, faults in prove_books(list(organizations)):
            found[organization.slug] = faults
            record_reconciliation(organization=organization, faults=len(faults))
        clean = not platform and not any(found.values())

        if options["json"]:
            report: dict[str, Any] = {
                "clean": clean,
                "organizations": {slug: [asdict(fault) for fault in faults] for slug, faults in found.items()},
            }
            if platform:
                report["platform"] = [asdict(fault) for fault in platform]
            self.stdout.write(json.dumps(report, ensure_ascii=False))
        else:
            for slug, faults in found.items():
                self.stdout.write(f"{slug}: {'clean' if not faults else _count(faults, 'fault')}")
                self._write(faults)
            if platform:
                self.stdout.write(f"The platform itself: {_count(platform, 'fault')}")
                self._write(platform)
            self.stdout.write(
                f"{_count(found, 'organization')}: {'the books are right.' if clean else 'THE BOOKS ARE WRONG.'}"
            )
        if not clean:
            sys.exit(1)

    def _write(self, faults: list[Fault]) -> None:
        for fault in faults:
            known = [
                *([] if fault.invariant is None else [f"invariant {fault.invariant}"]),
                *([] if fault.seller_id is None else [f"seller {fault.seller_id}"]),
            ]
            where = f" ({', '.join(known)})" if known else ""
            self.stdout.write(f"  {fault.fault}{where}: {fault.row}: {fault.detail}")


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
