from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shared.errors import Problem
from tenants.unlocking import unlock_address, unlock_name


class Command(BaseCommand):
    help = "Forgets the wrong tries to sign in that were counted for a name, or from an address."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("username", nargs="?")
        what.add_argument("--address", help="the client's; an IPv6 address stands for its /64")
        parser.add_argument("--organization", metavar="SLUG", help="the name's; default: the platform")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["address"] and options["organization"]:
            raise CommandError("An address is counted over all organizations: leave --organization out.")
        try:
            if options["address"]:
                what, counters = options["address"], unlock_address(address=options["address"])
            else:
                what = options["username"]
                counters = unlock_name(username=what, organization=options["organization"])
        except Problem as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"{what} is free: {counters} counters forgotten.")
