"""A connection to the database that is cut right after COMMIT: it is done, and whoever did it was not told. The answer
is found by looking: at the key, or at what was decided."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection

from credit.models import Entry
from saas import embedded
from tests.support.cutting import Cutter, cutting
from tests.support.installations import directory, environment_of, manage, start, superuser_of
from tests.support.selling import Selling
from tests.support.server import serving, working_environment
from tests.support.world import World
from tests.tenants.endpoints import ORGANIZATION, SELLER, Endpoint
from tests.tenants.test_isolation import stock


def through(cutter: Cutter, address: str) -> str:
    """The address of the same database on the way that is cut."""
    way, times = re.subn("@[^/]+/", f"@{quote(str(cutter.path.parent), safe='')}:5432/", address)
    assert times == 1
    return way


def test_sales_whose_connections_are_cut_after_commit_are_answered_and_happen_once(tmp_path: Path) -> None:
    """Every fifth commit: sales of one seller, and those of several that met in one transaction."""
    with directory(installed=True) as data, cutting(tmp_path, str(embedded._Cluster(data).socket)) as cutter:
        start(data)
        address = embedded._Cluster(data).url(embedded.WORKING_ROLE, embedded.DATABASE)
        environment = environment_of(data) | {
            "DATABASE_URL": through(cutter, address),
            "RECHARGE_EMBEDDED": "1",
            "SECRET_KEY": "only-for-tests-" * 5,
        }
        with serving(tmp_path / "log", environment=environment) as server:
            selling = Selling.at(server)
            cutter.every = 5
            with selling.running():
                selling.wait_for_more(300)
            cutter.every = 0
            selling.check(f"{cutter.cuts} connections cut after COMMIT", superuser_of(data))
            assert cutter.cuts > 30
        manage(data, "reconcile")


@pytest.fixture(scope="module")
def cutter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cutter]:
    """In front of the tests' own database."""
    settings = connection.settings_dict
    with cutting(tmp_path_factory.mktemp("way"), settings["HOST"], int(settings["PORT"] or 5432)) as cutter:
        yield cutter


@pytest.fixture(scope="module")
def address(cutter: Cutter, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server whose connections go by the cutter."""
    environment = working_environment()
    for name in ("DATABASE_URL", "OWNER_DATABASE_URL"):
        environment[name] = through(cutter, environment[name])
    with serving(tmp_path_factory.mktemp("server") / "log", environment=environment) as server:
        yield server.address


MOVE_MONEY = [row for row in ORGANIZATION if row.has_key or row.route.endswith(("/approve", "/reject", "/resolve"))]


@pytest.mark.parametrize("endpoint", MOVE_MONEY, ids=str)
@pytest.mark.parametrize("cuts", [1, 2])
def test_what_moves_money_is_found_done(
    endpoint: Endpoint, cuts: int, world: World, cutter: Cutter, address: str
) -> None:
    """The call is answered as if nothing had been; cut twice, it is 503, and the same call again finds it done. (That
    the books are right, and that nothing was paid twice, is proved after each test.)"""
    ids = stock(world.acme)
    person = world.acme.member if endpoint.who == SELLER else world.acme.owner
    client = replace(person.client, address=address)
    asked = replace(endpoint, has_key=False)
    key = {"key": uuid.uuid4().hex} if endpoint.has_key else {}
    before = entries(world)
    cutter.left = cuts
    answer = asked.ask(client, ids, **key)
    assert cutter.left == 0, "it was not committed so often"
    if cuts == 1:
        assert answer.status in (200, 201), answer
    else:
        assert (answer.status, answer.code) == (503, "unavailable"), answer
        assert answer.headers["Retry-After"]
    written = entries(world)
    again = asked.ask(client, ids, **key)
    assert again.status in (200, 201), again
    assert again.headers.get("Idempotent-Replayed") == "true"
    assert entries(world) == written
    assert len(written) - len(before) <= 2


def entries(world: World) -> list[tuple[str, int]]:
    with world.acme.context:
        return list(Entry.objects.order_by("pk").values_list("kind", "amount"))
