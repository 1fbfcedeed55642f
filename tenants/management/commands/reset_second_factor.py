from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shared.errors import Problem
from tenants.unlocking import reset_second_factor


class Command(BaseCommand):
    help = "Takes away the second factors that somebody has lost; whoever it is then signs in by the password alone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--organization", metavar="SLUG", help="the name's; default: the platform")

    def handle(self, *args: Any, **options: Any) -> None:
        username, organization = options["username"], options["organization"]
        try:
            had = reset_second_factor(username=username, organization=organization)
        except Problem as problem:
            raise CommandError(str(problem)) from None
        if not had:
            raise CommandError(f"{username} has no second factor.")
        self.stdout.write(f"The second factors of {username} are taken away, and all sessions have ended.")
