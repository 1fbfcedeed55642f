"""Traces for OpenTelemetry: a request, its sale, the delivery of what was sold, and the webhooks that tell of it.

They are off unless the environment names a collector (``TRACES`` of the settings). Then nothing of OpenTelemetry is
imported, which sending.py alone does, and what is called here returns at once.

A recharge has a trace of its own that nobody has to keep: its id, and that of the sale's span in it, are a hash of the
recharge's id (:func:`sale_of`). So a worker adds to it days later, and no table, function or message knows of it. The
database makes a recharge's id, so what a request does is written down while it lasts, and becomes spans when it ends:

- A request that sells one recharge, and comes with no ``traceparent``, is in the recharge's trace: one id from there to
  the webhook.
- Any other (of a client that traces, of a bulk sale, of one that was sold before) has a trace of its own. The sale's
  span there and the one in the recharge's trace are linked, each to the other.

In a span are names of routes and functions, codes, the organization's slug and the recharge's id: no number, no token,
no address, and nothing else that a client has written.
"""

import hashlib
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import UUID

import structlog
from django.conf import settings

from shared.errors import Problem

if TYPE_CHECKING:
    from shared.tracing.sending import Sender

Kind = Literal["internal", "server", "client", "consumer"]
Value = str | int

_sender: "Sender | None" = None
"""None: traces are off."""

_NOTHING = nullcontext()


class Place(NamedTuple):
    """A span, as others refer to it."""

    trace: int
    span: int
    is_sampled: bool


@dataclass(slots=True)
class Trace:
    """What one request, or one task of a worker, adds to a trace."""

    above: Place | None
    """The span elsewhere under which all of it stands."""
    id: int | None = None
    """A request's is known at its end."""
    is_sampled: bool = False
    """A task's; a request's is decided when its spans are made."""
    steps: "list[Step]" = field(default_factory=list)
    """Each after the one that it is a part of."""


@dataclass(slots=True)
class Step:
    """Something that takes time: a span, before it is one. It is under way in a ``with`` block of it."""

    trace: Trace
    name: str
    kind: Kind
    above: "Step | None" = None
    """The step that it is a part of."""
    attributes: dict[str, Value] = field(default_factory=dict)
    is_failure: bool = False
    id: int = field(default_factory=lambda: random.getrandbits(64) or 1)
    began: int = field(default_factory=time.time_ns)
    ended: int = 0
    """Nanoseconds of Unix time."""
    sold: list[str] = field(default_factory=list)
    """The recharges that came of it."""
    replayed: list[str] = field(default_factory=list)
    """Those that it was answered with and that were sold before."""
    _clock: int = field(default_factory=time.perf_counter_ns)
    _before: "Token[Step | None] | None" = None

    def __post_init__(self) -> None:
        self.trace.steps.append(self)

    def __enter__(self) -> None:
        self._before = _here.set(self)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Problem):
            self.attributes["error.type"] = error.code
        elif isinstance(error, Exception):
            self.attributes["error.type"] = type(error).__name__
            self.is_failure = True
        self.end()
        assert self._before is not None
        _here.reset(self._before)

    def end(self) -> None:
        self.ended = self.began + time.perf_counter_ns() - self._clock


_here: ContextVar[Step | None] = ContextVar("step", default=None)
"""The innermost step that is under way."""

_log = structlog.get_logger("recharge.traces")


def start() -> None:
    """Begins to send traces, if the settings say so. A process calls it once it is what it is going to be.

    What OpenTelemetry's own variables say wrongly is logged, and nothing is sent then: nobody is refused a sale for it.
    """
    global _sender
    if not settings.TRACES or _sender is not None:
        return
    from shared.tracing.sending import Sender

    try:
        _sender = Sender(version=settings.VERSION)
    except (ValueError, OSError) as error:
        _log.error("traces_are_off", detail=str(error))


def finish() -> None:
    """Sends what is left, for a process that ends."""
    if _sender is not None:
        _sender.finish()


