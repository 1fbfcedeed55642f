"""What ``/metrics`` says, and a Prometheus that reads it.

``python -m tests.support.prometheus`` (deploy/test.sh) says whether the programs are there, with status 1 if not.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import ROOT, free_port
from tests.support.waiting import wait_until

PROGRAMS = ("prometheus", "promtool")


class Scraped:
    """What was answered to one look at ``/metrics``."""

    def __init__(self, address: str) -> None:
        answer = urllib3.request("GET", f"http://{address}/metrics", retries=False, timeout=10)
        assert answer.status == 200
        self.text = answer.data.decode()
        self.samples = [sample for family in text_string_to_metric_families(self.text) for sample in family.samples]

    def names(self) -> set[str]:
        return {sample.name for sample in self.samples}

    def of(self, name: str, **labels: str) -> list[float]:
        """The values of all series of this name with these labels (and others)."""
        return [
            sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def sum(self, name: str, **labels: str) -> float:
        return sum(self.of(name, **labels))

    def labels(self, name: str, label: str) -> set[str]:
        return {sample.labels[label] for sample in self.samples if sample.name == name}


def can_scrape(address: str) -> bool:
    try:
        Scraped(address)
    except urllib3.exceptions.HTTPError:
        return False
    return True


@contextmanager
def prometheus(directory: Path, target: str) -> Iterator[str]:
    """Debian's Prometheus, which reads ``target`` and looks at our alerts every second; gives its address."""
    address = f"127.0.0.1:{free_port()}"
    settings = (ROOT / "deploy" / "prometheus.yml").read_text()
    settings = settings.replace("127.0.0.1:9464", target)
    settings = settings.replace("scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s")
    settings = settings.replace("/etc/prometheus/recharge-alerts.yaml", str(ROOT / "deploy" / "alerts.yaml"))
    (directory / "prometheus.yml").write_text(settings)
    command = ["prometheus", f"--config.file={directory}/prometheus.yml", f"--web.listen-address={address}"]
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"--storage.tsdb.path={directory}/data"], stdout=output, stderr=subprocess.STDOUT
        )
    try:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()[-2000:]
            try:
                return urllib3.request("GET", f"http://{address}/-/ready", retries=False, timeout=5).status == 200
            except urllib3.exceptions.HTTPError:
                return False

        wait_until(is_ready, "Prometheus is ready", seconds=60)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ask(address: str, query: str) -> list[dict[str, Any]]:
    """What a Prometheus answers to a query: the series of now."""
    answer = urllib3.request("GET", f"http://{address}/api/v1/query?query={quote(query)}", retries=False, timeout=10)
    told = json.loads(answer.data)
    assert told["status"] == "success", told
    result: list[dict[str, Any]] = told["data"]["result"]
    return result


if __name__ == "__main__":
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        sys.exit(f"Not found: {', '.join(missing)}. On Debian and Ubuntu: apt-get install prometheus")
