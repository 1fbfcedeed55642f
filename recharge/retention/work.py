"""A kind of work of the worker (tenants/worker.py): lets go of what is old enough, a little at a time."""

import time

import structlog

from recharge.retention.kinds import KINDS
from recharge.retention.services import BATCH, let_go
from shared.identity.retention import let_go_of_ended
from tenants.models import Organization
from tenants.work import DoneInClaim

PAUSE_SECONDS = 0.5
"""Between two batches in one organization: 400 rows a second are 1.4 million an hour."""

REST_SECONDS = 3600.0
"""Between two looks at an organization where nothing is left to do, and at the sessions of all."""

_log = structlog.get_logger("recharge.retention")


class RetentionWork(DoneInClaim):
    """What is old enough, a batch at a time."""

    def __init__(self, *, pause: float = PAUSE_SECONDS, batch: int = BATCH) -> None:
        self._pause, self._batch = pause, batch
        self._look_at: dict[int, float] = {}
        """By organization: the moment, of the monotonic clock."""
        self._kind: dict[int, int] = {}
        """By organization: the place in KINDS at which it is."""
        self._sessions_at = 0.0

    def claim(self, organization: Organization, limit: int) -> list[None]:
        now = time.monotonic()
        if now >= self._sessions_at:
            self._sessions_at = now + REST_SECONDS  # so that the next organization's turn does not begin with it, too
            if let_go_of_ended(limit=self._batch):
                self._sessions_at = now + self._pause
        if now < self._look_at.get(organization.pk, now):
            return []
        place, is_through = self._kind.get(organization.pk, 0), False
        while not is_through:
            step = let_go(organization=organization, kind=KINDS[place], batch=self._batch)
            if step.gone:
                _log.info("let_go", organization=organization.slug, kind=KINDS[place].name, gone=step.gone)
            if step.is_last:
                place = self._kind[organization.pk] = (place + 1) % len(KINDS)
                is_through = place == 0
            if step.gone or not step.is_last:
                break  # else the next kind at once: mostly there is nothing to do
        self._look_at[organization.pk] = now + (REST_SECONDS if is_through else self._pause)
        return []

    def seconds_until_due(self, organization: Organization) -> float | None:
        look_at = self._look_at.get(organization.pk)
        return None if look_at is None else max(0.0, look_at - time.monotonic())
