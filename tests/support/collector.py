"""A collector of traces: a real HTTP server that takes what OpenTelemetry's exporter sends."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.waiting import wait_until

KINDS = ("", "internal", "server", "client", "producer", "consumer")


@dataclass(frozen=True)
class Span:
    """A span as it came; ids are hexadecimal digits."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    """Empty: none."""
    attributes: dict[str, str | int]
    links: list[tuple[str, str]]
    """The traces and ids of other spans."""
    is_failure: bool
    began: int
    ended: int
    service: str


@dataclass
class Collector:
    """What has come so far."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a process has in its environment that sends its traces here."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}

    @property
    def spans(self) -> list[Span]:
        return [span for body in self.bodies for span in _spans_of(body)]

    def of(self, trace: str) -> dict[str, Span]:
        """The spans of a trace, by their names, of which each is there once."""
        spans = [span for span in self.spans if span.trace == trace]
        by_name = {span.name: span for span in spans}
        assert len(by_name) == len(spans), spans
        return by_name

    def wait_for(self, trace: str, *names: str) -> dict[str, Span]:
        """The spans of a trace, when those of these names have come."""
        wait_until(
            lambda: {*names} <= {span.name for span in self.spans if span.trace == trace},
            f"{names} of {trace}",
            seconds=60,
        )
        return self.of(trace)


def _spans_of(body: bytes) -> Iterator[Span]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        (service,) = (said.value.string_value for said in of_resource.resource.attributes if said.key == "service.name")
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Span(
                    span.name,
                    KINDS[span.kind],
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    {said.key: getattr(said.value, said.value.WhichOneof("value")) for said in span.attributes},
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    span.status.code == 2,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    service,
                )


@contextmanager
def collecting() -> Iterator[Collector]:
    """Runs a collector until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            collector.bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
