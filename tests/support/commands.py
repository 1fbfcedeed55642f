"""``manage.py`` commands as processes of their own."""

import os
import subprocess
import sys

from tests.support.server import ROOT


def start(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts a command on the tests' database. It has no terminal and nothing to read."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    process = start(*arguments, environment=environment)
    output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
