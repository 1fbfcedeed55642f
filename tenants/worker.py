"""The delivery worker does what is due in the organizations' schemas: several kinds of work, many calls at once.

A kind of work (recharge/delivery/work.py, credit/webhooks/sending.py) is claimed in batches, carried out in threads
that hold no lock and no connection, and recorded in batches. The table is the queue; what a worker holds in memory
is only what it has claimed, each for a limited time, so any number of workers may run and any may be killed at any
moment.

The main thread gives turns, and never waits for the database. An organization's turn is taken at one of a few *desks*,
threads with a connection each: what is done is recorded, and a batch of what is due is claimed. Who has waited longest
comes first, and nobody has two desks. So an organization with a long queue gives its desk away after each batch, and
one whose turn takes long, since it waits for a seller's lock or sums up a day, leaves the other desks to the others.

What is asked of a kind of work stands in tenants/work.py; how many calls each organization may have under way, in
tenants/shares.py.

An organization is looked at when somebody rings (tenants/wakeups.py), when something of it that was seen falls due, and
otherwise once a minute, since not each ring is heard. Where nothing is found, and nobody rings, it is left alone for as
long again as it has been quiet, five minutes at most: a look takes 2 ms of CPU here and 7 of the database, on whose
connections few tables of so many organizations are known.
"""

import queue
import random
import select
import threading
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg2
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.backends.signals import connection_created
from django_tenants.utils import tenant_context

from shared.database import set_parameter
from shared.errors import Problem, SellerBusy
from shared.metrics import Load
from shared.sick import needs_new_connection
from tenants import direct
from tenants.heartbeats import BEAT_SECONDS, Heartbeat
from tenants.models import Organization
from tenants.queries import active_organizations
from tenants.shares import THREADS, Kind
from tenants.wakeups import CHANNEL, QUIET_SECONDS
from tenants.work import Leased, Locking, Watcher, Work

SWEEP_SECONDS = 60.0
"""How long an organization is left alone at most that was not quiet a minute ago."""

IDLE_SWEEP_SECONDS = 300.0
"""How long at most, however long it has been quiet."""

JITTER = 0.8
"""The least part of that time after which it is looked at: not all are looked at at once."""

ORGANIZATIONS_SECONDS = 5.0
"""How old the list of organizations gets: a new one is looked at, and a suspended one left alone, after this."""

RETRY_SECONDS = 1.0
"""After which what could not be claimed or recorded is tried again."""

REPEAT_SECONDS = 60.0
"""How often the log says the same of a database that still does not answer as it should."""

BROKEN_SECONDS = 5.0
"""After which an organization is looked at again whose schema did not answer as it should."""

WATCH_SECONDS = 1.0
"""Between two calls of a watcher, who decides whether it is time."""

WATCH_END_SECONDS = 5.0
"""How long a worker that ends waits for its watcher, who reads and leaves nothing half done."""

LISTEN_SECONDS = 1.0
"""How long a worker that begins waits until it listens; then it begins without."""

DESKS = 3
"""Turns that are taken at once, of as many organizations: two that wait for a lock leave a third its place. The first
free desk takes a turn, so the others are needed, and have a connection, only where several organizations have work."""

LOCK_SECONDS = 3
STATEMENT_SECONDS = 10
"""How long a worker's statement may wait for a lock, and how long it may take. What somebody else's session holds, or a
schema in which nothing ends, would else keep a desk for ever, and three of them all desks."""

IDLE_TRANSACTION_SECONDS = 60
"""How long a transaction of a worker may stand still: that of a machine that was switched off, say, of which the
database may not hear for hours. It holds sellers' locks."""

TURN_SECONDS = 10.0
"""After which a turn begins nothing more."""

LONG_SECONDS = 2.0
"""An organization whose last turn took longer may have to wait for a desk: one is left for the others."""

DESK_IDLE_SECONDS = 60.0
"""After which a desk that had no turn closes its connection."""

LINGER_SECONDS = 0.1
"""Seconds between two looks at an organization, unless the first found a whole batch: a claim of many costs little more
than a claim of one. (The rate of sales beside a worker ÷ without: 0.70 with no such pause, 0.80 with it; tests/bench,
table "delivery".)"""

_log = structlog.get_logger("recharge.worker")


