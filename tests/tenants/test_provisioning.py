"""Provisioning: whole or not at all, cut off at any point and run again, and one schema like the other."""

import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_tenants.utils import schema_context

from shared.models import Membership, User
from tenants.errors import OrganizationExists
from tenants.models import Domain
from tenants.models import Organization as OrganizationRow
from tenants.schemas import states_of
from tenants.services import activate_organization, provision_organization, suspend_organization
from tenants.slugs import LONGEST, RESERVED, InvalidSlug, check_slug, schema_name_of
from tenants.tables import all_migrations, is_empty
from tenants.working_role import as_owner
from tests.support import commands
from tests.support.client import Answer, Client
from tests.support.schemas import run_sql
from tests.support.sessions import everywhere, sessions
from tests.support.tables import contents
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, World

ADMIN = {"username": "boss", "password": PASSWORD}


def provision(platform: Client, slug: str, /, **change: Any) -> Answer:
    body = {"slug": slug, "name": "Initech", "admin": ADMIN} | change
    return platform.post("/organizations", body)


@pytest.fixture
def platform(world: World) -> Client:
    """Speaks for the platform admin."""
    return world.platform_admin.client


def schemas() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'org%'")
        return {name for (name,) in cursor.fetchall()}


def people_of(slug: str) -> list[str]:
    return sorted(User.objects.filter(username__startswith=f"{slug}/").values_list("username", flat=True))


# --- Over the API -----------------------------------------------------------------------------------------------------


def test_it_makes_an_organization_that_works_at_once(platform: Client) -> None:
    answer = provision(platform, "new-one", admin=ADMIN | {"email": "boss@example.com"})
    assert answer.status == 201
    assert set(answer.json) == {"slug", "name", "status", "domain", "created_at"}
    assert answer.json["created_at"].endswith("Z")
    assert (answer.json["slug"], answer.json["name"]) == ("new-one", "Initech")
    assert (answer.json["status"], answer.json["domain"]) == ("active", "new-one.recharge.test")
    assert User.objects.get(username="new-one/boss").email == "boss@example.com"

    anyone = Client(platform.address, "new-one.recharge.test")
    token = anyone.post("/auth/token", ADMIN).json["access"]
    boss = Client(anyone.address, anyone.host, token)
    me = boss.get("/me").json
    assert (me["username"], me["role"], me["organization"], me["seller_id"]) == ("boss", "admin", "new-one", None)
    assert me["must_change_password"]
    seller = boss.post("/sellers", {"name": "Sara", "username": "sara", "password": PASSWORD})
    assert (seller.status, seller.json["id"]) == (201, 1)
    sara = Client(anyone.address, anyone.host, anyone.post("/auth/token", {**ADMIN, "username": "sara"}).json["access"])
    asked = sara.post("/credit-requests", {"amount": 10_000}, key="k").json["id"]
    assert boss.post(f"/credit-requests/{asked}/approve").status == 200
    assert sara.post("/recharges", {"phone_number": "09121234567", "amount": 4_000}, key="k").status == 201
    assert sara.get("/balance").json["balance"] == 6_000


def test_a_list_and_each_of_it_say_the_same(platform: Client) -> None:
    listed = platform.get("/organizations").json["results"]
    assert [row["slug"] for row in listed] == ["globex", "acme"]
    for row in listed:
        assert platform.get(f"/organizations/{row['slug']}").json == row
        assert row["domain"] == f"{row['slug']}.recharge.test"
    for slug in ("nosuch", "ACME", "acme%00", "acme'", "a" * 1000, "org_acme"):
        answer = platform.get(f"/organizations/{slug}")
        assert (answer.status, answer.code) == (404, "not_found"), slug


