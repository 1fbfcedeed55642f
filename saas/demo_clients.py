"""The demo's API clients are processes of several threads that sell over HTTP as an integrator's machines would.

Nothing of Django is imported here: a client knows the contract and nothing else.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import urllib3

from shared.processes import end_with

PATIENCE = 60
"""Seconds that a client goes on repeating a request which is answered with 503, or not at all."""


@dataclass(frozen=True, slots=True)
class Api:
    """One host of the server that listens at ``address``, and the token to send."""

    address: str
    host: str
    token: str | None = None

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> tuple[int, Any]:
        """The status and the JSON of an answer.

        What is safe to repeat is repeated until it is answered: a 503 says that nothing was done, and with the same
        Idempotency-Key it does not matter if something was.
        """
        headers = {"Host": self.host, "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if key:
            headers["Idempotency-Key"] = key
        sent = None if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = _pool.request(method, f"http://{self.address}/api/v1{path}", headers=headers, body=sent)
            except urllib3.exceptions.HTTPError:
                if (key is None and method != "GET") or time.monotonic() > deadline:
                    raise
            else:
                if answer.status != 503 or time.monotonic() > deadline:
                    return answer.status, json.loads(answer.data) if answer.data else None
            time.sleep(random.uniform(0.05, 0.2))  # noqa: S311 - so that those who were refused don't return together


@dataclass(frozen=True, slots=True)
class Job:
    """One sale to ask for. Jobs with the same key are the same sale, sent more than once."""

    host: str
    token: str
    key: str
    phone_number: str
    amount: int


_pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=30)
_progress: Any = None


def share_progress(counter: Any) -> None:
    """Gives this process the counter of answered requests that all client processes share."""
    global _progress
    _progress = counter


def begin(counter: Any, parent: int) -> None:
    """Makes this process one of the demo's clients: with the counter, and gone when the demo (``parent``) is."""
    share_progress(counter)
    end_with(parent, seconds=0)


def sell(address: str, jobs: Sequence[Job], threads: int) -> Counter[str]:
    """Sends all jobs from several threads; how often each outcome came: created, replayed, or a problem's code."""

    def send(job: Job) -> str:
        status, answer = Api(address, job.host, job.token).call(
            "POST", "/recharges", {"phone_number": job.phone_number, "amount": job.amount}, key=job.key
        )
        with _progress.get_lock():
            _progress.value += 1
        return {201: "created", 200: "replayed"}.get(status) or str(answer["code"])

    with ThreadPoolExecutor(threads) as pool:
        return Counter(pool.map(send, jobs))
