"""On a cluster of databases: an organization moves while it sells, a node is killed, the coordinator is away.

Neither CI nor ``deploy/test.sh`` runs these: they need a PostgreSQL with Citus (see tests/support/cluster.py).
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import urllib3
from psycopg2.errors import QueryCanceled

from saas import embedded
from tests.support.cluster import Cluster, clustered, name_of
from tests.support.cluster import Server as PostgreSQL
from tests.support.selling import HOST, Selling
from tests.support.server import Server, serving
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD

pytestmark = pytest.mark.cluster

AWAY_SECONDS = 60.0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with clustered() as made:
        yield made


@pytest.fixture
def server(cluster: Cluster, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "log", environment=cluster.environment, threads=8, delivery=True) as server:
        yield server


def books_are_right(cluster: Cluster, name: str, *sellings: Selling) -> None:
    """Nothing that was answered is lost, nothing is doubled, and all books are proved."""
    for selling in sellings:
        selling.check(f"{name} ({selling.slug})", cluster.coordinator.url("postgres", embedded.DATABASE))
    cluster.manage("reconcile")


def slowest(seconds: list[float]) -> float:
    """The 99th percentile."""
    return sorted(seconds)[len(seconds) * 99 // 100]


@contextmanager
def session(server: PostgreSQL, *, patience: str = "0") -> Iterator[Any]:
    """A cursor of the application's role, in a transaction; no statement takes longer than ``patience``."""
    with closing(psycopg2.connect(server.url(embedded.ROLE, embedded.DATABASE))) as one, one.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [patience])
        yield cursor


def test_a_sellers_lock_is_one_wherever_it_is_taken(cluster: Cluster) -> None:
    """And who has it keeps the organization where it is."""
    servers = [cluster.coordinator, *cluster.nodes]
    lock, move = "SELECT org_acme.seller_lock(1, 1)", "SELECT citus_schema_move('org_acme', %s, 5432, 'block_writes')"
    for first in servers:
        with session(first) as holding:
            holding.execute(lock)
            for other in servers:
                with session(other, patience="1s") as waiting, pytest.raises(QueryCanceled):
                    waiting.execute(lock)
            with session(cluster.coordinator, patience="5s") as moving, pytest.raises(QueryCanceled):
                moving.execute(move, [str(cluster.nodes[1].socket)])


def test_new_organizations_go_where_there_is_room(cluster: Cluster) -> None:
    def node_of_next(slug: str) -> str:
        password = ("--admin-password", PASSWORD)
        cluster.manage("create_organization", slug, "--name", slug, "--admin-username", "admin", *password)
        return cluster.manage("organization", "place", slug).strip().removeprefix(f"{slug} is at ").removesuffix(".")

    for number, other in ((0, 1), (1, 0)):
        cluster.nodes[number].run_sql("CREATE TABLE much AS SELECT repeat('x', 100) FROM generate_series(1, 200000)")
        assert {node_of_next(f"new-{number}-{one}") for one in range(2)} == {name_of(cluster.nodes[other])}
        cluster.nodes[number].run_sql("DROP TABLE much")


def test_an_organization_moves_ten_times_while_it_sells(cluster: Cluster, server: Server) -> None:
    selling = Selling.at(server, sellers=16)
    with selling.running():
        for _, node in zip(range(10), cycle((1, 0)), strict=False):
            selling.wait_for_more(50)
            began = time.monotonic()
            cluster.place("acme", node)
            print(f"moved in {time.monotonic() - began:.1f} s, {len(selling.acknowledged)} sold so far")
        selling.wait_for_more(50)
    books_are_right(cluster, "ten moves", selling)


def signing_in(server: Server) -> tuple[int, str | None]:
    """The status of one try to sign in, and when to try again."""
    answer = urllib3.request(
        "POST",
        f"http://{server.address}/api/v1/auth/token",
        headers={"Host": HOST},
        json={"username": "admin", "password": PASSWORD},
        retries=False,
    )
    return answer.status, answer.headers.get("Retry-After")


def test_a_node_that_is_killed_keeps_its_organizations_from_selling_and_no_others(
    cluster: Cluster, server: Server
) -> None:
    stays, goes = Selling.at(server, sellers=8, slug="globex"), Selling.at(server, sellers=8, slug="acme")
    with ExitStack() as running:
        running.enter_context(stays.running())
        running.enter_context(goes.running())
        goes.wait_for_more(200)
        stays.wait_for_more(400)
        before = len(stays.seconds)
        cluster.nodes[0].kill()
        goes.wait_for_refusals(20)
        stays.wait_for_more(400)
        during = len(stays.seconds)
        wait_until(lambda: server.readiness()[0] == 200, "no load balancer takes it out", seconds=60)
        with pytest.raises(AssertionError, match=r"(?s)acme: 1 fault.*globex: clean"):
            cluster.manage("reconcile")
        with pytest.raises(AssertionError, match="org_acme: NOT up to date: connection to the remote node"):
            cluster.manage("migrate_schemas")
        cluster.nodes[0].ensure_running()
        goes.wait_for_more(100)
    print(
        f"\n99 % of globex's sales took less than {slowest(stays.seconds[:before]) * 1000:.0f} ms, "
        f"{slowest(stays.seconds[before:during]) * 1000:.0f} ms while acme's node was away"
    )
    assert stays.in_vain() == 0, stays.tries
    books_are_right(cluster, "a node that was killed", stays, goes)


def test_while_the_coordinator_is_away_the_nodes_go_on_selling(cluster: Cluster, server: Server) -> None:
    sellings = [Selling.at(server, sellers=4, slug=slug) for slug in ("acme", "globex")]
    with ExitStack() as running:
        for selling in sellings:
            running.enter_context(selling.running())
            selling.wait_for_more(50)
        cluster.coordinator.kill()
        before = [(len(selling.acknowledged), selling.in_vain()) for selling in sellings]
        until = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < until:
            for selling in sellings:
                selling.wait_for_more(20)
        for selling, (sold, in_vain) in zip(sellings, before, strict=True):
            sold, in_vain = len(selling.acknowledged) - sold, selling.in_vain() - in_vain
            print(f"\n{selling.slug}: {sold} sold without the coordinator, {in_vain} tries in vain")
        assert signing_in(server) == (503, "1")
        assert server.readiness()[0] == 503
        cluster.coordinator.ensure_running()
        for selling in sellings:
            selling.wait_for_more(50)
    wait_until(lambda: signing_in(server)[0] == 200, "who signs in gets in again", seconds=60)
    wait_until(lambda: server.readiness() == (200, None), "it is ready again", seconds=60)
    assert [selling.in_vain() for selling in sellings] == [0, 0]
    books_are_right(cluster, "a coordinator that was away", *sellings)
