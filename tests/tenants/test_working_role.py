"""The role that web processes and workers sign in as: what the database refuses it, and that it can do all its work."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from unittest.mock import patch

import psycopg2
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django_tenants.utils import tenant_context
from psycopg2 import errors

from recharge.models import GatewaySettings, OperatorSettings, Recharge
from tenants.checks import pooler, two_roles
from tenants.models import Organization as OrganizationRow
from tenants.working_role import GROUP, grant_rights, owns_the_tables, tables_named
from tests.support import commands
from tests.support.server import ROOT, working_environment, working_url
from tests.support.world import PASSWORD, Organization, World, give_credit

pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def working() -> Iterator[psycopg2.extensions.cursor]:
    """A session as a web process has it, each statement for itself."""
    with closing(psycopg2.connect(working_url())) as opened:
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute("SET search_path = org_acme, public")
            yield cursor


def refused(cursor: psycopg2.extensions.cursor, statement: str) -> bool:
    try:
        cursor.execute(statement)
    except errors.InsufficientPrivilege:
        return True
    return False


def test_it_can_neither_forge_an_approval_nor_rewrite_what_was_decided(
    acme: Organization, working: psycopg2.extensions.cursor
) -> None:
    give_credit(acme.row, acme.member.id, 50_000)
    acme.member.sell()
    seller = acme.member.id
    for statement in (
        f"UPDATE credit_account SET balance = balance + 1000000 WHERE seller_id = {seller}",
        "INSERT INTO credit_entry (id, seller_id, number, kind, amount, balance_after, reference, created_at) "
        f"VALUES (gen_random_uuid(), {seller}, 99, 'credit', 1000000, 1000000, gen_random_uuid(), now())",
        f"SELECT ledger_post({acme.row.pk}, {seller}, 'credit', 1000000, gen_random_uuid())",
        f"SELECT ledger_post_many({acme.row.pk}, {seller}, 'credit', '{{1000000}}', ARRAY[gen_random_uuid()])",
        "UPDATE credit_creditrequest SET amount = 1000000",
        "UPDATE credit_creditrequest SET status = 'rejected', decided_by = 'nobody'",
        "DELETE FROM credit_creditrequest",
        "UPDATE recharge_recharge SET amount = 1",
        "UPDATE recharge_recharge SET status = 'failed', failure = 'x'",
        "DELETE FROM recharge_attempt",
        "UPDATE credit_entry SET amount = 1",
        "DELETE FROM credit_auditrecord",
        "INSERT INTO credit_auditrecord (at, actor, address, action, object, request_id) "
        "VALUES (now(), 'owner', '', 'forged', '', '')",
        "DELETE FROM public.tenants_auditrecord",
        "UPDATE credit_accessepoch SET epoch = 0",
        "SELECT setval('credit_auditrecord_id_seq', 1)",
        "SELECT setval('public.tenants_auditrecord_id_seq', 9223372036854775807)",
        "SELECT setval('recharge_attempt_id_seq', 1)",
    ):
        assert refused(working, statement), statement


def test_it_can_t_change_how_anything_is_made(working: psycopg2.extensions.cursor) -> None:
    for statement in (
        "ALTER TABLE credit_entry DISABLE TRIGGER ALL",
        "ALTER TABLE credit_account DROP CONSTRAINT account_balance_not_negative",
        "DROP TABLE credit_entry",
        "TRUNCATE credit_entry",
        "CREATE TABLE org_acme.mine (id int)",
        "CREATE OR REPLACE FUNCTION org_acme.seller_lock(p_organization_id bigint, p_seller_id bigint) RETURNS void "
        "LANGUAGE sql AS 'SELECT NULL::void'",
        "DROP FUNCTION org_acme.audit_write",
        "CREATE SCHEMA mine",
        "SET session_replication_role = replica",
        "SET ROLE recharge",
        "UPDATE django_migrations SET name = name",
        "DELETE FROM installed_functions",
    ):
        assert refused(working, statement), statement


def test_a_table_of_its_session_does_not_stand_in_for_the_organization_s(
    acme: Organization, working: psycopg2.extensions.cursor
) -> None:
    """What runs with the owner's rights looks where it was told to when it was installed."""
    working.execute("CREATE TEMP TABLE credit_account AS SELECT * FROM org_acme.credit_account")
    working.execute("UPDATE pg_temp.credit_account SET balance = 1000000")
    working.execute(
        "SELECT outcome FROM recharge_sell(%s, %s, 'k', '+989121234567', 'mci', 5000, false)",
        [acme.row.pk, acme.member.id],
    )
    assert working.fetchone() == ("insufficient_credit",)