def limit_statements() -> None:
    """From now on, on each connection that this process opens, the database ends what takes too long."""
    connection_created.connect(_limit_statements)


def _limit_statements(connection: Any, **_: Any) -> None:
    set_parameter(connection, "lock_timeout", f"{LOCK_SECONDS}s")
    set_parameter(connection, "statement_timeout", f"{STATEMENT_SECONDS}s")
    set_parameter(connection, "idle_in_transaction_session_timeout", f"{IDLE_TRANSACTION_SECONDS}s")


@dataclass(slots=True)
class _Done:
    work: Work
    organization: Organization
    task: Any
    result: Any


class _Listens:
    """Who wakes the workers is heard from now on."""


class _LooksAtAll:
    """The watcher wants each organization to be looked at."""


@dataclass(slots=True)
class _Failed:
    """What a desk met that nobody has thought of: it ends the worker."""

    error: BaseException


_PLATFORM = 0
"""In the place of an organization's id: the turn in which the organizations are listed and a heartbeat is given."""


@dataclass(slots=True)
class _Turn:
    """What one desk does for an organization, or for the platform; and what came of it, when it is over."""

    desk: int
    organization: Organization | None
    done: list[_Done]
    """To be recorded; when it is over, what could not be."""
    looks: bool
    """Whether to claim what is due; else claims are only extended, and what is done recorded."""
    began_at: float = 0.0
    """The moment, of the monotonic clock."""
    sweep: float = SWEEP_SECONDS
    """Seconds until the next look, if this one finds nothing."""
    finds: bool = False
    """Whether it found something to do."""
    listed: list[Organization] | None = None
    recorded: int = 0
    look_in: float = float("inf")
    """Seconds until the next look, if it was looked at."""
    renew_in: float = float("inf")
    cut_off: Exception | None = None
    """Why nothing can be done on this connection, or with this database."""

    @property
    def key(self) -> int:
        return self.organization.pk if self.organization else _PLATFORM

    @property
    def is_out_of_time(self) -> bool:
        return time.monotonic() >= self.began_at + TURN_SECONDS


_Event = _Done | _Turn | _Failed | _Listens | _LooksAtAll | int | None
"""What happens to a worker: a result, a turn that is over, an organization that was rung for, and so on; None: it is to
stop."""


