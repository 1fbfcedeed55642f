import json
import sys
from argparse import ArgumentParser
from collections.abc import Sized
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from recharge.reports.books import EVERYTHING_EVERY, Fault, Proof, prove_books, prove_platform
from tenants.queries import working_organizations
from tenants.services import record_reconciliation


class Command(BaseCommand):
    help = (
        "Proves the books of every organization, all of them, from the tables alone. Exit status 1, and the rows, if "
        "any is wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="only this one")
        parser.add_argument(
            "--incremental",
            action="store_true",
            help="reads what came since the last proof that found nothing, and everything once a week: for every night",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        organizations = working_organizations()
        if options["organization"]:
            organizations = organizations.filter(slug=options["organization"])
            if not organizations:
                raise CommandError(f"There is no organization {options['organization']!r}.", returncode=2)
        platform = prove_platform()
        found: dict[str, Proof] = {}
        everything = not options["incremental"]
        for proof in prove_books(list(organizations), everything=everything, everything_every=EVERYTHING_EVERY):
            found[proof.organization.slug] = proof
            record_reconciliation(organization=proof.organization, faults=len(proof.faults))
        faults = [*platform, *(fault for proof in found.values() for fault in proof.faults)]

        if options["json"]:
            report: dict[str, Any] = {
                "clean": not faults,
                "organizations": {slug: [asdict(fault) for fault in proof.faults] for slug, proof in found.items()},
                "since": {slug: proof.since and proof.since.isoformat() for slug, proof in found.items()},
            }
            if platform:
                report["platform"] = [asdict(fault) for fault in platform]
            self.stdout.write(json.dumps(report, ensure_ascii=False))
        else:
            for slug, proof in found.items():
                said = _count(proof.faults, "fault") if proof.faults else "clean"
                since = f" since {proof.since.isoformat(timespec='seconds')}" if proof.since else ""
                self.stdout.write(f"{slug}: {said}{since}")
                self._write(proof.faults)
            if platform:
                self.stdout.write(f"The platform itself: {_count(platform, 'fault')}")
                self._write(platform)
            self.stdout.write(f"{_count(found, 'organization')}: {_verdict(faults)}")
        if faults:
            sys.exit(1)

    def _write(self, faults: list[Fault]) -> None:
        for fault in faults:
            known = [
                *([] if fault.invariant is None else [f"invariant {fault.invariant}"]),
                *([] if fault.seller_id is None else [f"seller {fault.seller_id}"]),
            ]
            where = f" ({', '.join(known)})" if known else ""
            self.stdout.write(f"  {fault.fault}{where}: {fault.row}: {fault.detail}")


def _verdict(faults: list[Fault]) -> str:
    if not faults:
        return "the books are right."
    return "NOT ALL BOOKS CAN BE READ." if all(fault.is_unread for fault in faults) else "THE BOOKS ARE WRONG."


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