def test_a_taken_slug_is_refused_and_changes_nothing(platform: Client) -> None:
    before = contents()
    answer = provision(platform, "acme")
    assert (answer.status, answer.code) == (409, "organization_exists")
    assert contents() == before


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"admin": {"username": "a b", "password": PASSWORD}}, ("admin.username", "invalid")),
        ({"admin": {"username": "a/b", "password": PASSWORD}}, ("admin.username", "invalid")),
        ({"admin": {"username": "boss", "password": "short"}}, ("admin.password", "password_too_short")),
        ({"admin": {"username": "boss", "password": "password123"}}, ("admin.password", "password_too_common")),
        ({"admin": ADMIN | {"email": "nonsense"}}, ("admin.email", "invalid")),
        (
            {"admin": ADMIN | {"email": f"a@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.{'f' * 20}.com"}},
            ("admin.email", "max_length"),
        ),
        ({"admin": ADMIN | {"role": "root"}}, ("admin.role", "unknown_field")),
        ({"admin": None}, ("admin", "null")),
        ({"name": ""}, ("name", "blank")),
        ({"name": " "}, ("name", "blank")),
        ({"name": "x" * 201}, ("name", "max_length")),
        ({"schema_name": "public"}, ("schema_name", "unknown_field")),
        ({"slug": "ACME"}, ("slug", "invalid_slug")),
        ({"slug": "www"}, ("slug", "reserved_slug")),
        ({"slug": 5}, ("slug", "invalid")),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_request_that_will_not_do_leaves_nothing(change: Any, fault: tuple[str, str], platform: Client) -> None:
    before, schemas_before = contents(), schemas()
    answer = provision(platform, "new-one", **change)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert fault in answer.faults
    assert contents() == before
    assert schemas() == schemas_before


def test_an_address_that_another_organization_has_is_taken(platform: Client) -> None:
    acme = OrganizationRow.objects.get(slug="acme")
    domain = Domain.objects.create(tenant=acme, domain="acme-too.recharge.test", is_primary=False)
    try:
        answer = provision(platform, "acme-too")
        assert (answer.status, answer.code) == (409, "organization_exists")
        assert not OrganizationRow.objects.filter(slug="acme-too").exists()
    finally:
        domain.delete()


def test_of_two_at_once_for_one_slug_one_wins(platform: Client) -> None:
    barrier = Barrier(2)

    def one(username: str) -> Answer:
        barrier.wait(20)
        return provision(platform, "contested", admin=ADMIN | {"username": username})

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(("left", "right"), pool.map(one, ("left", "right")), strict=True))
    assert sorted(answer.status for answer in answers.values()) == [201, 409]
    (winner,) = [name for name, answer in answers.items() if answer.status == 201]
    (loser,) = [answer for answer in answers.values() if answer.status == 409]
    assert loser.code == "organization_exists"
    assert people_of("contested") == [f"contested/{winner}"]
    assert Membership.objects.filter(username=winner, role="admin").count() == 1


def test_suspending_and_activating_may_be_repeated(platform: Client) -> None:
    assert provision(platform, "on-and-off").status == 201
    for call, status in (("suspend", "suspended"), ("activate", "active")):
        first = platform.post(f"/organizations/on-and-off/{call}")
        again = platform.post(f"/organizations/on-and-off/{call}")
        assert (first.status, again.status) == (200, 200)
        assert first.json == again.json
        assert first.json["status"] == status
        assert platform.get("/organizations/on-and-off").json["status"] == status
        answer = platform.post(f"/organizations/nosuch/{call}")
        assert (answer.status, answer.code) == (404, "not_found")
        assert platform.post(f"/organizations/on-and-off/{call}", {"why": "x"}).faults == {("why", "unknown_field")}


def test_what_is_provisioning_is_neither_suspended_nor_activated(platform: Client) -> None:
    half = OrganizationRow.objects.create(slug="half", name="Half", schema_name="org_half")
    for call in ("suspend", "activate"):
        answer = platform.post(f"/organizations/half/{call}")
        assert (answer.status, answer.code) == (404, "not_found")
    half.refresh_from_db()
    assert half.status == "provisioning"
    assert platform.get("/organizations/half").json["status"] == "provisioning"


# --- Cut off ----------------------------------------------------------------------------------------------------------

GATE = 20_260_724
"""The advisory lock that a statement waits for in these tests."""

_TRIGGER = """
    CREATE FUNCTION {where}.wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock({gate}); RETURN NEW; END';
    CREATE TRIGGER gate BEFORE {event} ON {table} FOR EACH ROW {condition} EXECUTE FUNCTION {where}.wait_at_the_gate();
"""

