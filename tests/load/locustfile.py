"""Sellers of the demo, as they behave; see README.md beside this file. Sends to the loopback only."""

import itertools
import json
import os
import random
import uuid
from pathlib import Path
from typing import Any

from locust import HttpUser, between, events, task

ACCOUNTS = Path(os.environ.get("RECHARGE_DATA_DIR", "var")) / "demo-accounts.json"
PASSWORDS: dict[str, str] = json.loads(ACCOUNTS.read_text())
SELLERS = itertools.cycle(sorted(name for name in PASSWORDS if "/seller" in name))


@events.init.add_listener
def loopback_only(environment: Any, **_: Any) -> None:
    """Load is for a server of one's own."""
    host = environment.host or ""
    if not host.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]")):
        raise SystemExit(f"{host!r} is not on this machine.")


class SellerUser(HttpUser):
    """One of the demo's sellers, at a counter."""

    wait_time = between(0.05, 0.5)

    def on_start(self) -> None:
        self.account = next(SELLERS)
        self.sign_in()

    def sign_in(self) -> None:
        slug, username = self.account.split("/")
        self.client.headers["Host"] = f"{slug}.localhost"
        credentials = {"username": username, "password": PASSWORDS[self.account]}
        answer = self.client.post("/api/v1/auth/token", json=credentials)
        self.client.headers["Authorization"] = f"Bearer {answer.json()['access']}"

    def ask(self, method: str, path: str, name: str, **options: Any) -> Any:
        """A request, and what a client does when its token has expired: sign in and send it again."""
        for _ in range(2):
            with self.client.request(method, f"/api/v1{path}", name=name, catch_response=True, **options) as answer:
                if answer.status_code == 401:
                    answer.success()
                    self.sign_in()
                    continue
                if answer.status_code in (200, 201, 402):
                    answer.success()
                return answer
        return None

    @task(20)
    def sell(self) -> None:
        number = random.choice(("0912", "0935", "0921")) + f"{random.randrange(10**7):07}"
        body = {"phone_number": number, "amount": random.choice((1000, 2000, 5000, 10_000))}
        self.ask("POST", "/recharges", "sell", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})

    @task(6)
    def look_at_the_balance(self) -> None:
        self.ask("GET", "/balance", "balance")

    @task(2)
    def page_the_statement(self) -> None:
        path = "/entries?limit=50"
        for _ in range(3):
            answer = self.ask("GET", path, "statement")
            following = answer.json()["next"] if answer is not None and answer.ok else None
            if not following:
                return
            path = "/" + following.partition("/api/v1/")[2]

    @task(1)
    def ask_for_credit(self) -> None:
        body = {"amount": 100_000, "note": "for the week"}
        self.ask("POST", "/credit-requests", "ask for credit", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
