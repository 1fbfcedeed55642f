"""The base of every test: two organizations, an owner, a member and a stranger, and books that are right afterwards.

Tests write to the database for real (no transaction around them, so that other processes see what they do); afterwards
each organization's books are proved, and everything but the two organizations themselves is deleted.
"""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import ProgrammingError, connection
from psycopg2 import sql
from psycopg2.errors import InvalidCatalogName

from tenants.routing import forget_routes
from tenants.working_role import as_owner
from tests.support import citus
from tests.support.cleaning import assert_books_are_right, is_as_it_was, make_way, wipe, world_of
from tests.support.client import requests_out_of_the_ordinary
from tests.support.database import TEMPLATE, alone
from tests.support.server import Server, serving
from tests.support.world import Organization, World, database_url

FUNDS = 1_000_000
"""What a seller has who can pay for what a test sells, in Tomans."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a cluster: leaves out what asks for one server."""
    config.hook.pytest_deselected(items=[item for item in items if citus.is_left_out(item.nodeid)])
    items[:] = [item for item in items if not citus.is_left_out(item.nodeid)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, why in citus.ASKS_FOR_ONE_SERVER.items() if citus.nodes() else ():
        terminalreporter.write_line(f"Left out on a cluster: {name}. {why}")


def _make_database() -> None:
    from tenants.services import provision_organization

    with as_owner():  # past a pooler
        if citus.nodes():
            citus.make_database(connection.creation._get_test_db_name())
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False, keepdb=bool(citus.nodes()))
        name = connection.settings_dict["NAME"]
        for slug in ("acme", "globex"):
            provision_organization(
                slug=slug, name=slug.title(), admin_username="admin", admin_password="correct horse battery"
            )
    _enter(name)
    if not citus.nodes():
        _run_elsewhere("CREATE DATABASE {} TEMPLATE {}", TEMPLATE, name)


def _enter(name: str) -> None:
    """This database is that of the tests from now on, and of the processes that they start."""
    connection.settings_dict["NAME"] = name
    if "DIRECT_DATABASE_URL" not in os.environ:
        os.environ["DATABASE_URL"] = database_url()
        return
    for variable in ("DATABASE_URL", "DIRECT_DATABASE_URL"):  # through the tests' pooler, and past it
        os.environ[variable] = f"{os.environ[variable].rpartition('/')[0]}/{name}"


def _copy_template() -> bool:
    """Whether there is one yet. (On Citus there is none: nothing copies a database that is spread over nodes.)"""
    if citus.nodes():
        return False
    name = connection.creation._get_test_db_name()
    _drop(name)  # of a run that was killed
    try:
        _run_elsewhere("CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE)
    except ProgrammingError as error:
        if not isinstance(error.__cause__, InvalidCatalogName):
            raise
        return False
    _enter(name)
    return True


def _run_elsewhere(statement: str, *names: str) -> None:
    """With no connection to the tests' database."""
    connection.close()
    with as_owner(), connection.creation._nodb_cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _drop(name: str) -> None:
    """A database that may be there, whoever is in it."""
    try:
        _run_elsewhere("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
    except ProgrammingError:
        # An autovacuum worker is in it, which is a superuser's: without FORCE it is asked to end, and waited for.
        _run_elsewhere("DROP DATABASE IF EXISTS {}", name)


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: Any, django_db_modify_db_settings: None) -> Iterator[None]:
    """Django's test database, with two organizations in it. Child processes find it in ``DATABASE_URL``.

    Each process of a run has one of its own. The first makes it, and leaves a copy to the others: it takes three
    seconds of CPU.
    """
    with django_db_blocker.unblock():
        name = connection.settings_dict["NAME"]
        with alone():
            if not _copy_template():
                _make_database()
        wipe()
        yield
        test_name, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], name
        # A server that a test has stopped may not have left it yet.
        if citus.nodes():
            connection.close()
            citus.drop_database(test_name)
        else:
            _drop(test_name)


def _kind_of_world(request: pytest.FixtureRequest) -> str | None:
    return next((kind for kind in ("funded", "world") if kind in request.fixturenames), None)


@pytest.fixture(autouse=True)
def books(request: pytest.FixtureRequest, django_db_setup: None) -> Iterator[None]:
    """After every test: the books are right (unless it says that it broke them), and nothing is left for the next, or
    only a world in which nothing was written."""
    make_way(_kind_of_world(request))
    if "world" in request.fixturenames:
        request.getfixturevalue("world")  # first of all, so that what is kept of it is nothing but it
    yield
    # As after a request: one that the test has lost is not the next test's.
    connection.close_if_unusable_or_obsolete()
    is_clean = False
    try:
        is_clean = is_as_it_was()
        if not is_clean and request.node.get_closest_marker("breaks_the_books") is None:
            assert_books_are_right()
    finally:
        if not is_clean:
            wipe()
        forget_routes()


@pytest.fixture(scope="session")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The running server: two processes of four threads each."""
    with serving(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(params=["fast", "usual"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Has each case twice: answered by recharge/api/fast_path.py, and by Django and REST framework."""
    with requests_out_of_the_ordinary() if request.param == "usual" else nullcontext():
        yield


@pytest.fixture
def world(request: pytest.FixtureRequest, server: Server) -> World:
    """Both organizations over HTTP, each with its people; see tests/support/world.py."""
    kind = _kind_of_world(request)
    return world_of(kind or "world", partial(World.build, server.address, member_has=FUNDS if kind == "funded" else 0))


@pytest.fixture
def acme(world: World) -> Organization:
    """The organization that most tests are about."""
    return world.acme


@pytest.fixture
def globex(world: World) -> Organization:
    """The other one, whose people are strangers to the first."""
    return world.globex


@pytest.fixture
def funded(acme: Organization) -> Organization:
    """acme, whose member has 1,000,000 Tomans."""
    return acme


@pytest.fixture
def log(server: Server) -> Path:
    return server.log


@pytest.fixture
def empty_database(django_db_setup: None) -> Iterator[str]:
    """The address of a database with nothing in it."""
    address = f"{database_url()}_empty"
    name = address.rpartition("/")[2]
    if citus.nodes():
        citus.make_database(name)
        yield address
        citus.drop_database(name)
        return
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield address
    _drop(name)
