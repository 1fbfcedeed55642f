"""``manage.py`` commands as processes of their own."""

import os
import subprocess

from tests.support import forking


def start(*arguments: str, environment: dict[str, str] | None = None) -> forking.Process:
    """Starts a command on the tests' database. It has no terminal and nothing to read."""
    return forking.start([*arguments], environment=os.environ | (environment or {}), new_session=True)


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    process = start(*arguments, environment=environment)
    output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.wait(), output, errors)