class Worker:
    """Runs until it is stopped, or (:meth:`run_once`) until nothing is due."""

    def __init__(self, works: Sequence[Work], *, threads: int = THREADS, watcher: Watcher | None = None) -> None:
        self._watcher = watcher
        self._kinds = {id(work): Kind(work, threads) for work in works}
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        """What the main thread waits for."""
        self._pool = ThreadPoolExecutor(
            max(1, sum(kind.at_once for kind in self._kinds.values())), thread_name_prefix="delivery"
        )
        self._desks: list[queue.SimpleQueue[_Turn | None]] = []
        self._turns: dict[int, _Turn] = {}
        """Those that are being taken, by organization."""
        self._long: set[int] = set()
        """The organizations whose last turn was a long one."""
        self._organizations: dict[int, Organization] = {}
        self._begin_seconds = 0.0
        """Before the first look at an organization."""
        self._listed_at = float("-inf")
        self._platform_at = float("-inf")
        """The moments by organization below, and this of the platform's next turn, are those of the monotonic clock."""
        self._look_at: dict[int, float] = {}
        """The next look."""
        self._quiet_since: dict[int, float] = {}
        """Since when nothing was found in an organization, and nobody rang."""
        self._look_twice: dict[int, float] = {}
        """A second look at one that was rung for."""
        self._record_at: dict[int, float] = {}
        """When what is done is to be recorded."""
        self._renew_at: dict[int, float] = {}
        """When claims are to be extended."""
        self._done: dict[int, list[_Done]] = {}
        """Carried out, and not recorded."""
        self._resume_at = float("-inf")
        """Before which no turn is given, since the database does not answer as it should."""
        self._stopping = threading.Event()
        self._heartbeat = Heartbeat()
        self._beat_at = float("-inf")
        self._trouble: dict[tuple[str, str | None], tuple[str, float]] = {}
        """By event of the log and organization: what was said last, and when (of the monotonic clock)."""

    @property
    def _is_busy(self) -> bool:
        """Whether anything is claimed and not recorded, or a turn is being taken."""
        return bool(self._turns) or any(kind.held for kind in self._kinds.values())

    def load(self) -> Load:
        """How many of its threads carry something out, and what is claimed and waits for one. From any thread."""
        kinds = list(self._kinds.values())
        begun = sum(kind.begun for kind in kinds)
        return Load(sum(kind.at_once for kind in kinds), begun, max(0, sum(kind.held for kind in kinds) - begun))

    def stop(self) -> None:
        """Lets :meth:`run` end as soon as all that it has claimed is carried out and recorded. For signal handlers."""
        self._stopping.set()
        self._events.put(None)

    def run(self) -> None:
        """Works until :meth:`stop`."""
        self._begin_seconds = LISTEN_SECONDS
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        watching = threading.Thread(target=self._watch, daemon=True)
        watching.start()
        with self._open_desks():
            while not self._stopping.is_set():
                self._wait(self._give_turns())
            self._finish()
        watching.join(WATCH_END_SECONDS)

    def run_once(self) -> None:
        """Does what is due now, and what falls due while it does, and returns."""
        with self._open_desks():
            while not self._stopping.is_set():
                pause = self._give_turns()
                soonest = min(self._look_at.values(), default=float("inf"))
                if not self._is_busy and soonest > time.monotonic() + LINGER_SECONDS:
                    break
                self._wait(min(pause, 0.05))
            self._finish()

    @contextmanager
    def _open_desks(self) -> Iterator[None]:
        for place in range(DESKS):
            desk: queue.SimpleQueue[_Turn | None] = queue.SimpleQueue()
            threading.Thread(target=self._sit, args=(desk,), name=f"desk-{place}", daemon=True).start()
            self._desks.append(desk)
        try:
            yield
        finally:
            for desk in self._desks:
                desk.put(None)

    def _finish(self) -> None:
        while self._is_busy:
            self._wait(self._give_turns())
        self._pool.shutdown()
        if self._beat_at > float("-inf"):
            with suppress(DatabaseError, InterfaceError):  # it is then seen to be silent
                self._heartbeat.end()

    # --- Who has the next turn: in the main thread --------------------------------------------------------------------

    def _give_turns(self) -> float:
        """Gives the free desks to those who have waited longest, and says for how many seconds there is nothing more
        to give."""
        now = time.monotonic()
        if now < self._resume_at:
            return self._resume_at - now
        reasons = [{_PLATFORM: self._platform_at}, self._record_at, self._renew_at]
        if not self._stopping.is_set():  # who ends claims nothing more
            reasons.append(self._look_at)
        due, soonest = [], now + ORGANIZATIONS_SECONDS
        for moments in reasons:
            for key, moment in moments.items():
                if moment <= now:
                    due.append((moment, key))
                else:
                    soonest = min(soonest, moment)
        for _, key in sorted(due):
            desk = self._free_desk()
            if desk is None:
                break
            if key not in self._turns and not self._must_wait(key):
                self._turns[key] = self._turn(key, desk, now)
                self._desks[desk].put(self._turns[key])
        return soonest - now  # unless something happens before, as the end of a turn

    def _free_desk(self) -> int | None:
        """The first one."""
        taken = {turn.desk for turn in self._turns.values()}
        return next((place for place in range(DESKS) if place not in taken), None)

    def _must_wait(self, key: int) -> bool:
        """Whether it would take the last desk, and may keep it for long."""
        return key in self._long and len(self._long & self._turns.keys()) >= max(1, DESKS - 1)

    def _turn(self, key: int, desk: int, now: float) -> _Turn:
        if key == _PLATFORM:
            return _Turn(desk, None, [], looks=False, began_at=now)
        # One that is suspended is not among them, and what is done for it is recorded all the same.
        held = filter(None, (kind.holds(key) for kind in self._kinds.values()))
        organization = self._organizations.get(key) or next(held)
        done: list[_Done] = []
        if self._record_at.get(key, float("inf")) <= now:
            done = self._done.pop(key)
            del self._record_at[key]
        looks = not self._stopping.is_set() and self._look_at.get(key, float("inf")) <= now
        if looks:
            self._look_at[key] = float("inf")  # unless somebody rings meanwhile
        self._renew_at.pop(key, None)
        quiet = now - self._quiet_since.get(key, now)
        sweep = min(max(SWEEP_SECONDS, quiet), IDLE_SWEEP_SECONDS)
        return _Turn(desk, organization, done, looks, began_at=now, sweep=sweep)

    def _wait(self, seconds: float) -> None:
        """Takes in what has happened, after waiting at most so long for something to."""
        try:
            event = self._events.get(timeout=seconds) if seconds > 0 else self._events.get_nowait()
            while True:
                self._take_in(event)
                event = self._events.get_nowait()
        except queue.Empty:
            pass

    def _take_in(self, event: _Event) -> None:
        now = time.monotonic()
        if isinstance(event, _Done):
            key = event.organization.pk
            self._done.setdefault(key, []).append(event)
            self._record_at.setdefault(key, now)
            kind = self._kinds[id(event.work)]
            kind.end(event.organization, event.task)
            self._begin(kind)
        elif isinstance(event, _Turn):
            self._end_turn(event, now)
        elif isinstance(event, _Failed):
            raise event.error
        elif isinstance(event, _Listens):
            # What was rung for before was not heard, and who rang then is quiet for a moment.
            self._begin_seconds = 2 * QUIET_SECONDS
            self._look_at = dict.fromkeys(self._look_at, now + self._begin_seconds)
        elif isinstance(event, _LooksAtAll):
            self._look_at = dict.fromkeys(self._look_at, now)
        elif event is not None and event in self._look_at:
            # And once more when the process that rang may ring again: what it sold meanwhile it did not ring for.
            self._look_at[event] = now
            self._quiet_since[event] = now
            self._look_twice[event] = now + 2 * QUIET_SECONDS

    def _end_turn(self, turn: _Turn, now: float) -> None:
        key = turn.key
        del self._turns[key]
        if turn.cut_off:
            self._say_once("worker_can_not_work", turn.cut_off)
            self._resume_at = now + RETRY_SECONDS
        if turn.organization is None:
            self._end_turn_of_platform(turn, now)
            return
        if now > turn.began_at + LONG_SECONDS:
            self._long.add(key)
        else:
            self._long.discard(key)
        if turn.done:
            self._done[key] = turn.done + self._done.get(key, [])
            self._record_at[key] = now + RETRY_SECONDS
        if turn.renew_in < float("inf"):
            self._renew_at[key] = now + turn.renew_in
        if key not in self._look_at:
            return
        if turn.looks or turn.cut_off:
            if turn.began_at >= self._look_twice.get(key, float("inf")):
                del self._look_twice[key]
            if turn.finds:
                self._quiet_since[key], turn.look_in = now, min(turn.look_in, SWEEP_SECONDS)
            self._quiet_since.setdefault(key, turn.began_at)
            next_look = min(now + turn.look_in, self._look_twice.get(key, float("inf")))
            self._look_at[key] = min(self._look_at[key], next_look)
        if turn.recorded:
            # What was claimed is not due before its lease is over, as far as the last look knows; and there may be room
            # again, and messages for webhooks.
            self._look_at[key] = min(self._look_at[key], now + LINGER_SECONDS)

    def _end_turn_of_platform(self, turn: _Turn, now: float) -> None:
        if turn.cut_off:
            self._look_at = dict.fromkeys(self._look_at, now)
            return
        self._platform_at = turn.began_at + min(ORGANIZATIONS_SECONDS, BEAT_SECONDS)
        if turn.listed is not None:
            self._organizations = {organization.pk: organization for organization in turn.listed}
            first = now + self._begin_seconds
            self._look_at = {pk: self._look_at.get(pk, first) for pk in self._organizations}
            self._quiet_since = {pk: at for pk, at in self._quiet_since.items() if pk in self._organizations}
        if not self._look_at:  # else it is over when one could be looked at
            self._say_that_it_is_over("worker_can_not_work")

    # --- A turn: at a desk --------------------------------------------------------------------------------------------

    def _sit(self, desk: "queue.SimpleQueue[_Turn | None]") -> None:
        """In a thread of its own: takes the turns that are given to a desk."""
        seen: set[int] = set()
        try:
            while True:
                try:
                    turn = desk.get(timeout=DESK_IDLE_SECONDS)
                except queue.Empty:
                    connection.close()
                    seen.clear()
                    continue
                if turn is None:
                    return
                self._take_turn(turn)
                seen.add(turn.key)
                if turn.cut_off or len(seen) > settings.ORGANIZATIONS_PER_CONNECTION:  # see tenants/memory.py
                    connection.close()
                    seen.clear()
                self._events.put(turn)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._events.put(_Failed(error))
        finally:
            connection.close()

    def _take_turn(self, turn: _Turn) -> None:
        if turn.organization is None:
            self._see_to_the_platform(turn)
            return
        organization = turn.organization
        try:
            with tenant_context(organization):
                self._renew(organization)
                self._record(turn)
                if turn.looks and turn.is_out_of_time:
                    turn.look_in = BROKEN_SECONDS
                elif turn.looks:
                    self._look(turn, organization)
        except (DatabaseError, InterfaceError, Problem) as error:
            # One whose schema is not as it should be (it may be migrating) does not keep the others waiting.
            turn.look_in = BROKEN_SECONDS
            self._say_once("worker_can_not_look", error, organization.slug)
            if needs_new_connection(error):
                turn.cut_off, turn.look_in = error, 0.0  # as soon as turns are given again
        else:
            if turn.looks:
                self._say_that_it_is_over("worker_can_not_look", organization.slug)
                self._say_that_it_is_over("worker_can_not_work")
        works = (kind.work for kind in self._kinds.values())
        turn.renew_in = min(
            (work.leases.seconds_until_renewal(organization.pk) for work in works if isinstance(work, Leased)),
            default=float("inf"),
        )

    def _see_to_the_platform(self, turn: _Turn) -> None:
        try:
            if turn.began_at >= self._listed_at + ORGANIZATIONS_SECONDS:
                turn.listed = list(active_organizations())
                self._listed_at = turn.began_at
            if turn.began_at >= self._beat_at + BEAT_SECONDS:
                self._beat(turn.began_at)
        except (DatabaseError, InterfaceError) as error:
            turn.cut_off = error

    def _look(self, turn: _Turn, organization: Organization) -> None:
        """Claims a batch of each kind of work, and decides when to look again."""
        turn.look_in = turn.sweep * random.uniform(JITTER, 1.0)  # noqa: S311
        for kind in self._kinds.values():
            work = kind.work
            room = kind.room(organization)
            if room <= 0:
                turn.finds = True
                # It has its share, and recording that brings the next look; or the others have all that there is.
                if not kind.holds(organization.pk):
                    turn.look_in = min(turn.look_in, RETRY_SECONDS)
                continue
            tasks = work.claim(organization, room)
            turn.finds = turn.finds or bool(tasks)
            kind.take(organization, tasks)
            self._begin(kind)
            if len(tasks) == room:
                turn.look_in = 0.0
                continue
            until = work.seconds_until_due(organization)
            if until is not None:
                turn.look_in = min(turn.look_in, max(LINGER_SECONDS, until))

    def _begin(self, kind: Kind) -> None:
        while begun := kind.begin():
            self._pool.submit(self._carry_out, kind.work, *begun)

    def _carry_out(self, work: Work, organization: Organization, task: Any) -> None:
        self._events.put(_Done(work, organization, task, work.carry_out(organization, task)))

    def _record(self, turn: _Turn) -> None:
        """Records what is done; what can't be recorded now stays in the turn."""
        groups: dict[int, list[_Done]] = defaultdict(list)
        for done in turn.done:
            groups[id(done.work)].append(done)
        for group in groups.values():
            self._record_group(turn, group)

    def _record_group(self, turn: _Turn, group: list[_Done]) -> None:
        work, organization = group[0].work, group[0].organization
        try:
            work.record(organization, [(done.task, done.result) for done in group])
        except (DatabaseError, InterfaceError, Problem) as error:
            self._say_once("worker_could_not_record", error, organization.slug)
            if needs_new_connection(error):
                raise
            # The next turn begins with what this one did not come to.
            turn.done = [*_without(turn.done, group), *group]
            for part in _parts(group, error):
                if turn.is_out_of_time:
                    break
                self._record_group(turn, part)
        else:
            self._say_that_it_is_over("worker_could_not_record", organization.slug)
            self._kinds[id(work)].give_back(organization, len(group))
            turn.recorded += len(group)
            turn.done = _without(turn.done, group)

    def _renew(self, organization: Organization) -> None:
        """Extends the claims on what it holds. Where it can't, all is recorded all the same."""
        for kind in self._kinds.values():
            if not isinstance(kind.work, Leased) or not kind.work.leases.to_be_renewed(organization.pk):
                continue
            try:
                kind.work.renew(organization)
            except (DatabaseError, InterfaceError, Problem) as error:
                self._say_once("worker_could_not_renew", error, organization.slug)
                kind.work.leases.put_off(organization.pk)
                if needs_new_connection(error):
                    raise
            else:
                self._say_that_it_is_over("worker_could_not_renew", organization.slug)

    def _beat(self, now: float) -> None:
        """Says that it runs. Where it can't, all is delivered all the same."""
        self._heartbeat.tells_figures = self._watcher is not None and self._watcher.is_told()
        try:
            if self._beat_at > float("-inf"):
                self._heartbeat.beat()
            else:
                self._heartbeat.begin()
        except (DatabaseError, InterfaceError) as error:
            self._say_once("worker_can_not_say_that_it_runs", error)
            if needs_new_connection(error):
                connection.close()
        self._beat_at = now

    # --- Beside all that ----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """In a thread of its own: has the watcher look, from the first heartbeat on."""
        if self._watcher is None:
            return
        while not self._stopping.wait(WATCH_SECONDS):
            if self._beat_at == float("-inf"):
                continue
            try:
                if self._watcher.look(self._heartbeat, self._organizations.values()):
                    self._events.put(_LooksAtAll())
            except (DatabaseError, InterfaceError, OSError) as error:  # OSError: there is no room to write them
                self._say_once("worker_can_not_read_figures", error)
                if needs_new_connection(error):
                    connection.close()
            else:
                self._say_that_it_is_over("worker_can_not_read_figures")
        connection.close()

    def _say_once(self, event: str, error: Exception, organization: str | None = None) -> None:
        """Logs what is wrong when it begins, when it changes, and now and then; it is tried every few seconds."""
        said, moment = self._trouble.get((event, organization), ("", 0.0))
        # The lock may be a table's.
        words = "A lock was not granted in time." if isinstance(error, SellerBusy) else str(error).strip()
        if said == words and time.monotonic() < moment + REPEAT_SECONDS:
            return
        self._trouble[event, organization] = words, time.monotonic()
        _log.error(event, error=words, organization=organization)

    def _say_that_it_is_over(self, event: str, organization: str | None = None) -> None:
        if self._trouble.pop((event, organization), None):
            _log.info(f"{event}_is_over", organization=organization)

    def _listen(self) -> None:
        """In a thread of its own: passes on who is rung for. Without it everything is still found, later."""
        while not self._stopping.is_set():
            try:
                listening = direct.connect()
                with listening.cursor() as cursor:
                    cursor.execute(f"LISTEN {CHANNEL}")
                self._events.put(_Listens())
                self._say_that_it_is_over("worker_can_not_listen")
                while not self._stopping.is_set():
                    if select.select([listening], [], [], 1.0)[0]:
                        listening.poll()
                    for payload in {notice.payload for notice in listening.notifies}:
                        if payload.isascii() and payload.isdecimal():  # anybody on the database can notify
                            self._events.put(int(payload))
                    listening.notifies.clear()
                listening.close()
            except psycopg2.Error as error:
                self._say_once("worker_can_not_listen", error)
                self._stopping.wait(RETRY_SECONDS)


def _without(done: list[_Done], some: list[_Done]) -> list[_Done]:
    left_out = set(map(id, some))
    return [one for one in done if id(one) not in left_out]


def _parts(group: list[_Done], error: Exception) -> list[list[_Done]]:
    """What could not be recorded together, to be recorded in parts: by whose lock each waits for, and what waits for
    the same one each for itself, unless it is the lock that was not granted. Empty: there are no parts."""
    work = group[0].work
    by_lock: dict[Hashable, list[_Done]] = defaultdict(list)
    for done in group:
        by_lock[work.lock_of(done.task) if isinstance(work, Locking) else id(done)].append(done)
    if len(by_lock) > 1:
        return list(by_lock.values())
    if isinstance(error, SellerBusy) or len(group) == 1:
        return []
    return [[done] for done in group]
