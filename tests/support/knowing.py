"""What the processes of a server know of an organization, and for how long."""

import time

from tenants.routing import CACHE_SECONDS
from tests.support.waiting import wait_until


def wait_until_every_process_knows() -> None:
    """Returns when no process of a server can still know an organization as it was before."""
    known = time.monotonic() + CACHE_SECONDS
    wait_until(lambda: time.monotonic() > known)
