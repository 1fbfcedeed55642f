"""Passwords for commands."""

import getpass
import os
import sys
import warnings

from django.core.management.base import CommandError


def read_password(given: str | None, *, variable: str = "RECHARGE_ADMIN_PASSWORD") -> str:
    """The password from the option, else from this variable of the environment, else from a prompt (asked twice).

    Raises:
        CommandError: there is none, or the two typed ones differ.
    """
    password = given or os.environ.get(variable)
    if password:
        return password
    try:
        password = _ask("Password: ")
        if password != _ask("Password again: "):
            raise CommandError("The two passwords differ.")
    except (EOFError, UnicodeDecodeError):
        raise CommandError(f"Give the password with the option or in {variable}.") from None
    return password


def _ask(prompt: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt)
    except getpass.GetPassWarning:
        # There is no terminal that could keep it from being seen: it is read as it comes.
        print(prompt, file=sys.stderr)
        line = sys.stdin.readline() if sys.stdin else ""
        if not line:
            raise EOFError from None
        return line.rstrip("\n")
