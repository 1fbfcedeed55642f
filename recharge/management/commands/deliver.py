import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from credit.webhook_delivery import WebhookWork
from recharge.delivery import DeliveryWork
from recharge.worker import THREADS, Worker


class Command(BaseCommand):
    help = (
        "A delivery worker: submits recharges to the operators' gateways, asks what became of them, calls webhooks. "
        "Any number may run. SIGINT or SIGTERM stops it after what it has begun."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what is due now, and end")
        parser.add_argument("--threads", type=int, default=THREADS, help=f"calls at once; default: {THREADS}")

    def handle(self, *args: Any, **options: Any) -> None:
        worker = Worker([DeliveryWork(), WebhookWork()], threads=options["threads"])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: worker.stop())
        if options["once"]:
            worker.run_once()
        else:
            worker.run()