def test_it_neither_places_sellers_nor_switches_limits_off_beside_the_functions(
    acme: Organization, working: psycopg2.extensions.cursor
) -> None:
    """Not with a temporary table either that tells whoever asks that the tables are its own."""
    limit = "SELECT settled FROM recharge_limits_set(NULL, %s, NULL, NULL, NULL, NULL, NULL)"
    working.execute(limit, [5000])
    working.execute(
        "CREATE TEMP TABLE pg_class AS SELECT named.oid::regclass::oid AS oid, current_user::regrole::oid AS relowner"
        " FROM (VALUES ('org_acme.credit_seller'), ('org_acme.recharge_settings')) AS named (oid)"
    )
    for statement in (
        f"UPDATE credit_seller SET ancestors = ARRAY[id] WHERE id = {acme.member.id}",
        "UPDATE recharge_settings SET has_limits = false",
        "UPDATE recharge_settings SET has_commissions = true",
        "DELETE FROM recharge_settings",
        "TRUNCATE recharge_settings",
    ):
        assert refused(working, statement), statement
    working.execute("UPDATE recharge_settings SET duplicate_window = 5")
    working.execute(limit, [None])
    working.execute("SELECT has_limits FROM recharge_settings")
    assert working.fetchone() == (False,)


def test_each_function_with_the_owner_s_rights_is_pinned_to_its_schema() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pronamespace::regnamespace::text, proname::text, proconfig FROM pg_proc"
            " WHERE prosecdef AND pronamespace::regnamespace::text IN ('org_acme', 'public')"
        )
        found = cursor.fetchall()
    assert {name for _, name, _ in found} >= {"recharge_sell", "credit_request_decide", "audit_write"}
    assert not {name for _, name, _ in found} & {"ledger_post", "ledger_post_many"}
    for schema, name, pinned in found:
        assert f"search_path={schema}, pg_temp" in pinned, name


def test_every_table_is_guarded_or_written_on_purpose() -> None:
    """A new table of an organization is one of these; whoever adds it decides."""
    written = {
        "credit_alert", "credit_alertmessage", "credit_alertpreference", "credit_alertsettings",
        "credit_policy", "credit_seller", "credit_webhookattempt", "credit_webhookendpoint", "credit_webhookmessage",
        "recharge_bulkbatch", "recharge_gatewaysettings", "recharge_lettinggo", "recharge_operatorsettings",
        "recharge_settings",
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname::text, has_table_privilege(%s, pg_class.oid, 'UPDATE') FROM pg_class"
            " WHERE relnamespace = 'org_acme'::regnamespace AND relkind IN ('r', 'p')",
            [GROUP],
        )
        may_write = dict(cursor.fetchall())
    assert {table for table, may in may_write.items() if may} == written
    assert set(tables_named("org_acme", "guarded_tables")) == {table for table, may in may_write.items() if not may} - {
        "django_migrations",
        "installed_functions",
    }


