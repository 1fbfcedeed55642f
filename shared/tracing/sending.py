"""Sends traces by OTLP over HTTP. The only module that imports OpenTelemetry: it takes 0.05 s of CPU and 7 MiB.

Spans go into a queue, which a thread sends off every few seconds. What a collector that is gone, slow or full does not
take in time is dropped, and nobody waits for it. The environment's ``OTEL_…`` variables are read by the packages.
"""

import logging
import threading
import time

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.tracing import Kind, Place, Step, Trace, Value, sale_of

FINISH_SECONDS = 5.0
"""What a process that ends waits for its last spans to arrive."""

LONGEST_TRACEPARENT = 128
"""Characters. It has 55; those of a later version may have more."""

FORCED_A_SECOND, FORCED_AT_ONCE = 5.0, 20
"""Requests of which a process sends the trace since a ``traceparent`` has it so, where only a share is sampled: what
the collector gets is not for clients to say."""

QUIET_SECONDS = 60.0
"""How often the log says the same of a collector that takes nothing."""

_KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}


class Sender:
    """Makes spans of steps, and sends them."""

    def __init__(self, *, version: str) -> None:
        """
        Raises:
            ValueError, OSError: a variable of OpenTelemetry's is not what it should be.
        """
        for name in ("opentelemetry.sdk._shared_internal", "opentelemetry.exporter.otlp.proto.http.trace_exporter"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.WARNING)
            logger.addFilter(_NowAndThen())
        named = Resource({"service.name": "recharge", "service.version": version})
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create().merge(named).merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("recharge", version)
        # A ratio goes by the lower half of the id: what takes the highest takes all.
        self._forced = None if self.is_sampled(2**64 - 1) else _Allowance(FORCED_A_SECOND, FORCED_AT_ONCE)

    def place_in(self, traceparent: str) -> Place | None:
        """What a header names; None where that is nothing, or would have more sent than clients may say: then the
        request begins a trace of its own, as W3C Trace Context has it for whom one does not trust. The header
        ``tracestate`` is not passed on: it may say anything."""
        if not traceparent or len(traceparent) > LONGEST_TRACEPARENT:
            return None
        context = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        named = get_current_span(context).get_span_context()
        if not named.is_valid:
            return None
        # Asked in any case: a client can also choose an id that is a ratio's.
        if self._forced and self._samples(context, named.trace_id) and not self._forced.take():
            return None
        return Place(named.trace_id, named.span_id, named.trace_flags.sampled)

    def is_sampled(self, trace_id: int) -> bool:
        """Whether a trace of this id that begins here is sent: the same in every process, so that a worker sends what
        belongs to a sale that was sent."""
        return self._samples(Context(), trace_id)

    def _samples(self, above: Context, trace_id: int) -> bool:
        return self._provider.sampler.should_sample(above, trace_id, "").decision is Decision.RECORD_AND_SAMPLE

    def wants(self, trace: Trace) -> bool:
        """Whether anything of a trace, whose steps have ended, is to be sent. What was sold has traces of its own."""
        assert trace.id is not None
        above = _under(_context(trace.above)) if trace.above else Context()
        return self._samples(above, trace.id) or any(step.sold for step in trace.steps)

    def send(self, trace: Trace) -> None:
        """Makes spans of a trace's steps, which have ended."""
        assert trace.id is not None
        outside = trace.above and _context(trace.above)
        made: dict[int, SpanContext] = {}
        for step in trace.steps:
            above = made[step.above.id] if step.above else outside
            sales = {recharge_id: sale_of(recharge_id) for recharge_id in step.sold + step.replayed}
            links = [_context(Place(*sale, self.is_sampled(sale[0]))) for sale in sales.values()]
            made[step.id] = self._make(step, trace.id, step.id, above, links, step.attributes)
            for recharge_id in step.sold:
                attributes = step.attributes | {"recharge.id": recharge_id}
                self._make(step, *sales[recharge_id], None, [made[step.id]], attributes)

    def _make(
        self,
        step: Step,
        trace_id: int,
        span_id: int,
        above: SpanContext | None,
        links: list[SpanContext],
        attributes: dict[str, Value],
    ) -> SpanContext:
        self._ids.planned = (trace_id, span_id)
        span = self._tracer.start_span(
            step.name,
            context=_under(above),
            kind=_KINDS[step.kind],
            attributes=attributes,
            links=[Link(linked) for linked in links],
            start_time=step.began,
        )
        if step.is_failure:
            span.set_status(StatusCode.ERROR)
        span.end(step.ended)
        return span.get_span_context()

    def finish(self) -> None:
        """Sends what is left; what has not arrived after :data:`FINISH_SECONDS` is lost."""
        # The provider itself would wait for half a minute.
        finishing = threading.Thread(target=self._provider.shutdown, daemon=True)
        finishing.start()
        finishing.join(FINISH_SECONDS)


def _context(place: Place) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if place.is_sampled else TraceFlags.DEFAULT)
    return SpanContext(place.trace, place.span, is_remote=True, trace_flags=flags)


def _under(above: SpanContext | None) -> Context:
    return set_span_in_context(NonRecordingSpan(above), Context()) if above else Context()


class _Ids(RandomIdGenerator, threading.local):
    """Gives the ids that were chosen for the span that is made next."""

    planned = (0, 0)

    def generate_trace_id(self) -> int:
        return self.planned[0]

    def generate_span_id(self) -> int:
        return self.planned[1]


class _Allowance:
    """So many at once, and so many a second in the long run."""

    def __init__(self, a_second: float, at_once: int) -> None:
        self._a_second, self._at_once = a_second, at_once
        self._left, self._counted = float(at_once), time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Takes one, if one is left."""
        with self._lock:
            now = time.monotonic()
            self._left = min(self._at_once, self._left + (now - self._counted) * self._a_second)
            self._counted = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class _NowAndThen(logging.Filter):
    """Lets what was said before pass only after a while: what can't be sent is tried again and again."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now < self._said.get(record.msg, float("-inf")) + QUIET_SECONDS:
            return False
        self._said[record.msg] = now
        return True
