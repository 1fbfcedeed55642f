"""A kind of work of the worker (tenants/worker.py): every few seconds it posts the margins that are due."""

import time
from dataclasses import dataclass
from uuid import UUID

from recharge.margins.services import BATCH, post_margins
from shared.errors import SellerBusy
from tenants.models import Organization
from tenants.work import DoneInClaim

PAUSE_SECONDS = 3.0
"""Between two rounds in one organization: a dealer gets one entry for all that was sold meanwhile, and is not locked
for each sale."""


@dataclass(slots=True)
class _Round:
    """How far a worker is with an organization."""

    ask_at: float
    """The moment, of the monotonic clock."""
    after: UUID | None = None
    """The recharge up to which all were looked at in this round."""
    asks_again: bool = False
    """Whether there is, or may be, something due at ``ask_at``."""


class MarginWork(DoneInClaim):
    """The margins of dealers."""

    def __init__(self, *, pause: float = PAUSE_SECONDS, batch: int = BATCH) -> None:
        self._pause, self._batch = pause, batch
        self._rounds: dict[int, _Round] = {}

    def claim(self, organization: Organization, limit: int) -> list[None]:
        now = time.monotonic()
        turn = self._rounds.setdefault(organization.pk, _Round(now))
        if now < turn.ask_at:
            turn.asks_again = True  # somebody rang: there may be more by then
            return []
        try:
            posted = post_margins(organization=organization, limit=self._batch, after=turn.after)
        except SellerBusy:
            turn.ask_at, turn.asks_again = now + self._pause, True
            return []
        if posted.looked == self._batch:  # from there on, so that what stays due keeps nothing waiting
            turn.after, turn.ask_at, turn.asks_again = posted.last, now, True
        else:
            # What a dealer earned may have paid what he owed: margins of that are due, and there are webhooks to call.
            turn.after, turn.ask_at, turn.asks_again = None, now + self._pause, posted.batches > 0
        return []

    def seconds_until_due(self, organization: Organization) -> float | None:
        turn = self._rounds.get(organization.pk)
        return max(0.0, turn.ask_at - time.monotonic()) if turn and turn.asks_again else None
