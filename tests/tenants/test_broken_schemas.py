"""One organization's schema is gone or half restored: it is named, and all else goes on. And what a restore leaves."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection
from django.test import RequestFactory
from django_tenants.utils import tenant_context

from credit.models import Seller
from credit.services import create_seller
from recharge.models import Recharge
from saas.health import HealthMiddleware
from shared.models import Membership, User
from tenants import readiness
from tenants.models import Organization as OrganizationRow
from tenants.schemas import Condition, states_of
from tenants.services import activate_organization, suspend_organization
from tests.saas.test_pages import line_of
from tests.support import commands
from tests.support.client import Answer, Client
from tests.support.locks import sell_pending
from tests.support.schemas import PASSWORD, changed, postgres, provision, run_sql
from tests.support.server import ROOT, serving
from tests.support.visitor import Visitor
from tests.support.waiting import wait_until
from tests.support.world import Person, World, access_token, database_url, give_credit, make_person

BREAKS = {
    "the schema is gone": "DROP SCHEMA org_broken CASCADE",
    "a table is missing": "DROP TABLE org_broken.credit_seller CASCADE",
    "all tables but one are missing": "DROP SCHEMA org_broken CASCADE; CREATE SCHEMA org_broken;"
    " CREATE TABLE org_broken.credit_seller (id bigint PRIMARY KEY)",
    "a function is missing": "DROP FUNCTION org_broken.recharge_sell",
}


@pytest.fixture(params=BREAKS)
def broken(request: pytest.FixtureRequest) -> OrganizationRow:
    """An organization, suspended as deploy/README.md says, whose schema is not whole."""
    row = provision("broken")
    suspend_organization(slug="broken")
    run_sql(BREAKS[request.param])
    return row


pytestmark = [pytest.mark.breaks_the_books, pytest.mark.slow]


def csrf_token_of(page: Answer) -> str:
    (token, *_) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.body.decode())
    return token


def make_person_of(row: OrganizationRow, address: str) -> Person:
    """A seller of an organization whose schema can't take one."""
    user = User.objects.create(username=f"{row.slug}/nobody")
    Membership.objects.create(user=user, organization_id=row.pk, username="nobody", role="seller", seller_id=1)
    client = Client(address, f"{row.slug}.recharge.test", access_token(user, row, "seller", 1))
    return Person("nobody", user, 1, client, row)


