"""What the product counts and measures of itself, for ``GET /metrics`` (saas/metrics_process.py serves it).

Counting touches no database and takes a sale some microseconds. The values of a server's processes lie in files of one
directory, which the process that answers ``/metrics`` adds up (prometheus-client's multiprocess mode); a worker that
runs alone keeps its own. Labels have few values each, none that a client or an organization could make up: what names
an organization is among the figures of recharge/delivery/figures.py, which show the worst ones alone. Nothing here is
secret: no number, no name of a person, no sum of money.
"""

import errno
import os
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, values
from prometheus_client.metrics import MetricWrapperBase

SAMPLE_SECONDS = 5.0
"""Between two looks of a process at itself."""

REGISTRY = CollectorRegistry()
"""What this process alone has counted."""

disable_created_metrics()  # a second series of each, which says when it began

# --- What is counted --------------------------------------------------------------------------------------------------
# Each has labels: only so can a process begin to share what it counts (share_in) after these were made.

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. A sale takes some 5 milliseconds, a report a second, and after 10 a request that waits is turned away."""

_REQUESTS = Counter(
    "recharge_http_requests",
    "Requests that were answered. An empty route: there is nothing at the address, or it was turned away (503).",
    ("method", "route", "status"),
    registry=REGISTRY,
)
_REQUEST_SECONDS = Histogram(
    "recharge_http_request_seconds",
    "How long requests took, without the time that they waited for a thread.",
    ("method", "route"),
    registry=REGISTRY,
    buckets=_BUCKETS,
)
_WAIT_SECONDS = Histogram(
    "recharge_http_wait_seconds",
    "How long requests waited for a thread, by how long their kind takes; of those that got none at once.",
    ("kind", "served"),
    registry=REGISTRY,
    buckets=_BUCKETS,
)
_SALES = Counter("recharge_sales", "Sales: created, or replayed by their key.", ("outcome",), registry=REGISTRY)
_REFUSALS = Counter("recharge_sale_refusals", "Sales that were refused.", ("code",), registry=REGISTRY)
_DELIVERIES = Counter(
    "recharge_deliveries",
    "Calls of operators' gateways, by the gateway's kind and what it answered.",
    ("gateway", "operator", "action", "outcome"),
    registry=REGISTRY,
)
_GATEWAY_SECONDS = Histogram(
    "recharge_gateway_seconds",
    "How long gateways took to answer, or not to.",
    ("gateway", "operator"),
    registry=REGISTRY,
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0),
)
_WEBHOOKS = Counter("recharge_webhooks", "Attempts to hand over a webhook's message.", ("outcome",), registry=REGISTRY)
_WEBHOOK_SECONDS = Histogram(
    "recharge_webhook_seconds",
    "How long webhooks' receivers took to answer, or not to.",
    ("outcome",),
    registry=REGISTRY,
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0),
)
_DATABASE_ERRORS = Counter(
    "recharge_database_errors",
    "Times that the database could not be reached, could not write, or had no room; by SQLSTATE, where it had one.",
    ("sqlstate",),
    registry=REGISTRY,
)
_CPU_SECONDS = Counter("recharge_cpu_seconds", "CPU time.", ("process",), registry=REGISTRY)


def _gauge(name: str, help_: str) -> Gauge:
    """A gauge with a value for each process that lives (by a label ``pid``), and for none that has ended."""
    return Gauge(name, help_, ("process",), registry=REGISTRY, multiprocess_mode="liveall")


_MEMORY = _gauge("recharge_memory_bytes", "Memory of a process that is not swapped out.")
_THREADS = _gauge("recharge_threads", "Threads of a process that work: for requests, or at calls of others' servers.")
_THREADS_BUSY = _gauge("recharge_threads_busy", "Those of them that are at work.")
_WAITING = _gauge("recharge_waiting", "What waits for such a thread.")

_ALL: tuple[MetricWrapperBase, ...] = (
    *(_REQUESTS, _REQUEST_SECONDS, _WAIT_SECONDS, _SALES, _REFUSALS, _DELIVERIES, _GATEWAY_SECONDS),
    *(_WEBHOOKS, _WEBHOOK_SECONDS, _DATABASE_ERRORS, _CPU_SECONDS, _MEMORY, _THREADS, _THREADS_BUSY, _WAITING),
)

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def known_method(method: str) -> str:
    """A method that clients have not made up, or ``other``."""
    return method if method in _METHODS else "other"


def count_request(*, method: str, route: str, status: int, seconds: float) -> None:
    """A request was answered. ``method`` is a known one, ``route`` a pattern of the URL maps, and never an address."""
    requests, took = _of_request(method, route, status)
    requests.inc()
    took.observe(seconds)


@lru_cache(maxsize=4096)
def _of_request(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    # To look a metric up by its labels takes longer than to count it.
    return _REQUESTS.labels(method, route, status), _REQUEST_SECONDS.labels(method, route)


def count_wait(*, kind: str, seconds: float, served: bool) -> None:
    """A request (``quick``, ``usual`` or ``heavy``) had to wait for a thread, and got one or not."""
    _WAIT_SECONDS.labels(kind, "yes" if served else "no").observe(seconds)


def count_sale(outcome: str, number: int = 1) -> None:
    """Recharges were sold: ``created`` or ``replayed``."""
    _of_sale(outcome).inc(number)


@lru_cache(maxsize=8)
def _of_sale(outcome: str) -> Counter:
    return _SALES.labels(outcome)


def count_refusal(code: str) -> None:
    """A sale was refused, by the code of its problem."""
    _REFUSALS.labels(code).inc()


def count_delivery(*, gateway: str, operator: str, action: str, outcome: str, seconds: float) -> None:
    """A gateway of this kind was asked to ``submit`` or ``inquire``; the outcome of no answer is ``no_answer``."""
    _DELIVERIES.labels(gateway, operator, action, outcome).inc()
    _GATEWAY_SECONDS.labels(gateway, operator).observe(seconds)


def count_webhook(*, outcome: str, seconds: float) -> None:
    """A message was sent, with this outcome; ``postponed`` is one that was not, since nothing arrives there."""
    _WEBHOOKS.labels(outcome).inc()
    _WEBHOOK_SECONDS.labels(outcome).observe(seconds)


def count_database_error(sqlstate: str | None) -> None:
    """The database did not work."""
    _DATABASE_ERRORS.labels(sqlstate or "none").inc()


# --- Where it is kept -------------------------------------------------------------------------------------------------

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The environment's name for the directory that the processes of a server share; prometheus-client reads it, too."""

