import os
import signal
import threading
from argparse import ArgumentParser
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from prometheus_client import generate_latest

from credit.alerts.sending import AlertWork
from credit.chain.work import RootWork
from credit.webhooks.sending import WebhookWork
from recharge.delivery.figures import Figures
from recharge.delivery.watch import WatchWork
from recharge.delivery.work import LEASE, DeliveryWork
from recharge.margins.work import MarginWork
from recharge.reports.work import DaySumWork
from recharge.retention.work import RetentionWork
from shared import tracing
from shared.journal import say
from shared.metrics import REGISTRY, keep_shared_directory, shared_directory, watch_process
from shared.metrics_server import serve_when_free
from shared.processes import end_with
from tenants.shares import THREADS
from tenants.worker import Worker, limit_statements

ORPHAN_SECONDS = 40.0
"""What it has to finish what it has begun when its parent is gone; more than its longest call."""

MOST_THREADS = 1000

_log = structlog.get_logger("recharge.worker")


class Command(BaseCommand):
    help = (
        "A delivery worker: submits recharges to the operators' gateways, asks what became of them, calls webhooks, "
        "posts dealers' margins, sends alerts, makes the ledgers' daily roots, sums up days for reports, lets go of "
        "what is old. Any number may run. SIGINT or SIGTERM stops it after what it has begun."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what is due now, and end")
        parser.add_argument("--threads", type=int, default=THREADS, help=f"calls at once; default: {THREADS}")
        parser.add_argument(
            "--lease",
            type=float,
            default=LEASE.total_seconds(),
            help="seconds that it has for a recharge that it claimed, before another worker asks what became of it; "
            f"default: {LEASE.total_seconds():.0f}",
        )
        parser.add_argument("--beside", type=int, help="stop when this process, the parent, is gone")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["threads"] <= MOST_THREADS:
            raise CommandError(f"--threads must be 1 to {MOST_THREADS}.")
        if not 1 <= options["lease"] <= 3600:
            raise CommandError("--lease must be 1 to 3600 seconds.")
        parent = options["beside"]
        if parent and os.getppid() != parent:
            return  # nobody would take away what it would make in the place of what went with its server
        keep_shared_directory()
        is_measured = settings.METRICS_LISTEN and not options["once"]
        answers = threading.Event()
        if shared_directory():
            answers.set()  # a process of the server does
        figures = Figures(shared_directory(), answers.is_set) if is_measured else None
        worker = Worker(
            # The watch first: what it writes is sent by the works after it.
            [
                DeliveryWork(timedelta(seconds=options["lease"])),
                WebhookWork(),
                MarginWork(),
                RootWork(),
                WatchWork(),
                AlertWork(),
                RetentionWork(),
                DaySumWork(),
                *([figures] if figures else []),
            ],
            threads=options["threads"],
            watcher=figures,
        )
        signal.signal(signal.SIGTERM, lambda *_: worker.stop())
        # Ctrl-C reaches a parent in the same terminal too, which then stops this in its own time.
        signal.signal(signal.SIGINT, signal.SIG_IGN if parent else lambda *_: worker.stop())
        if parent:
            end_with(parent, seconds=ORPHAN_SECONDS)
        if figures:
            _measure(worker, figures, answers)
        limit_statements()
        tracing.start()
        if options["once"]:
            worker.run_once()
        else:
            if not parent:
                say(f"Delivering, with {options['threads']} calls at once. Ctrl-C stops.", descriptor=1)
            worker.run()
        tracing.finish()


def _measure(worker: Worker, figures: Figures, answers: threading.Event) -> None:
    """Measures this process from now on. A server has a process of its own that answers ``/metrics`` for all
    (``answers`` is set then); without a server this one answers, as soon as the address is free."""
    watch_process("worker", worker.load)
    if answers.is_set():
        return
    REGISTRY.register(figures)

    def say(detail: str) -> None:
        _log.error("metrics_address_in_use", detail=detail)

    answering = (settings.METRICS_LISTEN, partial(generate_latest, REGISTRY), say, answers)
    threading.Thread(target=serve_when_free, args=answering, name="metrics-server", daemon=True).start()
