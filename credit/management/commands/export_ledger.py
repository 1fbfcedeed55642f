from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django_tenants.utils import tenant_context

from credit.chain.export import ledger_lines
from shared.files import written_whole
from tenants.one_by_one import OneByOne
from tenants.queries import working_organizations


class Command(BaseCommand):
    help = "Writes an organization's whole ledger, with its hashes and roots, to a file that `verify` proves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("file", metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = working_organizations().filter(slug=options["slug"]).first()
        if organization is None:
            raise CommandError(f"There is no organization {options['slug']!r}.", returncode=2)
        file, one_by_one = Path(options["file"]), OneByOne(self.stderr)
        try:
            with one_by_one.of(organization.slug), written_whole(file) as writing, tenant_context(organization):
                writing.writelines(line.encode() for line in ledger_lines(organization=organization))
        except OSError as error:
            raise CommandError(f"It can't be written: {error}", returncode=2) from None
        one_by_one.end()
        self.stdout.write(f"The ledger of {organization.slug} is in {file}.")
