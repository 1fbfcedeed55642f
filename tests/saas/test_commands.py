"""The commands that make accounts and organizations, and reconcile on books that are right: what they say, and the
status they end with."""

import json
from subprocess import CompletedProcess

import pytest

from credit.models import AuditRecord
from shared.errors import Throttled
from shared.identity.lockout import ATTEMPTS_FROM_ONE_ADDRESS, ATTEMPTS_OVER_ALL_NAMES, count_attempt
from shared.identity.realm import PLATFORM, Realm
from shared.models import User
from tenants.models import AuditRecord as PlatformAuditRecord
from tenants.models import Organization as OrganizationRow
from tenants.unlocking import reset_second_factor, unlock_name
from tests.support.client import Client
from tests.support.commands import run
from tests.support.factors import code_of, enrol
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
    assert json.loads(one.stdout) == {"clean": True, "organizations": {"globex": []}, "since": {"globex": None}}
    assert_refused(run("reconcile", "--organization", "nosuch"), "nosuch", status=2)


def locked(realm: Realm, username: str, address: str = "127.0.0.1") -> None:
    """Guesses until no more is looked at."""
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
        count_attempt(realm=realm, username=username, address=address).fail()


def test_who_is_locked_out_is_freed(world: World) -> None:
    acme = world.acme
    locked(Realm(acme.row.pk, "acme"), "member")
    locked(Realm(acme.row.pk, "acme"), "neighbour")
    assert acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD}).code == "throttled"
    done = run("unlock", "member", "--organization", "acme")
    assert (done.returncode, done.stdout) == (0, "member is free: 2 counters forgotten.\n"), done.stderr
    assert acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD}).status == 200
    assert acme.anyone.post("/auth/token", {"username": "neighbour", "password": PASSWORD}).code == "throttled"
    with acme.context:
        assert AuditRecord.objects.filter(action="sign_in.unlocked").values_list("object", "actor").get() == (
            "member",
            "",
        )


def test_a_platform_user_and_an_address_are_freed(world: World) -> None:
    locked(PLATFORM, "root")
    assert unlock_name(username="\uff52oot", organization=None) == 2
    count_attempt(realm=PLATFORM, username="root", address="127.0.0.1").forget()
    for number in range(ATTEMPTS_OVER_ALL_NAMES):
        count_attempt(realm=PLATFORM, username=f"made-up-{number}", address="2001:db8::1").fail()
    with pytest.raises(Throttled):
        count_attempt(realm=PLATFORM, username="root", address="2001:db8::1")
    done = run("unlock", "--address", "2001:db8::2")
    assert (done.returncode, done.stdout) == (0, "2001:db8::2 is free: 50 counters forgotten.\n"), done.stderr
    count_attempt(realm=PLATFORM, username="made-up-0", address="2001:db8::1")
    records = PlatformAuditRecord.objects.filter(action__endswith=".unlocked").order_by("pk")
    assert list(records.values_list("action", "object")) == [
        ("sign_in.unlocked", "root"),
        ("address.unlocked", "2001:db8::2"),
    ]


def test_an_only_admin_who_has_lost_all_second_factors_signs_in_again(world: World) -> None:
    acme = world.acme
    credentials = {"username": "owner", "password": PASSWORD}
    secret, _codes = enrol(acme.owner.client)
    enrol(world.platform_admin.client)
    pair = acme.anyone.post("/auth/token", credentials | {"code": code_of(secret)}).json
    assert acme.anyone.post("/auth/token", credentials).code == "second_factor_required"
    done = run("reset_second_factor", "owner", "--organization", "acme")
    assert done.returncode == 0, done.stderr
    assert acme.anyone.post("/auth/token", credentials).status == 200
    assert acme.anyone.post("/auth/token/refresh", {"refresh": pair["refresh"]}).code == "token_invalid"
    with acme.context:
        written = AuditRecord.objects.filter(action="member.second_factor_reset").values_list("object", "actor")
        assert list(written) == [("owner", "")]
    assert_refused(run("reset_second_factor", "owner", "--organization", "acme"), "no second factor")
    assert_refused(run("reset_second_factor", "owner"), "member")  # the platform has no such user
    assert reset_second_factor(username="root", organization=None)
    assert world.platform.post("/auth/token", {"username": "root", "password": PASSWORD}).status == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("member",), ("platform user", "member")),
        (("nobody", "--organization", "acme"), ("nobody", "acme")),
        (("member", "--organization", "none"), ("organization",)),
        (("--address", "nonsense"), ("address",)),
        (("--address", "192.0.2.1", "--organization", "acme"), ("--organization",)),
    ],
)
def test_nobody_is_freed_by_mistake(world: World, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert_refused(run("unlock", *arguments), *words)
