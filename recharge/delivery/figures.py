"""What metrics show of the database: how much waits in the organizations, and how the platform is.

One worker reads it, the one that has run longest (Heartbeat.leads), and no scrape does. Of each organization it reads
what waits when it looks there anyway (tenants/worker.py), and once a minute where something does: so a thousand
organizations are 17 short calls a second at most, and never a statement over a thousand schemas. What is shown is a sum
over all of them, and the few that are worst by name.
"""

import heapq
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.database import call_function
from shared.metrics import FIGURES
from tenants.figures import PlatformFigures, platform_figures
from tenants.heartbeats import Heartbeat
from tenants.models import Organization
from tenants.worker import IDLE_SWEEP_SECONDS

LOOK_SECONDS = 10.0
"""Between two looks at the platform, and at least between two at one organization."""

WAITING_SECONDS = 60.0
"""Between two looks at an organization in which something waits."""

FORGOTTEN_SECONDS = 300.0
"""What was seen of an organization that could not be looked at since, is shown for so long: that nothing waits there
until it should have been looked at again, too."""

NAMED = 10
"""Organizations that are named, for each queue."""

NAMED_SECONDS = 60.0
"""An organization is named whose oldest waits for longer."""


class Queue(NamedTuple):
    """What waits in one queue."""

    length: int
    seconds: float
    """The age of the oldest."""


_NAMES = ("pending", "unknown", "webhooks")


class Seen(NamedTuple):
    """What was seen of one organization, and when (of the monotonic clock)."""

    slug: str
    at: float
    queues: dict[str, Queue]

    @property
    def waits(self) -> bool:
        return any(queue.length for queue in self.queues.values())

    def is_good_at(self, moment: float) -> bool:
        return moment < self.at + FORGOTTEN_SECONDS + (0.0 if self.waits else IDLE_SWEEP_SECONDS)


