"""How long a database that does not answer keeps whoever connects to it waiting."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.saas.test_command_line import BARE
from tests.support.server import ROOT

CONNECT = """
import django
django.setup()
from django.db import OperationalError, connection
try:
    connection.ensure_connection()
except OperationalError as error:
    print("given up:", error)
"""
PARAMETERS = """
from django.conf import settings
given = settings.DATABASES["default"]["OPTIONS"]
print(given["connect_timeout"], given["tcp_user_timeout"], given["keepalives_idle"])
"""


@pytest.fixture
def frozen() -> Iterator[int]:
    """The port of a server that takes connections, as the system does for a stopped process, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def python(code: str, url: str) -> str:
    environment = BARE | {"DATABASE_URL": url, "SECRET_KEY": "x" * 50, "DJANGO_SETTINGS_MODULE": "saas.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.slow
def test_a_frozen_database_is_given_up(frozen: int) -> None:
    # Without a limit this waits for ever, and the time limit of the process ends it.
    assert "given up" in python(CONNECT, f"postgresql://u:p@127.0.0.1:{frozen}/d")


def test_what_the_address_says_comes_first() -> None:
    url = "postgresql://u:p@127.0.0.1:1/d?connect_timeout=17&tcp_user_timeout=4000"
    assert python(PARAMETERS, url).split() == ["17", "4000", "30"]