def test_what_numbers_the_rows_of_a_table_is_guarded_as_the_table_is() -> None:
    """Who sets it back leaves an organization in which nothing can be recorded, and so nothing done."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sequence.relname::text, has_sequence_privilege(%s, sequence.oid, 'UPDATE'),"
            " has_table_privilege(%s, owned.refobjid, 'UPDATE')"
            " FROM pg_class AS sequence INNER JOIN pg_depend AS owned ON owned.objid = sequence.oid"
            " AND owned.classid = 'pg_class'::regclass AND owned.refclassid = 'pg_class'::regclass"
            " WHERE sequence.relnamespace IN ('org_acme'::regnamespace, 'public'::regnamespace)"
            " AND sequence.relkind = 'S'",
            [GROUP, GROUP],
        )
        sequences = {name: (may_set, may_write) for name, may_set, may_write in cursor.fetchall()}
    assert {"credit_auditrecord_id_seq", "tenants_auditrecord_id_seq", "credit_seller_id_seq"} <= sequences.keys()
    assert {name for name, (may_set, may_write) in sequences.items() if may_set != may_write} == set()


def test_a_worker_of_this_role_delivers_and_refunds(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 50_000)
    with tenant_context(acme.row):
        gateway = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        OperatorSettings.objects.create(operator="mci", gateway=gateway)
    acme.member.sell(5000, phone_number="09121234500")
    acme.member.sell(5000, phone_number="09121234510")
    done = commands.run("deliver", "--once", environment=working_environment())
    assert done.returncode == 0, done.stderr
    with tenant_context(acme.row):
        assert sorted(Recharge.objects.values_list("status", flat=True)) == ["failed", "succeeded"]
    assert acme.member.balance() == 45_000


def test_an_organization_is_provisioned_by_the_owner_in_a_web_process(world: World) -> None:
    body = {"slug": "made-here", "name": "Made", "admin": {"username": "boss", "password": PASSWORD}}
    assert world.platform_admin.client.post("/organizations", body).status == 201
    row = OrganizationRow.objects.get(slug="made-here")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableowner, has_schema_privilege(%s, schemaname, 'USAGE') FROM pg_tables"
            " WHERE schemaname = %s AND tablename = 'credit_entry'",
            [GROUP, row.schema_name],
        )
        assert cursor.fetchone() == ("recharge", True)


def test_the_command_makes_the_role_and_its_rights(world: World) -> None:
    """The tests' own role may not make roles; then the command says what a superuser is to do."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA org_globex FROM {GROUP}")
        assert not _may_read("org_globex.credit_seller")
        call_command("grant_rights")
        assert _may_read("org_globex.credit_seller")
    done = commands.run("grant_rights", "--create-role", "somebody", environment={"RECHARGE_ROLE_PASSWORD": PASSWORD})
    assert done.returncode == 1
    assert f"CREATE ROLE recharge_web LOGIN PASSWORD '…' IN ROLE {GROUP};" in done.stderr
    assert commands.run("grant_rights", "--create-role", "recharge").returncode == 1


def _may_read(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege(%s, %s, 'SELECT')", [GROUP, table])
        return bool(cursor.fetchone()[0])


def test_without_the_group_nothing_is_granted_and_one_role_does_everything() -> None:
    with patch("tenants.working_role.GROUP", "nobody_has_made_it"), transaction.atomic():
        assert not grant_rights("org_acme")
    assert owns_the_tables()
    assert settings.OWNER_DATABASE is None  # this process


def test_the_deployment_check_says_that_one_role_does_everything() -> None:
    assert [one.id for one in two_roles()] == ["recharge.W001"]
    done = commands.run("check", "--deploy", environment=working_environment())
    assert "recharge.W001" not in done.stderr


def test_the_check_of_the_database_signs_in_by_each_address() -> None:
    right = working_environment()
    asked = ("check", "--deploy", "--database", "default")
    done = commands.run(*asked, environment=right)
    assert (done.returncode, "recharge.E001" in done.stderr) == (0, False), done.stderr
    nowhere = "postgres://nobody:secret@127.0.0.1:1/nothing"
    for name in ("DATABASE_URL", "OWNER_DATABASE_URL", "DIRECT_DATABASE_URL", "REPLICA_DATABASE_URL"):
        done = commands.run(*asked, environment=right | {name: nowhere})
        assert done.returncode == 1
        (said,) = [line for line in done.stderr.splitlines() if "recharge.E001" in line]
        assert f"{name} does not lead to a database" in said
        assert "secret" not in done.stderr


def test_the_check_says_that_there_seems_to_be_a_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASE_POOLER", "")
    monkeypatch.setattr(settings, "DIRECT_DATABASE", None)
    assert pooler() == []
    monkeypatch.setattr(settings, "DIRECT_DATABASE", settings.DATABASES["default"])
    assert [one.id for one in pooler()] == ["recharge.W003"]
    monkeypatch.setattr(settings, "DATABASE_POOLER", "transaction")
    assert pooler() == []


def test_on_a_cluster_the_check_names_what_helps_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lets no two roles write in one transaction."""
    monkeypatch.setattr(settings, "DATABASE_CLUSTER", "citus")
    (warning,) = two_roles()
    assert warning.hint is not None
    assert "roots" in warning.hint
    assert "grant_rights" not in warning.hint


def test_a_process_that_does_not_know_the_owner_makes_no_organization() -> None:
    environment = working_environment()
    environment["DATABASE_URL"], environment["OWNER_DATABASE_URL"] = environment["DATABASE_URL"], ""
    script = (
        "import django; django.setup()\n"
        "from shared.errors import PermissionDenied\n"
        "from tenants.services import provision_organization\n"
        "try:\n"
        "    provision_organization(slug='not-here', name='x', admin_username='boss', admin_password='an odd one')\n"
        "except PermissionDenied as refused:\n"
        "    print(refused.detail)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "manage.py create_organization" in done.stdout, done.stderr
    assert not OrganizationRow.objects.filter(slug="not-here").exists()
