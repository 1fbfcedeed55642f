"""Tells the workers that an organization has something for them to do.

It is a hint that needn't arrive: a worker looks at every organization now and then anyway (tenants/worker.py). The
NOTIFY is a statement of its own after the transaction that wrote the work. Inside of it, all of the database's
transactions that notify would commit one after the other.
"""

import time

from django.db import DatabaseError, InterfaceError, connection

from shared.database import call_for_each
from shared.errors import SellerBusy

CHANNEL = "recharge_work"
"""Its payloads are organizations' ids."""

QUIET_SECONDS = 0.1
"""How long after a hint a process gives no other for the same organization."""

REST_SECONDS = 5.0
"""For how long no hint is given after one that failed: a sale at a node needn't wait for a coordinator that is away.
The next one is for those, too, for which none could be given."""

_given: dict[int, float] = {}
_not_given: set[int] = set()
_rests_until = float("-inf")


def wake_workers(organization_id: int) -> None:
    """Lets waiting workers know of work in this organization. Never fails."""
    global _rests_until
    now = time.monotonic()
    is_quiet = _given.get(organization_id, float("-inf")) > now - QUIET_SECONDS
    if is_quiet or connection.in_atomic_block:
        return
    if now < _rests_until:
        _not_given.add(organization_id)
        return
    waiting = {organization_id, *_not_given}
    _not_given.difference_update(waiting)  # before: what another thread adds from now on is not told by this
    try:
        # On Django's own connection: this thread's may not be open, or have died, when another thread sold for it.
        call_for_each("pg_catalog", "pg_notify", "true", [[CHANNEL, str(one)] for one in waiting])
    except (DatabaseError, InterfaceError, SellerBusy):
        _rests_until = time.monotonic() + REST_SECONDS  # to find out may have taken as long
        _not_given.update(waiting)
        return  # what was sold is sold, whatever becomes of the hint
    _given.update(dict.fromkeys(waiting, now))
