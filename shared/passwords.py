"""Passwords for commands."""

import getpass
import os

from django.core.management.base import CommandError


def read_password(given: str | None) -> str:
    """The password from the option, else from ``RECHARGE_ADMIN_PASSWORD``, else from a prompt (asked twice).

    Raises:
        CommandError: there is none, or the two typed ones differ.
    """
    password = given or os.environ.get("RECHARGE_ADMIN_PASSWORD")
    if password:
        return password
    try:
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Password again: "):
            raise CommandError("The two passwords differ.")
    except EOFError:
        raise CommandError("Give the password with the option or in RECHARGE_ADMIN_PASSWORD.") from None
    return password
