"""Delivering recharges: which gateway, what its answer means, and when to ask again. (One of the worker's kinds of
work; what may follow what is in sql/delivery.sql and sql/recharges.sql.)

A time-out is not a failure. A recharge is refunded only when its gateway says for certain that it was not delivered, or
when it was never sent at all and is too old to be sent now.
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone

from recharge.delivery.gateways import Answer, Delivery, Gateway
from recharge.delivery.gateways.kinds import gateways_of
from recharge.operators import Operator
from shared import tracing
from shared.database import array_literal, call_set_function
from shared.metrics import count_delivery
from shared.outbound.breaker import Breaker
from tenants.leases import Leases
from tenants.models import Organization

LEASE = timedelta(seconds=20)
"""How long a worker has for what it claimed, unless it says that it still has it (tenants/leases.py). What a dead one
held is taken over by another after this."""

MOST_DOUBTS = 12
"""Attempts after which a recharge that has ended is no longer asked about, though its gateway might change its mind."""

LONGEST_PAUSE = 900.0
"""Seconds between two questions about a recharge that remains unknown, on its first day."""

LONGEST_PAUSE_OF_OLD = 24 * 60 * 60.0
"""The same later on: a 24th of its age, so each hour after a day, and once a day from the 24th on. These are some 240
questions in its first month; every quarter of an hour made 3,000. It is asked for as long as it is unknown."""

MOST_HELD = 64
"""Recharges of an organization that a worker has claimed and not recorded. Those of one gateway are never more than
those that the organization's other gateways may still have."""

SETTINGS_SECONDS = 5.0
"""How old a worker's knowledge of an organization's gateways gets."""

_OPERATORS = frozenset(Operator.values)
"""Those that are counted by name; others are an organization's own."""

_log = structlog.get_logger("recharge.delivery")


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed recharge and what is to be done with it: ``submit``, ``inquire``, or ``expire``: it is too old to be
    sent, and no gateway has it."""

    id: UUID
    seller_id: int
    phone_number: str
    operator: str
    amount: int
    status: str
    gateway: str
    action: str
    number: int
    created_at: datetime
    route: int | None
    """The id of the gateway's row that it goes by, or is asked about at; None: there is none of this name."""


@dataclass(frozen=True, slots=True)
class Result:
    """A gateway's answer, how long it took (milliseconds), and when to go on (seconds; None: it is settled)."""

    answer: Answer
    latency_ms: int
    due_in: float | None


