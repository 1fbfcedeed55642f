"""A kind of work of the worker (tenants/worker.py): once a day it makes each organization's root, and appends it to the
file that ``CHAIN_FILE`` names."""

import time
from collections.abc import Hashable, Sequence

import structlog

from credit.chain.services import Root, append_roots, chain_file, make_root
from tenants.models import Organization
from tenants.worker import IDLE_SWEEP_SECONDS, JITTER

ASK_SECONDS = 0.9 * JITTER * IDLE_SWEEP_SECONDS
"""Between two times that an organization's database is asked whether a day is over. Its clock says so, not the
worker's. Less than is between two looks at a quiet one: each of them asks."""

_log = structlog.get_logger("recharge.chain")


class RootWork:
    """The roots of days that are over."""

    def __init__(self) -> None:
        self._ask_at: dict[int, float] = {}
        """By organization: the moment, of the monotonic clock."""

    def claim(self, organization: Organization, limit: int) -> list[Root]:
        now = time.monotonic()
        if now < self._ask_at.get(organization.pk, now):
            return []
        root = make_root(organization=organization)
        self._ask_at[organization.pk] = now + ASK_SECONDS
        return [] if root is None else [root]

    def most_at_once(self, threads: int) -> int:
        return 1

    def lane_of(self, task: Root) -> str:
        return "file"

    def most_of(self, lane: Hashable, at_once: int) -> int:
        return 1

    def carry_out(self, organization: Organization, task: Root) -> None:
        file = chain_file()
        if file is None:
            return
        try:
            append_roots(file, [task])
        except OSError as error:
            # The day's root covers the days before it, too, so the next line makes up for this one.
            _log.error("chain_file_not_written", file=str(file), organization=organization.slug, error=str(error))

    def record(self, organization: Organization, done: Sequence[tuple[Root, None]]) -> None:
        """Nothing is left to be written."""

    def seconds_until_due(self, organization: Organization) -> float | None:
        return None
