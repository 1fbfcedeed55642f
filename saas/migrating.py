"""Lets one process migrate a database at a time. A second one waits, and then finds it done."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tenants import direct

COMMANDS = ("migrate_schemas", "migrate")

_LOCK = 0x7265636861726765
"""The number of an advisory lock. Those of sellers have two numbers, so none of them is this one."""


@contextmanager
def alone() -> Iterator[None]:
    """Held while one migrates. It goes with its connection, so a killed process keeps nobody waiting."""
    with closing(direct.connect()) as held, held.cursor() as cursor:
        is_told = False
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
            if cursor.fetchone()[0]:
                break
            if not is_told:
                print("Another process is migrating this database; waiting for it.", file=sys.stderr)
                is_told = True
            time.sleep(0.2)  # and not in the database, where Ctrl-C would not be heard
        yield