def sale_of(recharge_id: UUID | str) -> tuple[int, int]:
    """The ids of a recharge's trace and of the sale's span in it: the first 16 bytes, and the next 8, of the SHA-256 of
    the recharge's id, as text."""
    digest = hashlib.sha256(str(recharge_id).encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


# --- A request --------------------------------------------------------------------------------------------------------


def begin_request(headers: Mapping[str, Any], *, started: float) -> None:
    """A request came at ``started`` (of ``time.perf_counter``). ``headers`` are named as in WSGI."""
    if _sender is None:
        return
    root = Step(Trace(_sender.place_in(headers.get("HTTP_TRACEPARENT", ""))), "", "server")
    passed = time.perf_counter_ns() - int(started * 1e9)
    root.began -= passed
    root._clock -= passed
    _here.set(root)


def end_request(*, method: str, route: str, status: int, organization: str | None) -> str | None:
    """The request was answered. ``method`` and ``route`` are as metrics know them.

    Returns:
        The trace's id, for the log; None: it has none.
    """
    root = _here.get()
    if root is None or _sender is None:
        return None
    _here.set(None)
    root.end()
    trace = root.trace
    selling = [step for step in trace.steps if step.sold]
    if trace.above is None and len(selling) == 1 and len(selling[0].sold) == 1:
        (recharge_id,) = selling[0].sold
        trace.id, selling[0].id = sale_of(recharge_id)
        selling[0].sold = []  # it is in that trace already
    else:
        trace.id = trace.above.trace if trace.above else random.getrandbits(128) or 1
    if _sender.wants(trace):
        root.name = f"{method} {route}".strip()
        root.is_failure = status >= 500
        root.attributes = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        for step in trace.steps:
            if organization is not None:
                step.attributes["recharge.organization"] = organization
        _sender.send(trace)
    return f"{trace.id:032x}"


def sold(recharge_id: str, *, is_replay: bool) -> None:
    """This recharge came of the step that is under way, now or, a replay, before."""
    here = _here.get()
    if here is not None:
        (here.replayed if is_replay else here.sold).append(recharge_id)


# --- A task of a worker -----------------------------------------------------------------------------------------------


def task(
    name: str, kind: Kind, *, organization: str, recharge_id: UUID | str | None, **codes: Value
) -> AbstractContextManager[Any]:
    """A worker does something; for this recharge, if there is one, and then it is a part of its trace. What is logged
    meanwhile has the trace's id."""
    if _sender is None:
        return _NOTHING
    return _task(_sender, name, kind, organization, recharge_id, codes)


@contextmanager
def _task(
    sender: "Sender",
    name: str,
    kind: Kind,
    organization: str,
    recharge_id: UUID | str | None,
    codes: Mapping[str, Value],
) -> Iterator[None]:
    if recharge_id is None:
        trace = Trace(None, id=random.getrandbits(128) or 1)
    else:
        trace_id, sale = sale_of(recharge_id)
        trace = Trace(Place(trace_id, sale, sender.is_sampled(trace_id)), id=trace_id)
    assert trace.id is not None
    trace.is_sampled = trace.above.is_sampled if trace.above else sender.is_sampled(trace.id)
    root = Step(trace, name, kind, attributes=_attributes(codes))
    with structlog.contextvars.bound_contextvars(trace_id=f"{trace.id:032x}"), root:
        yield
    if not sender.wants(trace):
        return
    for each in trace.steps:
        each.attributes["recharge.organization"] = organization
        if recharge_id is not None:
            each.attributes["recharge.id"] = str(recharge_id)
    sender.send(trace)


def outgoing() -> dict[str, str]:
    """The headers by which whoever is called may go on with the trace (W3C Trace Context), if there is one."""
    here = _here.get()
    if here is None or here.trace.id is None:
        return {}
    return {"traceparent": f"00-{here.trace.id:032x}-{here.id:016x}-{here.trace.is_sampled:02x}"}


def line_of(recharge_id: UUID | str) -> dict[str, str]:
    """What a line of the log has of the recharge's trace."""
    return {} if _sender is None else {"trace_id": f"{sale_of(recharge_id)[0]:032x}"}


# --- Steps ------------------------------------------------------------------------------------------------------------


def is_on() -> bool:
    """Whether traces are made, for what would have to be found out for them alone."""
    return _sender is not None


def step(name: str, kind: Kind = "internal", **codes: Value) -> AbstractContextManager[Any]:
    """A part of what is under way; of nothing, where nothing is."""
    here = _here.get()
    return _NOTHING if here is None else Step(here.trace, name, kind, here, _attributes(codes))


def call(function: str, calls: int) -> AbstractContextManager[Any]:
    """A step: a function of the database is called, so often in one statement."""
    here = _here.get()
    if here is None:
        return _NOTHING
    attributes: dict[str, Value] = {"db.system.name": "postgresql", "db.stored_procedure.name": function}
    if calls > 1:
        attributes["db.operation.batch.size"] = calls
    return Step(here.trace, function, "client", here, attributes)


def note(*, is_failure: bool = False, **codes: Value) -> None:
    """Adds what is known by now to the step that is under way."""
    here = _here.get()
    if here is not None:
        here.is_failure = here.is_failure or is_failure
        here.attributes.update(_attributes(codes))


def _attributes(codes: Mapping[str, Value]) -> dict[str, Value]:
    return {f"recharge.{name}": code for name, code in codes.items()}
