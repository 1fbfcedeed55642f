from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django_tenants.utils import tenant_context

from recharge.retention.kinds import KINDS
from recharge.retention.services import BATCH, count_what_would_go, let_go_of_all
from recharge.terms.queries import settings
from shared.identity.retention import count_ended, let_go_of_ended
from tenants.models import Organization
from tenants.one_by_one import OneByOne
from tenants.queries import working_organizations


class Command(BaseCommand):
    help = (
        "Lets go of what is older than the settings say, which workers do by themselves, a little at a time: messages "
        "and attempts, files of bulk sales, ended sessions, and phone numbers where the organization wants it. It may "
        "be cut off, and run again, at any time."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many would go")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--organization", metavar="SLUG", help="only this one, and no sessions")
        which.add_argument(
            "--suspended",
            action="store_true",
            help="only those that are, which workers leave alone; no sessions",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        is_dry, slug, is_of_suspended = options["dry_run"], options["organization"], options["suspended"]
        organizations = working_organizations()
        if is_of_suspended:
            organizations = organizations.filter(status=Organization.Status.SUSPENDED)
        if slug:
            organizations = organizations.filter(slug=slug)
            if not organizations:
                raise CommandError(f"There is no organization {slug!r}.", returncode=2)
        one_by_one = OneByOne(self.stderr)
        for organization in organizations:
            with one_by_one.of(organization.slug), tenant_context(organization):
                settled = settings()
                for kind in KINDS:
                    days = kind.kept_days(settled)
                    if not days:
                        self._say(organization.slug, kind.name, "kept for good")
                        continue
                    if is_dry:
                        gone = count_what_would_go(organization=organization, kind=kind)
                    else:
                        gone = sum(let_go_of_all(organization=organization, kind=kind))
                    self._say(organization.slug, kind.name, f"{gone} {_went(is_dry)}, older than {days} days")
        if not (slug or is_of_suspended):
            for table, count in count_ended().items():
                self._say("all", table, f"{count} {_went(is_dry)}, ended")
            while not is_dry and let_go_of_ended(limit=BATCH):
                pass
        one_by_one.end()

    def _say(self, whose: str, what: str, text: str) -> None:
        self.stdout.write(f"{whose}: {what}: {text}")


def _went(is_dry: bool) -> str:
    return "would go" if is_dry else "went"