POINTS = {
    "before anything is written": ("public", "INSERT", "public.tenants_organization", ""),
    "while the slug is reserved": ("public", "INSERT", "public.tenants_domain", ""),
    "before the schema": ("public", "UPDATE", "public.tenants_organization", "WHEN (NEW.status = 'provisioning')"),
    "between the tables and the functions": (
        "public",
        "INSERT",
        "{schema}.django_migrations",
        "WHEN (NEW.app = 'recharge')",
    ),
    "before the admin": ("public", "INSERT", "public.shared_user", ""),
    "before the admin's membership": ("public", "INSERT", "public.shared_membership", ""),
    "before it is active": ("public", "UPDATE", "public.tenants_organization", "WHEN (NEW.status = 'active')"),
}


BEFORE_THE_RESERVATION = ("before anything is written", "while the slug is reserved")


@contextmanager
def gate(point: str, schema: str) -> Iterator[None]:
    """A statement of provisioning waits until the block ends."""
    where, event, table, condition = (part.format(schema=schema) for part in POINTS[point])
    if schema in table:  # as if made by an earlier attempt: the schema is there, with its table of migrations
        run_sql(f"CREATE SCHEMA {schema}")
        with as_owner(), schema_context(schema):
            MigrationRecorder(connection).ensure_schema()
    run_sql(_TRIGGER.format(gate=GATE, where=where, event=event, table=table, condition=condition))
    with sessions() as holders:
        for holder in holders:
            holder.cursor().execute("SELECT pg_advisory_xact_lock(%s)", [GATE])
        try:
            yield
        finally:
            for holder in holders:
                holder.rollback()
            # With what a node of a cluster has of a table whose move was cut off, and has not cleared away yet.
            run_sql(f"DROP FUNCTION {where}.wait_at_the_gate() CASCADE")


def waiting_at_the_gate() -> bool:
    return bool(
        everywhere(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
            " AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
            [GATE],
        )
    )


