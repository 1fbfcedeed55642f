"""The commands that make accounts and organizations, and reconcile on books that are right: what they say, and the
status they end with."""

import json
from subprocess import CompletedProcess

import pytest

from shared.models import User
from tenants.models import Organization as OrganizationRow
from tests.support.client import Client
from tests.support.commands import run
from tests.support.world import PASSWORD, World, give_credit

WITHOUT_PASSWORD = {"RECHARGE_ADMIN_PASSWORD": ""}
IN_THE_ENVIRONMENT = {"RECHARGE_ADMIN_PASSWORD": PASSWORD}


def assert_refused(done: CompletedProcess[str], *words: str, status: int = 1) -> None:
    """It says why in one line, without a traceback."""
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last


@pytest.mark.parametrize("where", ["option", "environment"])
def test_a_platform_admin_is_made_and_signs_in(where: str, world: World) -> None:
    options = ("--password", PASSWORD) if where == "option" else ()
    environment = WITHOUT_PASSWORD if where == "option" else IN_THE_ENVIRONMENT
    done = run("create_platform_admin", "--username", "second", *options, environment=environment)
    assert (done.returncode, done.stdout) == (0, "Platform admin second created.\n"), done.stderr
    answer = world.platform.post("/auth/token", {"username": "second", "password": PASSWORD})
    client = Client(world.platform.address, world.platform.host, answer.json["access"])
    assert client.get("/me").json["role"] == "platform_admin"
    assert client.get("/organizations").status == 200


def test_a_platform_admin_that_will_not_do_is_refused(world: World) -> None:
    before = User.objects.count()
    command = ("create_platform_admin", "--username")
    assert_refused(run(*command, "root", environment=IN_THE_ENVIRONMENT), "root", "already")
    assert_refused(run(*command, "second", "--password", "short"), "password", "too short")
    assert_refused(run(*command, "acme/owner", environment=IN_THE_ENVIRONMENT), "username")
    assert_refused(run(*command, "second", environment=WITHOUT_PASSWORD), "RECHARGE_ADMIN_PASSWORD")
    assert User.objects.count() == before


@pytest.mark.parametrize(
    ("slug", "more", "words"),
    [
        ("acme", (), ("acme", "already")),
        ("m\u00fcnchen", (), ("slug", "lower-case")),
        ("new-one", ("--admin-password", "short"), ("password", "too short")),
        ("new-one", ("--admin-email", "nonsense"), ("email",)),
    ],
)
def test_an_organization_that_will_not_do_is_refused(slug: str, more: tuple[str, ...], words: tuple[str, ...]) -> None:
    arguments = ("--name", "New", "--admin-username", "boss", "--admin-password", PASSWORD)
    assert_refused(run("create_organization", slug, *arguments, *more), *words)
    assert set(OrganizationRow.objects.values_list("slug", flat=True)) == {"acme", "globex"}


def test_reconcile_finds_right_books_right(world: World) -> None:
    for organization in (world.acme, world.globex):
        give_credit(organization.row, organization.member.id, 100_000)
        assert organization.member.sell().status == 201
    everything = run("reconcile")
    assert (everything.returncode, everything.stderr) == (0, "")
    assert everything.stdout.splitlines() == [
        "acme: clean",
        "globex: clean",
        "2 organizations: the books are right.",
    ]
    one = run("reconcile", "--organization", "globex", "--json")
    assert one.returncode == 0
    assert json.loads(one.stdout) == {"clean": True, "organizations": {"globex": []}}
    assert_refused(run("reconcile", "--organization", "nosuch"), "nosuch", status=2)
