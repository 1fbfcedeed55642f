from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django_tenants.utils import tenant_context

from credit.chain.services import append_roots, chain_file, make_root, roots_of
from tenants.one_by_one import OneByOne
from tenants.queries import working_organizations
from tenants.wakeups import wake_workers


class Command(BaseCommand):
    help = (
        "Makes the root of the last day that is over (UTC) for each organization that lacks it, as the delivery worker "
        "does by itself, and appends the roots that it lacks to the file that CHAIN_FILE names."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--file", metavar="FILE", help="another file")

    def handle(self, *args: Any, **options: Any) -> None:
        one_by_one = OneByOne(self.stderr)
        file = Path(options["file"]) if options["file"] else chain_file()
        try:
            there = set(file.read_text(encoding="utf-8").splitlines(keepends=True)) if file and file.exists() else set()
            for organization in working_organizations():
                with one_by_one.of(organization.slug):
                    with tenant_context(organization):
                        root = make_root(organization=organization)
                        roots = list(roots_of(organization))
                    if root:
                        wake_workers(organization.pk)  # there may be webhooks to call
                    self.stdout.write(
                        f"{organization.slug}: {'no root yet' if not roots else f'{roots[-1].day} {roots[-1].root}'}"
                        f"{' (made now)' if root else ''}"
                    )
                    if file and (lacking := [root for root in roots if root.line() not in there]):
                        append_roots(file, lacking)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} can't be used: {error}", returncode=2) from None
        one_by_one.end()