FIGURES = "figures.prom"
"""The file of that directory in which a worker writes what it reads of the database (recharge/delivery/figures.py)."""


def share_in(directory: Path) -> None:
    """From now on what this process and its children count is in files of this directory.

    For a process without threads that has counted nothing yet, or nothing of interest: it is forgotten.
    """
    for metric in _ALL:
        metric.clear()
    _of_request.cache_clear()
    _of_sale.cache_clear()
    os.environ[DIRECTORY] = str(directory)
    values.ValueClass = values.MultiProcessValue()


def shared_directory() -> Path | None:
    """Where what this process counts is added to that of others; None: it keeps its own."""
    return Path(os.environ[DIRECTORY]) if DIRECTORY in os.environ else None


def keep_shared_directory() -> None:
    """Makes the directory that processes share anew if somebody has taken it away (who tidies up temporary files, or
    systemd-logind). For a process that begins: it would find no place to count, and give no answer for it.

    Raises:
        PermissionError: by now it is another user's.
    """
    if (directory := shared_directory()) is None:
        return
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.lstat().st_uid != os.geteuid():
        raise PermissionError(errno.EACCES, "It is another user's", str(directory))


# --- A process's look at itself ---------------------------------------------------------------------------------------


class Load(NamedTuple):
    """How busy a process is."""

    threads: int
    busy: int
    waiting: int


def watch_process(process: str, load: Callable[[], Load]) -> None:
    """Measures this process every few seconds from now on, in a thread of its own: ``web`` or ``worker``."""
    threading.Thread(target=_watch, args=(process, load), name="metrics", daemon=True).start()


def _watch(process: str, load: Callable[[], Load]) -> None:
    cpu = 0.0
    pause = threading.Event()
    page = os.sysconf("SC_PAGE_SIZE")
    while True:
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        _MEMORY.labels(process).set(resident * page)
        threads, busy, waiting = load()
        _THREADS.labels(process).set(threads)
        _THREADS_BUSY.labels(process).set(busy)
        _WAITING.labels(process).set(waiting)
        now = time.process_time()
        _CPU_SECONDS.labels(process).inc(now - cpu)
        cpu = now
        pause.wait(SAMPLE_SECONDS)