def backends() -> int:
    """Sessions of this database that are in a transaction, but for these that look."""
    return len(
        everywhere(
            "SELECT FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
            " AND backend_type = 'client backend'"
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_it_is_killed_at_any_point_and_run_again(point: str, platform: Client) -> None:
    slug = f"cut-{uuid.uuid4().hex[:12]}"  # a new one each time: the running server remembers hosts for a while
    schema = schema_name_of(slug)
    anyone = Client(platform.address, f"{slug}.recharge.test")
    arguments = ("create_organization", slug, "--name", "Cut", "--admin-username", "boss", "--admin-password", PASSWORD)
    with gate(point, schema):
        process = commands.start(*arguments)
        try:
            wait_until(waiting_at_the_gate)
            assert anyone.get("/me").code == "not_found"  # nothing half made answers
        finally:
            process.kill()
            process.communicate()
    wait_until(lambda: backends() == 0)  # its session has noticed, and rolled back
    assert anyone.post("/auth/token", ADMIN).code == "not_found"
    assert people_of(slug) == []
    rows = list(OrganizationRow.objects.filter(slug=slug).values_list("status", flat=True))
    assert rows == ([] if point in BEFORE_THE_RESERVATION else ["provisioning"])
    assert tables_of(schema) <= {"django_migrations"}

    again = provision(platform, slug, name="Now whole", admin=ADMIN | {"username": "another"})
    assert (again.status, again.json["status"], again.json["name"]) == (201, "active", "Now whole")
    assert people_of(slug) == [f"{slug}/another"]
    assert tables_of(schema) == tables_of("org_acme")
    assert anyone.post("/auth/token", ADMIN | {"username": "another"}).status == 200
    assert provision(platform, slug).code == "organization_exists"


def test_the_command_finishes_what_was_cut_off(platform: Client) -> None:
    slug = f"cut-{uuid.uuid4().hex[:12]}"
    row = OrganizationRow.objects.create(slug=slug, name="Cut", schema_name=schema_name_of(slug))
    Domain.objects.create(tenant=row, domain=f"{slug}.recharge.test")
    arguments = ("create_organization", slug, "--name", "Whole", "--admin-username", "boss")
    done = commands.run(*arguments, environment={"RECHARGE_ADMIN_PASSWORD": PASSWORD})
    assert (done.returncode, done.stdout) == (0, f"Organization {slug} is active at {slug}.recharge.test.\n")
    assert Client(platform.address, f"{slug}.recharge.test").post("/auth/token", ADMIN).status == 200


def test_a_failure_within_leaves_nothing_but_the_reserved_slug() -> None:
    User.objects.create(username="new-one/boss")  # in the way of its admin
    with pytest.raises(Exception, match="already"):
        provision_organization(slug="new-one", name="New", admin_username="boss", admin_password=PASSWORD)
    assert is_empty("org_new_one")
    assert connection.schema_name == "public"  # type: ignore[attr-defined]
    assert OrganizationRow.objects.get(slug="new-one").status == "provisioning"
    User.objects.all().delete()
    assert (
        provision_organization(slug="new-one", name="New", admin_username="boss", admin_password=PASSWORD).status
        == "active"
    )


# --- Slugs ------------------------------------------------------------------------------------------------------------


SLUGS = ["a", "0", "acme", "a-b", "a--b--c", "a1-2b", "9lives", "a" * LONGEST, "reserved", "x-n--a"]
NO_SLUGS = [
    "",
    "-a",
    "a-",
    "-",
    "a_b",
    "a.b",
    "a b",
    " a",
    "a\n",
    "\na",
    "a\x00",
    "A",
    "Acme",
    "a/b",
    "a:b",
    "a'b",
    'a"b',
    "a;b",
    "a%b",
    "..",
    "\u00e9",
    "m\u00fcnchen",
    "\u0441\u0430\u0440",  # Cyrillic letters that look like Latin ones
    "\u0641\u0631\u0648\u0634",
    "\u0661\u0662",  # digits, but not ASCII
    "\uff41cme",
    "\u212a",  # the Kelvin sign, which lower-cases to a k
    "\u0130",
    "xn--mnchen-3ya",
    "xn--",
    "ab--c",
    "a" * (LONGEST + 1),
    "a" * 10_000,
]


def refusal_of(slug: str) -> str | None:
    """The code that a slug is refused with; None for one that will do."""
    try:
        check_slug(slug)
    except InvalidSlug as error:
        return error.code
    return None


def test_a_dns_label_is_a_slug_and_anything_else_is_none() -> None:
    assert [slug for slug in SLUGS if refusal_of(slug)] == []
    assert all(re.fullmatch(r"org_[a-z0-9_]{1,50}", schema_name_of(slug)) for slug in SLUGS)
    assert [slug for slug in NO_SLUGS if refusal_of(slug) not in ("invalid_slug", "too_long")] == []


def test_a_reserved_name_is_no_slug() -> None:
    assert [slug for slug in sorted(RESERVED) if refusal_of(slug) != "reserved_slug"] == []


def test_the_names_of_the_contract_are_reserved() -> None:
    assert {"www", "api", "admin", "public"} <= RESERVED


def test_no_two_slugs_share_a_schema() -> None:
    slugs = ["a-b", "a--b", "ab", "a-b-c", "org-a", "org"]
    assert len({schema_name_of(slug) for slug in slugs}) == len(slugs)
    assert schema_name_of("a-b") == "org_a_b"
    assert max(len(schema_name_of("a" * LONGEST)), 0) <= 63  # a PostgreSQL identifier


# --- The schemas ------------------------------------------------------------------------------------------------------


def tables_of(schema: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])
        return {name for (name,) in cursor.fetchall()}


def query(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def test_a_schema_has_the_tenant_apps_tables_and_no_other() -> None:
    for schema in ("org_acme", "org_globex"):
        assert tables_of(schema) == {
            "credit_accessepoch",
            "credit_account",
            "credit_adjustment",
            "credit_alert",
            "credit_alertmessage",
            "credit_alertpreference",
            "credit_alertsettings",
            "credit_auditrecord",
            "credit_chainroot",
            "credit_creditrequest",
            "credit_creditrequestslip",
            "credit_entry",
            "credit_policy",
            "credit_seller",
            "credit_transfer",
            "credit_webhookattempt",
            "credit_webhookendpoint",
            "credit_webhookmessage",
            "django_migrations",
            "installed_functions",
            "recharge_attempt",
            "recharge_bulkbatch",
            "recharge_checkpoint",
            "recharge_claim",
            "recharge_claimmessage",
            "recharge_closedperiod",
            "recharge_commissionrate",
            "recharge_dayposting",
            "recharge_daysum",
            "recharge_gatewaysettings",
            "recharge_lettinggo",
            "recharge_limit",
            "recharge_margin",
            "recharge_marginbatch",
            "recharge_operatorsettings",
            "recharge_provedaccount",
            "recharge_recharge",
            "recharge_sellerday",
            "recharge_sentreceipt",
            "recharge_settings",
            "recharge_statement",
            "recharge_summedday",
            "recharge_transition",
        }


def test_the_public_schema_has_no_tenant_apps_tables() -> None:
    assert not {name for name in tables_of("public") if name.startswith(("credit_", "recharge_"))}


def test_two_schemas_are_alike() -> None:
    assert_alike("org_acme", "org_globex")


def test_two_that_are_provisioned_at_once_are_alike(platform: Client) -> None:
    barrier = Barrier(2)

    def one(slug: str) -> Answer:
        barrier.wait(20)
        return provision(platform, slug)

    before = timezone.now()
    with ThreadPoolExecutor(2) as pool:
        assert [answer.status for answer in pool.map(one, ("left", "right"))] == [201, 201]
    assert_alike("org_left", "org_right")
    assert_alike("org_left", "org_acme")
    applied = "SELECT count(*), min(applied) > %s, max(applied) < now() FROM org_left.django_migrations"
    with connection.cursor() as cursor:
        cursor.execute(applied, [before])
        assert cursor.fetchone() == (len(all_migrations()), True, True)
    states = states_of(["org_left", "org_right"], thorough=True)
    assert all(state.is_current for state in states.values())


def assert_alike(*pair: str) -> None:
    """Columns, constraints, indexes, triggers and functions, without those that another test has left beside them until
    the next installation."""
    for statement in (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = '{}'",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = '{}'::regnamespace",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = '{}'",
        "SELECT tgname, pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE relnamespace = '{}'::regnamespace AND NOT tgisinternal",
        "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = '{}'::regnamespace"
        r" AND proname NOT LIKE '%\_former'",
    ):
        first, second = (
            sorted(str(row).replace(schema, "org") for row in query(statement.format(schema))) for schema in pair
        )
        assert first == second
        assert first


def test_no_foreign_key_crosses_schemas() -> None:
    crossing = """
        SELECT conname, conrelid::regclass, confrelid::regclass
        FROM pg_constraint
        JOIN pg_class AS own ON own.oid = conrelid
        JOIN pg_class AS other ON other.oid = confrelid
        WHERE contype = 'f' AND own.relnamespace <> other.relnamespace
    """
    assert query(crossing) == []
    within = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'org_acme'::regnamespace"
    assert query(within)[0][0] >= 4  # that there are any at all, or this shows nothing


def test_every_table_has_a_primary_key() -> None:
    without = """
        SELECT oid::regclass::text FROM pg_class
        WHERE relkind IN ('r', 'p')
            AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
            AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = pg_class.oid AND contype = 'p')
    """
    assert query(without) == []


def test_every_primary_key_that_counts_is_a_bigint() -> None:
    narrow = """
        SELECT table_schema, table_name FROM information_schema.columns
        WHERE is_identity = 'YES' AND data_type <> 'bigint'
            AND table_name NOT LIKE 'auth\\_%' AND table_name NOT LIKE 'django\\_%'
    """
    assert query(narrow) == []


def test_every_function_that_is_called_pins_its_search_path() -> None:
    loose = """
        SELECT proname FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
        WHERE pronamespace = 'org_acme'::regnamespace AND lanname = 'plpgsql'
            AND prorettype <> 'trigger'::regtype
            AND provolatile <> 'i'  -- which reads no table
            AND NOT coalesce(array_to_string(proconfig, ' '), '') LIKE '%search_path=org_acme%'
    """
    assert query(loose) == []


def test_migrating_again_changes_nothing() -> None:
    before = contents()
    assert commands.run("migrate_schemas").returncode == 0
    assert contents() == before


# --- Within this process ----------------------------------------------------------------------------------------------


def test_provisioning_leaves_the_connection_on_public() -> None:
    organization = provision_organization(
        slug="new-one", name="  New  ", admin_username="boss", admin_password=PASSWORD
    )
    assert (organization.name, organization.status) == ("New", "active")
    assert connection.schema_name == "public"  # type: ignore[attr-defined]
    with pytest.raises(OrganizationExists):
        provision_organization(slug="new-one", name="New", admin_username="boss", admin_password=PASSWORD)
    assert connection.schema_name == "public"  # type: ignore[attr-defined]
    assert suspend_organization(slug="new-one").status == "suspended"
    assert activate_organization(slug="new-one").status == "active"
