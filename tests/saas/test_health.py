"""``/livez`` and ``/readyz``: on any host, and ready only when the database answers and every schema is migrated."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from django.db import connection

from saas import __version__
from tests.support.client import Client
from tests.support.server import Server, serving
from tests.support.waiting import wait_until
from tests.support.world import World

HOSTS = ["recharge.test", "acme.recharge.test", "nowhere.recharge.test", "elsewhere.example", "10.0.0.1", "bad_host!"]


@pytest.mark.parametrize("host", HOSTS)
def test_it_answers_on_any_host(world: World, host: str) -> None:
    for path in ("/livez", "/readyz"):
        answer = Client(world.platform.address, host).get(path)
        assert (answer.status, answer.json["status"]) == (200, "ok")


def test_the_process_says_which_version_it_is(world: World) -> None:
    assert world.platform.get("/livez").json == {"status": "ok", "version": __version__}
    assert world.platform.get("/readyz").json == {"status": "ok"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_asked_with_get(world: World, method: str) -> None:
    for path in ("/livez", "/readyz"):
        answer = world.platform.request(method, path)
        assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "method_not_allowed", "GET, HEAD")


@pytest.fixture
def young(tmp_path: Path) -> Iterator[Server]:
    """A server that nobody has asked yet whether it is ready."""
    with serving(tmp_path / "log", workers=1, threads=1, wait=False) as server:
        yield server


@contextmanager
def unapplied(schema: str, app: str) -> Iterator[None]:
    """While this lasts, the schema lacks a migration of the app."""
    table_name = f"{schema}.django_migrations"
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table_name} WHERE app = %s RETURNING app, name, applied", [app])
        rows = cursor.fetchall()
        assert rows
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for row in rows:
                cursor.execute(f"INSERT INTO {table_name} (app, name, applied) VALUES (%s, %s, %s)", row)


def is_alive(client: Client) -> bool:
    try:
        return client.get("/livez").status == 200
    except urllib3.exceptions.HTTPError:  # it does not listen yet
        return False


def test_a_server_is_not_ready_before_every_schema_is_migrated(young: Server, world: World) -> None:
    client = Client(young.address, "10.0.0.1")
    with unapplied("org_globex", "recharge"):
        wait_until(lambda: is_alive(client))
        for _ in range(2):
            answer = client.get("/readyz")
            assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "1")
            assert "globex" not in answer.body.decode(), "whose it is, is nobody's business"
        assert client.get("/livez").status == 200
    with unapplied("public", "tenants"):
        answer = client.get("/readyz")
        assert (answer.status, answer.code) == (503, "unavailable")
    assert client.get("/readyz").status == 200