class DeliveryWork:
    """The recharges that are due (a ``Work`` of tenants/work.py)."""

    def __init__(self, lease: timedelta = LEASE) -> None:
        self.leases = Leases(lease)
        self._gateways: dict[int, tuple[float, dict[int, Gateway]]] = {}
        self._held: dict[int, Counter[str]] = defaultdict(Counter)
        """By organization and gateway, the recharges that are claimed and not recorded."""
        self._breakers: dict[tuple[int, int], Breaker] = {}

    def claim(self, organization: Organization, limit: int) -> list[Task]:
        columns = "id, seller_id, phone_number, operator, amount, status, gateway, action, number, created_at, route"
        # Half of what is left at most: it may all be one gateway's, and the rest remains for the others.
        limit = min(limit, max(1, self._left(organization) // 2))
        arguments = [limit, self.leases.length, array_literal(self._full(organization))]
        rows = call_set_function(organization.schema_name, "recharge_claim", columns, arguments)
        tasks = [Task(*row) for row in rows]
        known_at, known = self._gateways.get(organization.pk, (float("-inf"), {}))
        is_new = any(task.route is not None and task.route not in known for task in tasks)
        if tasks and (is_new or time.monotonic() > known_at + SETTINGS_SECONDS):
            self._gateways[organization.pk] = (time.monotonic(), gateways_of(organization))
        self._held[organization.pk].update(task.gateway for task in tasks)
        for task in tasks:
            self.leases.begin(organization.pk, task.id, task.number)
        return tasks

    def lock_of(self, task: Task) -> int:
        return task.seller_id

    def most_at_once(self, threads: int) -> int:
        return threads

    def lane_of(self, task: Task) -> str:
        return task.gateway

    def most_of(self, lane: Hashable, at_once: int) -> int:
        return at_once // 4

    def _left(self, organization: Organization) -> int:
        return MOST_HELD - sum(self._held[organization.pk].values())

    def _full(self, organization: Organization) -> list[str]:
        """The gateways of which nothing more is claimed: they have as many as are left for the others."""
        left = self._left(organization)
        return [name for name, held in self._held[organization.pk].items() if held >= max(1, left)]

    def carry_out(self, organization: Organization, task: Task) -> Result:
        with tracing.task(
            f"{task.action}_recharge",
            "consumer",
            organization=organization.slug,
            recharge_id=task.id,
            operator=_known(task.operator),
            attempt=task.number,
        ):
            if task.action == "expire":
                # What was tried before is asked about once more: an answer to that may still be on its way.
                return Result(Answer(Delivery.UNSENT), 0, None if task.route is None else LONGEST_PAUSE)
            started = time.perf_counter()
            answer = self._ask(organization, task)
            latency = time.perf_counter() - started
            tracing.note(outcome=_outcome(answer))
            return Result(answer, round(latency * 1000), _due_in(task, answer))

    def _ask(self, organization: Organization, task: Task) -> Answer:
        nothing_done = Delivery.UNSENT if task.action == "submit" else Delivery.UNKNOWN
        gateway = None if task.route is None else self._gateways[organization.pk][1].get(task.route)
        if task.route is None or gateway is None:
            _log.error("gateway_not_configured", organization=organization.slug, gateway=task.gateway)
            return Answer(nothing_done, raw="this gateway is not in the organization's settings")
        breaker = self._breakers.setdefault((organization.pk, task.route), Breaker())
        if not self.leases.is_good(organization.pk, task.id):
            # It could not be extended for so long that, when this is answered, another worker may have taken it.
            return Answer(nothing_done, raw="not asked in time", ask_again_after=0.0)
        if not breaker.lets_through():
            # No fault of this recharge: it waits until the gateway is asked again, and not for longer if it is new.
            wait = breaker.seconds_left() + random.uniform(0.1, 1.0)  # noqa: S311
            if task.action == "inquire":
                wait = max(wait, _backoff(task, LONGEST_PAUSE))
            return Answer(nothing_done, raw="not asked: the gateway has not answered lately", ask_again_after=wait)
        started = time.perf_counter()
        with tracing.step("gateway", "client", gateway=gateway.kind, action=task.action):
            try:
                call = gateway.submit if task.action == "submit" else gateway.inquire
                answer = call(task.id, task.phone_number, task.operator, task.amount)
            except Exception as error:  # noqa: BLE001 - whatever it is, it may have been sent
                _log.exception("gateway_error", organization=organization.slug, gateway=task.gateway)
                raw = f"{type(error).__name__} in the gateway's own code"
                answer = Answer(Delivery.UNKNOWN, raw=raw, is_answer=False)
            tracing.note(outcome=_outcome(answer), is_failure=not answer.is_answer)
        count_delivery(
            gateway=gateway.kind,
            operator=_known(task.operator),
            action=task.action,
            outcome=_outcome(answer),
            seconds=time.perf_counter() - started,
        )
        breaker.note(answered=answer.is_answer)
        return answer

    def record(self, organization: Organization, done: Sequence[tuple[Task, Result]]) -> None:
        columns: list[list[object]] = [[], [], [], [], [], [], [], []]
        for task, result in done:
            answer = result.answer
            row = (
                task.id,
                task.number,
                "expired" if task.action == "expire" else str(answer.delivery),
                _reason(task, answer),
                _text(answer.operator_reference, 100),
                _text(answer.raw, 1000),
                result.latency_ms,
                None if result.due_in is None else timedelta(seconds=result.due_in),
            )
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        settled = call_set_function(
            organization.schema_name, "recharge_record_many", "recharge_id, outcome", [organization.pk, *columns]
        )
        for task, _ in done:
            self.leases.end(organization.pk, task.id)
        held = self._held[organization.pk]
        held.subtract(task.gateway for task, _ in done)
        self._held[organization.pk] = +held  # without those that have nothing left
        for recharge_id, outcome in settled:
            if outcome in ("charged_late", "owed", "reversed", "over_limit", "already_settled", "doubted"):
                _log.warning(
                    "recharge_needs_a_look",
                    organization=organization.slug,
                    recharge=str(recharge_id),
                    outcome=outcome,
                    **tracing.line_of(recharge_id),
                )

    def renew(self, organization: Organization) -> None:
        held = self.leases.to_be_renewed(organization.pk)
        arguments = [array_literal([str(row) for row in held]), list(held.values()), self.leases.length]
        columns = "recharge_id, number"
        renewed = call_set_function(organization.schema_name, "recharge_renew", columns, arguments)
        self.leases.renewed(organization.pk, dict(renewed))

    def seconds_until_due(self, organization: Organization) -> float | None:
        with connection.cursor() as cursor:
            # What waits for a gateway that has all it may have is looked for when something of it is recorded.
            cursor.execute(
                "SELECT extract(epoch FROM recharge_next_due(%s::text[]) - clock_timestamp())::float",
                [array_literal(self._full(organization))],
            )
            seconds: float | None = cursor.fetchone()[0]
            return seconds


def _known(operator: str) -> str:
    return operator if operator in _OPERATORS else "other"


def _outcome(answer: Answer) -> str:
    return str(answer.delivery) if answer.is_answer else "no_answer"


def _due_in(task: Task, answer: Answer) -> float | None:
    """Seconds until something is to be done again; None: never."""
    if answer.delivery in (Delivery.SUCCEEDED, Delivery.FAILED):
        # Once more, if it was now that it ended and the gateway may change its mind.
        return answer.ask_again_after if task.status in ("pending", "unknown") else None
    if task.status not in ("pending", "unknown") and (answer.delivery == Delivery.MISSING or task.number > MOST_DOUBTS):
        return None
    pause = answer.ask_again_after
    if pause is None:
        longest = {Delivery.ACCEPTED: 60.0, Delivery.UNSENT: 120.0, Delivery.MISSING: 120.0}
        pause = _backoff(task, longest.get(answer.delivery, LONGEST_PAUSE))
    if answer.delivery in (Delivery.UNSENT, Delivery.MISSING):
        return pause  # when it is too old to be sent, it ends with the next look
    return max(pause, _pause_of_old(task))


def _pause_of_old(task: Task) -> float:
    """The fewest seconds until a recharge of more than a day is asked about again, whatever its gateway answers; 0: it
    is younger."""
    age = (timezone.now() - task.created_at).total_seconds()
    if age < LONGEST_PAUSE_OF_OLD:
        return 0.0
    return min(LONGEST_PAUSE_OF_OLD, age / 24) * random.uniform(0.75, 1.0)  # noqa: S311


def _backoff(task: Task, longest: float) -> float:
    """Seconds: exponential, with jitter, so that what failed together is not tried again together."""
    return min(longest, 1.6 ** min(task.number, 20)) * random.uniform(0.5, 1.0)  # noqa: S311


def _reason(task: Task, answer: Answer) -> str:
    if task.action == "expire":
        return "not_sent"
    return _text(answer.reason or "no_reason_given", 200) if answer.delivery == Delivery.FAILED else ""


def _text(value: str, longest: int) -> str:
    """What a column takes of an answer from outside: no NUL, no half of a surrogate pair, not too long."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode()[:longest]
