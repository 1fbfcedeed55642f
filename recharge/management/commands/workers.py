import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from tenants.heartbeats import ALIVE_SECONDS, beating_workers


class Command(BaseCommand):
    help = (
        "The delivery workers that run, on all machines. Exit status 1 if there is none: then recharges stay pending. "
        f"A worker that has not been heard of for {ALIVE_SECONDS:.0f} seconds does not count."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        workers = beating_workers()
        alive = sum(worker.is_alive for worker in workers)
        if options["json"]:
            rows = [asdict(worker) | {"is_alive": worker.is_alive} for worker in workers]
            self.stdout.write(json.dumps({"alive": alive, "workers": rows}))
        else:
            for worker in workers:
                self.stdout.write(
                    f"{worker.host}, process {worker.process}: heard of {worker.silent_seconds:.0f} s ago"
                    f"{'' if worker.is_alive else ', so it is killed or hangs'}"
                )
            running = f"{alive} delivery worker{' runs' if alive == 1 else 's run'}."
            self.stdout.write(running if alive else "NO DELIVERY WORKER RUNS: recharges stay pending.")
        if not alive:
            sys.exit(1)
