import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django_tenants.utils import tenant_context

from recharge.statements.digests import prove
from recharge.statements.queries import statements
from tenants.models import Organization
from tenants.one_by_one import OneByOne
from tenants.queries import working_organizations


class Command(BaseCommand):
    help = (
        "Proves the statements that were made: makes the digest of each again, of the entries that there are now. Exit "
        "status 1, and which, if any does not hold."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="only this one")

    def handle(self, *args: Any, **options: Any) -> None:
        organizations = working_organizations()
        if options["organization"]:
            organizations = organizations.filter(slug=options["organization"])
            if not organizations:
                raise CommandError(f"There is no organization {options['organization']!r}.", returncode=2)
        one_by_one = OneByOne(self.stderr)
        broken = 0
        for organization in organizations:
            with one_by_one.of(organization.slug):
                broken += self._prove(organization)
        if broken:
            self.stdout.write(f"{broken} DO NOT HOLD.")
            sys.exit(1)
        one_by_one.end()

    def _prove(self, organization: Organization) -> int:
        """How many of its statements do not hold."""
        with tenant_context(organization):
            rows = list(statements().order_by("pk"))
        broken = 0
        for row in rows:
            proof = prove(organization, row)
            if not proof.holds:
                broken += 1
                self.stdout.write(
                    f"{organization.slug}: statement {row.pk} of seller {row.seller_id} ({row}): digest "
                    f"{proof.digest} was kept, {proof.computed} is that of now"
                )
        self.stdout.write(f"{organization.slug}: {len(rows)} statements looked at")
        return broken