class Figures(Collector):
    """The figures, as a kind of work and a watcher of the worker, and as a collector of metrics: called at the worker's
    desks, in its watcher's thread, and in that which answers ``/metrics``."""

    def __init__(self, directory: Path | None, is_told: Callable[[], bool] = lambda: True) -> None:
        """With a ``directory``, they are written there for the process that answers ``/metrics`` (FIGURES)."""
        self._file = directory and directory / FIGURES
        self.is_told = is_told
        self._leads = self._has_asked = False
        """Whether it is the one, and whether it has asked since for a look at each organization."""
        self._look_at = float("-inf")
        self._lock = threading.Lock()
        """Of what was seen of organizations. Nobody holds it who waits for the database."""
        self._seen: dict[int, Seen] = {}
        self._skipped: set[int] = set()
        """Organizations that were looked at too soon after the last time."""
        self._platform: PlatformFigures | None = None
        self._took = 0.0

    # --- Of the platform ----------------------------------------------------------------------------------------------

    def look(self, heartbeat: Heartbeat, organizations: Collection[Organization]) -> bool:
        began = time.monotonic()
        if began < self._look_at:
            return False
        self._look_at = began + LOOK_SECONDS
        self._platform = None  # rather nothing than what is no longer so
        self._leads = heartbeat.leads()
        self._has_asked = self._has_asked and self._leads
        active = {organization.pk for organization in organizations} if self._leads else set()
        with self._lock:
            self._seen = {pk: seen for pk, seen in self._seen.items() if pk in active and seen.is_good_at(began)}
            self._skipped &= active
        if self._leads:
            self._platform = platform_figures()
            self._took = time.monotonic() - began
        if self._file:
            registry = CollectorRegistry()
            registry.register(self)
            write_to_textfile(str(self._file), registry)
        # Or what waits where it is quiet would not be among these for minutes.
        asks, self._has_asked = self._leads and not self._has_asked, self._leads
        return asks

    # --- Of an organization -------------------------------------------------------------------------------------------

    def claim(self, organization: Organization, limit: int) -> list[None]:
        """Reads what waits there; nothing is left to be carried out."""
        if not self._leads:
            return []
        now = time.monotonic()
        with self._lock:
            seen = self._seen.get(organization.pk)
            if seen is not None and now < seen.at + LOOK_SECONDS:
                self._skipped.add(organization.pk)
                return []
            self._skipped.discard(organization.pk)
        columns = ", ".join(f"{name}, {name}_seconds" for name in _NAMES)
        row = call_function(organization.schema_name, "queue_figures", columns, [])
        queues = {name: Queue(*row[2 * place : 2 * place + 2]) for place, name in enumerate(_NAMES)}
        with self._lock:
            self._seen[organization.pk] = Seen(organization.slug, now, queues)
        return []

    def carry_out(self, organization: Organization, task: None) -> None:
        """Nothing is left to be done."""

    def record(self, organization: Organization, done: Sequence[tuple[None, None]]) -> None:
        """Nothing is left to be written."""

    def seconds_until_due(self, organization: Organization) -> float | None:
        """What was delivered since the last look is not to be shown as waiting until the next minute."""
        with self._lock:
            seen = self._seen.get(organization.pk)
            if seen is None:
                return None
            if organization.pk in self._skipped:
                pause = LOOK_SECONDS
            elif seen.waits:
                pause = WAITING_SECONDS
            else:
                return None
        return max(0.0, seen.at + pause - time.monotonic())

    # --- As metrics ---------------------------------------------------------------------------------------------------

    def describe(self) -> list[Metric]:
        return []  # whoever registers this does not ask for figures yet

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            platform, seen = self._platform, list(self._seen.values())
        if platform is None:
            return
        yield from _of_platform(platform)
        length = _gauge(
            "recharge_queue_length", "What waits: of each organization 10,000 at most are counted.", "queue"
        )
        oldest = _gauge(
            "recharge_queue_oldest_seconds", "How long the oldest has waited; of webhooks, overdue.", "queue"
        )
        named = _gauge(
            "recharge_queue_worst_seconds", "The same of the organizations that are worst off.", "queue", "organization"
        )
        for name in _NAMES:
            queues = [(one.queues[name], one.slug) for one in seen]
            length.add_metric([name], sum(queue.length for queue, _ in queues))
            oldest.add_metric([name], max((queue.seconds for queue, _ in queues), default=0.0))
            late = ((queue.seconds, slug) for queue, slug in queues if queue.seconds > NAMED_SECONDS)
            for seconds, slug in heapq.nlargest(NAMED, late):
                named.add_metric([name, slug], seconds)
        yield from (length, oldest, named)
        yield _one("recharge_figures_organizations", "Active organizations whose queues are among these.", len(seen))
        yield _one("recharge_figures_seconds", "How long it took to read the platform's figures.", self._took)


def _gauge(name: str, help_: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, labels=labels)


def _one(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, value=value)


def _by(name: str, help_: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = _gauge(name, help_, label)
    for of_label, value in values.items():
        family.add_metric([of_label], value)
    return family


def _of_platform(figures: PlatformFigures) -> Iterator[Metric]:
    yield _by("recharge_organizations", "Organizations by status.", "status", figures.organizations)
    yield _by(
        "recharge_reconciled_organizations", "Organizations by reconcile's last verdict.", "verdict", figures.reconciled
    )
    yield _one(
        "recharge_reconcile_age_seconds", "Since the books were proved that were so longest ago.", figures.reconcile_age
    )
    yield _one("recharge_workers", "Delivery workers that are alive.", figures.workers)
    yield _by("recharge_database_connections", "Connections to the database.", "state", figures.connections)
    yield _one("recharge_database_connections_most", "max_connections of the database.", figures.most_connections)
    yield _one("recharge_database_lock_waits", "Statements that wait for a lock.", figures.lock_waits)
    yield _one(
        "recharge_database_longest_lock_wait_seconds", "The one that has waited longest.", figures.longest_lock_wait
    )
    yield _one(
        "recharge_database_longest_transaction_seconds", "The oldest open transaction.", figures.longest_transaction
    )
    yield _one("recharge_standbys", "Standbys that are connected to the database.", figures.standbys)
    yield _one(
        "recharge_synchronous_standby_missing",
        "1: commits wait for a standby that is not there.",
        figures.synchronous_missing,
    )
    if figures.replication_lag is not None:
        yield _one(
            "recharge_replication_lag_seconds", "Of the standby that is furthest behind.", figures.replication_lag
        )
