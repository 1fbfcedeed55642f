"""Passwords for commands."""

import getpass
import os
import sys
import warnings

from django.core.management.base import CommandError


def read_password(
    given: str | None, *, variable: str = "RECHARGE_ADMIN_PASSWORD", noun: str = "password", is_new: bool = True
) -> str:
    """The password from the option, else from this variable of the environment, else from a prompt (asked twice if it
    ``is_new``). ``noun``: what it is called there.

    Raises:
        CommandError: there is none, or the two typed ones differ.
    """
    password = given or os.environ.get(variable)
    if password:
        return password
    try:
        password = _ask(f"{noun.capitalize()}: ")
        if is_new and password != _ask(f"{noun.capitalize()} again: "):
            raise CommandError(f"The two {noun}s differ.")
    except (EOFError, UnicodeDecodeError):
        raise CommandError(f"There is no terminal to ask on. Give the {noun} in {variable}.") from None
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
