"""The claims of a worker: short ones, extended for as long as it lives.

A row that is claimed is due again when its lease is over, and so a dead worker's rows are taken over by another. Calls
may take longer than a lease, and wait for a thread before: the worker says every few seconds which rows it still has.
Whether anything is done twice does not hang on it: see recharge/sql/delivery.sql and credit/sql/webhooks.sql.
"""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

RENEWED_AFTER = 3
"""A lease is extended when a third of it is over: twice more, if that fails, before the row is anybody's."""


@dataclass(slots=True)
class _Lease:
    mark: Any
    extended_at: float
    renew_at: float
    """Moments, of the monotonic clock."""
    times: int
    """How often this worker has claimed it and not recorded it: once more where the lease ran out meanwhile, since the
    database did not answer, say."""


class Leases:
    """What one kind of work has claimed and not recorded. A claim has a *mark*, by which the database knows that it is
    still this worker's. Of one organization only :meth:`is_good` is for several threads at once."""

    def __init__(self, length: timedelta) -> None:
        self.length = length
        self._seconds = length.total_seconds()
        self._held: dict[int, dict[UUID, _Lease]] = {}

    def begin(self, organization_id: int, row: UUID, mark: Any) -> None:
        """It is claimed, a moment ago."""
        held = self._held.setdefault(organization_id, {})
        before = held.get(row)
        held[row] = self._new(mark, times=before.times + 1 if before else 1)

    def end(self, organization_id: int, row: UUID) -> None:
        """It is recorded."""
        held = self._held.get(organization_id, {})
        if lease := held.get(row):
            lease.times -= 1
            if not lease.times:
                del held[row]
        if not held:
            self._held.pop(organization_id, None)

    def is_good(self, organization_id: int, row: UUID) -> bool:
        """Whether enough is left of it to begin something."""
        lease = self._held.get(organization_id, {}).get(row)
        return lease is not None and time.monotonic() < lease.extended_at + self._seconds / 2

    def mark(self, organization_id: int, row: UUID) -> Any:
        """By what the database knows the claim."""
        return self._held[organization_id][row].mark

    def to_be_renewed(self, organization_id: int) -> dict[UUID, Any]:
        """The rows of which a third of the time is over, with their marks."""
        now = time.monotonic()
        held = self._held.get(organization_id, {})
        return {row: lease.mark for row, lease in held.items() if now >= lease.renew_at}

    def renewed(self, organization_id: int, marks: dict[UUID, Any]) -> None:
        """These were extended, and have these marks from now on. The others are tried again later: they are another's
        by now, or somebody held their rows."""
        self.put_off(organization_id)
        held = self._held.get(organization_id, {})
        for row, mark in marks.items():
            held[row] = self._new(mark, times=held[row].times)

    def put_off(self, organization_id: int) -> None:
        """What is to be renewed is tried again after a while."""
        for row in self.to_be_renewed(organization_id):
            self._held[organization_id][row].renew_at = time.monotonic() + self._pause

    def seconds_until_renewal(self, organization_id: int) -> float:
        """How long nothing is to be renewed; infinite where nothing is held."""
        moments = (lease.renew_at for lease in self._held.get(organization_id, {}).values())
        return max(0.0, min(moments, default=float("inf")) - time.monotonic())

    @property
    def _pause(self) -> float:
        return max(0.1, self._seconds / RENEWED_AFTER)

    def _new(self, mark: Any, *, times: int) -> _Lease:
        now = time.monotonic()
        return _Lease(mark, now, now + self._pause, times)
