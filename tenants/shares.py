"""Who has how much of a worker: organizations of its calls, and gateways and endpoints of an organization's.

A slow one keeps no other waiting. An organization may have another call under way, or claim more, only while more is
left for the others than it has: alone it gets half, a second one half of the rest, and so on, and nobody ever the last.
The same rule holds within an organization for its gateways and endpoints (``Lanes`` in tenants/work.py).
"""

import threading
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenants.models import Organization
from tenants.work import DoneInClaim, Lanes, Work

THREADS = 64
"""Calls of one kind at once, unless the kind allows fewer: half of them for an organization that is alone."""

MOST_HELD = 256
"""The most tasks of one kind that a worker has claimed and not recorded."""

BATCH = 64
"""Tasks of one kind and organization that are claimed and not recorded. Four rounds of calls that all run into the
usual time limits take less than a minute; their claims are extended meanwhile."""


@dataclass(slots=True)
class _Lane:
    """The tasks of one kind and organization that go one way."""

    begun: int = 0
    """Being carried out."""
    waiting: deque[Any] = field(default_factory=deque)


@dataclass(slots=True)
class _Share:
    """What an organization has of one kind of work."""

    organization: Organization
    held: int = 0
    """Claimed and not recorded."""
    begun: int = 0
    lanes: dict[Hashable, _Lane] = field(default_factory=dict)


class Kind:
    """One kind of work, and who has how much of it. For any thread."""

    def __init__(self, work: Work, threads: int) -> None:
        self.work = work
        self._lanes = work if isinstance(work, Lanes) else None
        if isinstance(work, DoneInClaim):
            self.at_once = 0
        elif self._lanes:
            self.at_once = max(1, min(threads, self._lanes.most_at_once(threads)))
        else:
            self.at_once = threads
        self.held = 0
        self.begun = 0
        """Being carried out."""
        self._shares: dict[int, _Share] = {}
        self._lock = threading.Lock()

    def room(self, organization: Organization) -> int:
        """How many tasks may be claimed for it now."""
        with self._lock:
            share = self._shares.get(organization.pk)
            held = share.held if share else 0
            return max(0, min(BATCH - held, (MOST_HELD - self.held - held) // 2))

    def holds(self, organization_id: int) -> Organization | None:
        """The organization, if something of it is claimed and not recorded."""
        with self._lock:
            share = self._shares.get(organization_id)
            return share.organization if share else None

    def take(self, organization: Organization, tasks: Sequence[Any]) -> None:
        """Takes in tasks that are claimed now."""
        if not tasks:
            return
        with self._lock:
            share = self._shares.setdefault(organization.pk, _Share(organization))
            share.organization = organization
            share.held += len(tasks)
            self.held += len(tasks)
            for task in tasks:
                share.lanes.setdefault(self._lane_of(task), _Lane()).waiting.append(task)

    def begin(self) -> tuple[Organization, Any] | None:
        """The next to be carried out; None: none may be now. Whoever has the fewest under way comes first."""
        with self._lock:
            return self._begin()

    def _begin(self) -> tuple[Organization, Any] | None:
        left = self.at_once - self.begun
        best: tuple[int, int] | None = None
        chosen: tuple[_Share, _Lane] | None = None
        for share in self._shares.values():
            if share.begun >= left:
                continue
            for key, lane in share.lanes.items():
                order = (share.begun, lane.begun)
                if lane.waiting and (best is None or order < best) and lane.begun < self._most_of(key):
                    best, chosen, chosen_key = order, (share, lane), key
        if chosen is None:
            return None
        share, lane = chosen
        share.lanes[chosen_key] = share.lanes.pop(chosen_key)  # its turn is over: of equals the others come first
        self.begun += 1
        share.begun += 1
        lane.begun += 1
        return share.organization, lane.waiting.popleft()

    def end(self, organization: Organization, task: Any) -> None:
        """Notes that a task was carried out."""
        with self._lock:
            share, key = self._shares[organization.pk], self._lane_of(task)
            lane = share.lanes[key]
            self.begun -= 1
            share.begun -= 1
            lane.begun -= 1
            if not lane.begun and not lane.waiting:
                del share.lanes[key]

    def give_back(self, organization: Organization, count: int) -> None:
        """Notes that so many tasks were recorded."""
        with self._lock:
            share = self._shares[organization.pk]
            share.held -= count
            self.held -= count
            if not share.held:
                del self._shares[organization.pk]

    def _lane_of(self, task: Any) -> Hashable:
        return self._lanes.lane_of(task) if self._lanes else None

    def _most_of(self, lane: Hashable) -> int:
        return max(1, self._lanes.most_of(lane, self.at_once)) if self._lanes else self.at_once
