"""Downloads and reports are read from a standby where there is one; from the primary when it is too old, or away."""

from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg2
import urllib3

from saas import embedded
from saas.demo_clients import Api
from tests.support.client import Client
from tests.support.pair import crash, pair, run_sql
from tests.support.pooler import behind, pooling
from tests.support.selling import HOST, sign_up_sellers
from tests.support.server import Server, free_port, serving
from tests.support.visitor import Visitor
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD

MAX_AGE = 30
"""Seconds."""


def test_a_standby_is_read_while_it_is_there_and_young_enough(tmp_path: Path) -> None:
    with pair() as servers:
        environment = servers.environment | {
            "REPLICA_DATABASE_URL": servers.standby.url(embedded.WORKING_ROLE, embedded.DATABASE),
            "REPLICA_MAX_AGE": str(MAX_AGE),
        }
        with serving(tmp_path / "log", environment=environment, workers=1) as server:
            (seller,) = sign_up_sellers(server, 1, credit=100_000)
            run_sql(servers.primary, "UPDATE shared_user SET must_change_password = false")
            admin = Visitor(Client(server.address, HOST))
            assert admin.submit("/sign-in", {"username": "admin", "password": PASSWORD}).status == 302

            downloaded = partial(_downloaded, server, seller)

            def reported() -> bool:
                """Whether the page says of when its figures are."""
                page = admin.get("/reports")
                assert page.status == 200
                return b"Figures as of" in page.body

            _sell(seller, "one")
            wait_until(lambda: downloaded() == (1, True), "the standby has it")
            run_sql(servers.standby, "SELECT pg_wal_replay_pause()")
            _sell(seller, "two")
            assert (downloaded(), reported()) == ((1, True), True)
            # What somebody has just done he finds, and his balance is that of now.
            assert len(seller.call("GET", "/recharges")[1]["results"]) == 2
            assert seller.call("GET", "/balance")[1]["balance"] == 90_000

            wait_until(lambda: downloaded() == (2, False), "it is too old", seconds=2 * MAX_AGE)
            assert not reported()
            run_sql(servers.standby, "SELECT pg_wal_replay_resume()")
            _sell(seller, "three")
            wait_until(lambda: downloaded() == (3, True), "it is young again")

            # Commits wait for it no longer, or none could be made without it.
            run_sql(servers.primary, "ALTER SYSTEM SET synchronous_standby_names = ''")
            run_sql(servers.primary, "SELECT pg_reload_conf()")
            crash(servers.standby)
            _sell(seller, "four")
            assert (downloaded(), reported()) == ((4, False), False)
            assert "standby_not_read" in server.log.read_text()
            servers.standby.ensure_running()
            _sell(seller, "five")
            wait_until(lambda: downloaded() == (5, True), "it is there again", seconds=60)
        servers.manage("reconcile")


def _sell(seller: Api, key: str) -> None:
    status, answer = seller.call("POST", "/recharges", {"phone_number": "09121234567", "amount": 5000}, key=key)
    assert status == 201, answer


def test_behind_a_pooler_of_its_own_nothing_stays_in_the_session_for_whoever_is_next(tmp_path: Path) -> None:
    with pair() as servers:
        address, port = servers.standby.url(embedded.WORKING_ROLE, embedded.DATABASE), free_port()
        environment = servers.environment | {
            "DATABASE_POOLER": "transaction",
            "DIRECT_DATABASE_URL": servers.environment["DATABASE_URL"],
            "REPLICA_DATABASE_URL": behind(address, port),
        }
        with (
            pooling(address, port=port, roles=(embedded.WORKING_ROLE,), size=1),
            serving(tmp_path / "log", environment=environment, workers=1) as server,
        ):
            (seller,) = sign_up_sellers(server, 1, credit=100_000)
            _sell(seller, "one")
            wait_until(lambda: _downloaded(server, seller) == (1, True), "the standby has it")
            with closing(psycopg2.connect(behind(address, port))) as another, another.cursor() as cursor:
                another.autocommit = True
                cursor.execute("SET search_path = org_globex, public")
                assert _downloaded(server, seller) == (1, True)
                cursor.execute("SELECT current_setting('search_path')")
                assert cursor.fetchone() == ("org_globex, public",)


def _downloaded(server: Server, seller: Api) -> tuple[int, bool]:
    """The sales of the seller's file, and whether it says of when they are."""
    answer = urllib3.request(
        "GET",
        f"http://{server.address}/api/v1/recharges.csv",
        headers={"Host": HOST, "Authorization": f"Bearer {seller.token}"},
        retries=False,
    )
    assert answer.status == 200
    return answer.data.count(b"\r\n") - 1, "X-Data-As-Of" in answer.headers
