import os
import signal
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from credit.webhook_delivery import WebhookWork
from recharge.delivery import LEASE, DeliveryWork
from recharge.worker import THREADS, Worker


class Command(BaseCommand):
    help = (
        "A delivery worker: submits recharges to the operators' gateways, asks what became of them, calls webhooks. "
        "Any number may run. SIGINT or SIGTERM stops it after what it has begun."
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
        if options["threads"] < 1:
            raise CommandError("--threads must be at least 1.")
        if not 1 <= options["lease"] <= 3600:
            raise CommandError("--lease must be 1 to 3600 seconds.")
        parent = options["beside"]
        worker = Worker(
            [DeliveryWork(timedelta(seconds=options["lease"])), WebhookWork()],
            threads=options["threads"],
            is_wanted=lambda: parent is None or os.getppid() == parent,
        )
        signal.signal(signal.SIGTERM, lambda *_: worker.stop())
        # Ctrl-C reaches a parent in the same terminal too, which then stops this in its own time.
        signal.signal(signal.SIGINT, signal.SIG_IGN if parent else lambda *_: worker.stop())
        if options["once"]:
            worker.run_once()
        else:
            worker.run()
