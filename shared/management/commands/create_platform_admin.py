from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shared.errors import Problem
from shared.identity.new_accounts import create_platform_admin
from shared.identity.passwords import read_password


class Command(BaseCommand):
    help = "Creates a platform admin, who provisions organizations on the platform's host."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--username", required=True)
        parser.add_argument("--password", help="default: RECHARGE_ADMIN_PASSWORD, or a prompt")
        parser.add_argument("--email", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        password = read_password(options["password"])
        try:
            user = create_platform_admin(username=options["username"], password=password, email=options["email"])
        except Problem as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"Platform admin {user.username} created.")