def test_reconcile_names_it_and_proves_the_others(broken: OrganizationRow) -> None:
    done = commands.run("reconcile", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    found = json.loads(done.stdout)["organizations"]
    assert [fault["fault"] for fault in found.pop("broken")] == ["schema_broken"]
    assert found == {"acme": [], "globex": []}
    text = commands.run("reconcile").stdout
    assert "broken: 1 fault\n  schema_broken: org_broken: " in text
    assert "acme: clean" in text
    assert text.endswith("3 organizations: NOT ALL BOOKS CAN BE READ.\n")  # which is not that they are wrong


def test_a_new_process_is_ready_for_the_others(broken: OrganizationRow, world: World, tmp_path: Path) -> None:
    with serving(tmp_path / "log", workers=1, threads=2) as server:  # which waits until it is ready
        ready = Client(server.address, "10.0.0.1").get("/readyz")
        assert (ready.status, ready.json["status"]) == (200, "ok")
        assert ready.json["detail"].startswith("org_broken: ")
        give_credit(world.acme.row, world.acme.member.id, 10_000)
        at_this = Client(server.address, world.acme.host, world.acme.member.client.token)
        sale = at_this.post("/recharges", {"phone_number": "09121234567", "amount": 1000}, key="sale")
        assert sale.status == 201
        assert "org_broken" in (tmp_path / "log").read_text()


def test_one_that_is_suspended_and_of_an_older_release_keeps_no_new_process_out() -> None:
    provision("older")
    last = max(path.stem for path in (ROOT / "recharge" / "migrations").glob("0*.py"))
    with changed(
        "org_older",
        f"UPDATE django_migrations SET name = 'x' WHERE app = 'recharge' AND name = '{last}'",
        f"UPDATE django_migrations SET name = '{last}' WHERE name = 'x'",
    ):
        readiness.forget()
        assert readiness.hindrance() == "Migrations are to be applied (an organization)."
        suspend_organization(slug="older")
        readiness.forget()
        assert readiness.hindrance() is None
        assert readiness.named() == f"org_older: migrations are to be applied: recharge.{last}"
    readiness.forget()


def test_only_who_is_near_learns_which_it_is(broken: OrganizationRow, settings) -> None:
    settings.TRUSTED_PROXIES = 1
    readiness.forget()
    middleware = HealthMiddleware(lambda _request: pytest.fail("it answers itself"))
    for address, is_near in (("10.0.0.9", True), ("::1", True), ("8.8.8.8", False), ("nonsense", False)):
        answer = middleware(RequestFactory(HTTP_X_FORWARDED_FOR=address).get("/readyz"))
        assert answer.status_code == 200
        assert (b"org_broken" in answer.content) is is_near, address
    readiness.forget()


def test_the_platform_lists_it_shows_its_page_and_proves_it(broken: OrganizationRow, world: World) -> None:
    root = Visitor.signed_in(world.platform_admin)
    page = root.get("/organizations")
    assert page.status == 200
    assert "Active 2 0 0" in line_of(page, "acme")
    token = {"csrfmiddlewaretoken": csrf_token_of(root.get("/organizations/broken"))}
    answer = root.post("/organizations/broken/reconcile", token)
    assert answer.status == 200
    assert "schema_broken" in answer.body.decode()
    assert world.platform_admin.client.get("/organizations/broken").json["status"] == "suspended"
    assert root.post("/organizations/broken/activate", token).status == 302
    assert root.get("/organizations/broken").status == 200


def test_migrating_goes_on_with_the_others_and_says_which_it_could_not(broken: OrganizationRow) -> None:
    run_sql("UPDATE org_globex.installed_functions SET release = 'older'")
    done = commands.run("migrate_schemas")
    assert states_of(["org_globex"])["org_globex"].is_current
    if states_of(["org_broken"])["org_broken"].is_current:  # a function was missing, and is installed
        assert done.returncode == 0
    else:
        assert done.returncode == 1
        assert "org_broken: NOT up to date" in done.stderr


@pytest.mark.parametrize("command", ["let_go", "let_go --dry-run", "chain_roots", "prove_statements", "grant_rights"])
def test_commands_that_go_through_all_name_it_and_do_the_others(command: str) -> None:
    provision("broken")
    provision("younger")
    run_sql("DROP SCHEMA org_broken CASCADE")
    done = commands.run(*command.split())
    assert done.returncode == 1
    assert re.search(r"^(org_)?broken is left out: .*(does not exist|gone)", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"^younger: |rights on 4 schemas", done.stdout, re.MULTILINE), done.stdout


def test_its_ledger_can_not_be_written_and_none_is_there(tmp_path: Path) -> None:
    provision("broken")
    run_sql("DROP SCHEMA org_broken CASCADE")
    file = tmp_path / "ledger"
    done = commands.run("export_ledger", "broken", str(file))
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (1, "", [])
    assert re.fullmatch(r"broken is left out: .*does not exist.*\n", done.stderr), done.stderr


def test_its_own_requests_fail_and_nobody_else_notices(broken: OrganizationRow, world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('org_broken') IS NULL")
        is_gone = cursor.fetchone()[0]
    activate_organization(slug="broken")
    person = make_person_of(broken, world.platform.address)
    give_credit(world.acme.row, world.acme.member.id, 10_000)
    # The server may know the host, for a few seconds, as the organization that an earlier test had there.
    wait_until(lambda: person.sell(1000).status != 401, "the server knows the organization")
    for _ in range(2):
        sale = person.sell(1000)
        # Where all of it is gone, clients are asked to come again; a part that is missing is a defect, and in the log.
        assert (sale.status == 503) if is_gone else (sale.status in (500, 503)), (sale.status, sale.body)
        assert "org_broken" not in sale.body.decode()
        assert world.acme.member.sell(1000).status == 201


@pytest.mark.breaks_the_books
def test_of_one_that_is_not_migrated_yet_the_books_are_not_called_wrong() -> None:
    """As a process of the release before has provisioned it, after the others were migrated."""
    provision("older")
    last = max(path.stem for path in (ROOT / "recharge" / "migrations").glob("0*.py"))
    with changed(
        "org_older",
        "ALTER TABLE org_older.recharge_checkpoint RENAME TO recharge_checkpoint_not_yet;"
        f" UPDATE org_older.django_migrations SET name = 'x' WHERE app = 'recharge' AND name = '{last}'",
        "ALTER TABLE org_older.recharge_checkpoint_not_yet RENAME TO recharge_checkpoint;"
        f" UPDATE org_older.django_migrations SET name = '{last}' WHERE name = 'x'",
    ):
        found = json.loads(commands.run("reconcile", "--json").stdout)["organizations"]["older"]
        assert [(fault["fault"], fault["detail"]) for fault in found] == [
            ("books_unreadable", f"migrations are to be applied: recharge.{last}")
        ]
        assert commands.run("reconcile").stdout.endswith("3 organizations: NOT ALL BOOKS CAN BE READ.\n")


def test_the_delivery_worker_goes_on_with_the_others(broken: OrganizationRow, world: World) -> None:
    activate_organization(slug="broken")
    give_credit(world.acme.row, world.acme.member.id, 10_000)
    recharge_id = sell_pending(world.acme.row, world.acme.member.id)
    done = commands.run("deliver", "--once")
    assert done.returncode == 0, done.stderr
    with world.acme.context:
        assert Recharge.objects.get(pk=recharge_id).attempts > 0


# --- After a restore --------------------------------------------------------------------------------------------------


def test_after_a_restore_new_sellers_are_made_at_once_and_lost_ones_come_back(world: World, tmp_path: Path) -> None:
    row, copy = provision("restored"), str(tmp_path / "restored.dump")
    boss = make_person(row, "second-boss", world.platform.address)

    def create(username: str, name: str = "A kiosk") -> Answer:
        return boss.client.post("/sellers", {"name": name, "username": username, "password": PASSWORD})

    assert create("kept").status == 201
    postgres("pg_dump", "--format=custom", f"--file={copy}", "--schema=org_restored", database_url())
    names = ("lost-1", "lost-2", "lost-3")
    lost = [create(name).json["id"] for name in names]
    lost_person = Client(world.platform.address, "restored.recharge.test")
    refresh = lost_person.post("/auth/token", {"username": "lost-2", "password": PASSWORD}).json["refresh"]

    run_sql("DROP SCHEMA org_restored CASCADE")
    postgres("pg_restore", "--single-transaction", "--no-owner", f"--dbname={database_url()}", copy)
    assert states_of(["org_restored"])["org_restored"].condition is Condition.CURRENT
    done = commands.run("reconcile", "--organization", "restored", "--json")
    assert done.returncode == 1
    assert [
        (fault["fault"], fault["seller_id"], fault["row"])
        for fault in json.loads(done.stdout)["organizations"]["restored"]
    ] == [("member_without_seller", seller_id, name) for seller_id, name in zip(lost, names, strict=True)]

    new = create("new")
    assert new.status == 201
    assert new.json["id"] > max(lost)
    back = boss.client.post("/sellers", {"name": "Back", "username": "lost-2", "password": "another long password"})
    assert (back.status, back.json["id"], back.json["username"]) == (201, lost[1], "lost-2")
    assert create("lost-2").code == "username_taken"
    assert create("kept").code == "username_taken"
    # What the lost one had is over; with the new password it sells again.
    assert lost_person.post("/auth/token/refresh", {"refresh": refresh}).status == 401
    assert lost_person.post("/auth/token", {"username": "lost-2", "password": PASSWORD}).status == 401
    give_credit(row, lost[1], 5000)
    token = lost_person.post("/auth/token", {"username": "lost-2", "password": "another long password"}).json["access"]
    seller = Client(world.platform.address, "restored.recharge.test", token)
    assert seller.get("/balance").json["balance"] == 5000
    for name in ("lost-1", "lost-3"):
        assert create(name).status == 201
    assert commands.run("reconcile").returncode == 0


def test_two_who_bring_back_one_seller_at_once_bring_it_back_once(world: World) -> None:
    row = provision("rebuilt")  # whose host the server knows from no other test
    with tenant_context(row):
        lost = create_seller(organization=row, name="Lost", username="lost", password=PASSWORD)
    run_sql(f"DELETE FROM credit_account WHERE seller_id = {lost.pk}; DELETE FROM credit_seller", schema="org_rebuilt")
    boss = make_person(row, "second-boss", world.platform.address)
    body = {"name": "Back", "username": "lost", "password": PASSWORD}
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: boss.client.post("/sellers", body), range(2)))
    assert sorted(answer.status for answer in answers) == [201, 409]
    with tenant_context(row):
        assert list(Seller.objects.values_list("pk", flat=True)) == [lost.pk]
