from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shared.errors import Problem
from shared.identity.passwords import read_password
from tenants.services import domain_of, provision_organization


class Command(BaseCommand):
    help = "Provisions an organization: its host, its schema, its first admin. Can be run again after it was cut off."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--name", required=True)
        parser.add_argument("--admin-username", required=True)
        parser.add_argument("--admin-password", help="default: RECHARGE_ADMIN_PASSWORD, or a prompt")
        parser.add_argument("--admin-email", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        password = read_password(options["admin_password"])
        try:
            organization = provision_organization(
                slug=options["slug"],
                name=options["name"],
                admin_username=options["admin_username"],
                admin_password=password,
                admin_email=options["admin_email"],
            )
        except Problem as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"Organization {organization.slug} is active at {domain_of(organization.slug)}.")
