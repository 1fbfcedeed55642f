"""What a worker (tenants/worker.py) asks of a kind of work: to deliver recharges, say, or to sum up days."""

from collections.abc import Collection, Hashable, Sequence
from typing import Any, Protocol, runtime_checkable

from tenants.heartbeats import Heartbeat
from tenants.leases import Leases
from tenants.models import Organization


class Work(Protocol):
    """One kind of work. All but ``carry_out`` run at a desk, on the organization's schema: for one organization one
    after the other, for several at once in several threads."""

    def claim(self, organization: Organization, limit: int) -> Sequence[Any]:
        """Takes up to so many due tasks, each for a limited time; committed when it returns."""
        ...

    def carry_out(self, organization: Organization, task: Any) -> Any:
        """What came of a task. Called in a thread; uses no database, and whatever happens it returns."""
        ...

    def record(self, organization: Organization, done: Sequence[tuple[Any, Any]]) -> None:
        """Writes down what came of tasks, all of them or (with an error) none."""
        ...

    def seconds_until_due(self, organization: Organization) -> float | None:
        """When the next task falls due; None: none is waiting."""
        ...


class DoneInClaim:
    """A base of kinds of work that ``claim`` does whole, each time in a transaction of some hundredths of a second: it
    gives no tasks, so nothing is left to be carried out or recorded."""

    def carry_out(self, organization: Organization, task: None) -> None:
        """Never called: there are no tasks."""

    def record(self, organization: Organization, done: Sequence[tuple[None, None]]) -> None:
        """Never called: there are no tasks."""


@runtime_checkable
class Lanes(Protocol):
    """What a kind of work has besides where its tasks go different ways: one may be slow, and the others not."""

    def most_at_once(self, threads: int) -> int:
        """How many of so many threads tasks of this kind may take."""
        ...

    def lane_of(self, task: Any) -> Hashable:
        """The way that a task goes: the gateway's, or the endpoint's."""
        ...

    def most_of(self, lane: Hashable, at_once: int) -> int:
        """How many calls may be under way on this lane, if there are so many of the kind."""
        ...


@runtime_checkable
class Leased(Protocol):
    """What a kind of work has besides if its claims are short, and extended while the worker lives."""

    leases: Leases

    def renew(self, organization: Organization) -> None:
        """Extends the claims on what it holds of an organization. At a desk, on the organization's schema."""
        ...


@runtime_checkable
class Locking(Protocol):
    """What a kind of work has besides if what is recorded waits for locks, which somebody may hold for long."""

    def lock_of(self, task: Any) -> Hashable:
        """Whose lock it is that may have to be waited for; the tasks of others are recorded without them then."""
        ...


class Watcher(Protocol):
    """Who looks at the whole now and then, beside the work."""

    def is_told(self) -> bool:
        """Whether anybody is told of what it sees: else another worker is to look."""
        ...

    def look(self, heartbeat: Heartbeat, organizations: Collection[Organization]) -> bool:
        """Called every second or so (``WATCH_SECONDS`` of tenants/worker.py) with the active organizations, on the
        public schema, in a thread and on a connection of its own: the desks stand still where a COMMIT waits for a
        standby that is gone, and just that is to be told. It decides itself whether it is time. An error of the
        database here keeps nothing from being delivered.

        Gives whether the worker is to look at each of the organizations now."""
        ...
