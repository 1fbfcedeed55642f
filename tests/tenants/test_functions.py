"""Functions, triggers and types are installed from their files, and a schema that has others is found."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django_tenants.utils import schema_context, tenant_context

from credit.models import Account
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from tenants import functions, readiness
from tenants.functions import FunctionsInUse, install_functions
from tenants.models import Organization as OrganizationRow
from tenants.schemas import CanNotUpdate, Condition, states_of, update_schema
from tenants.statements import statements_of
from tenants.working_role import as_owner
from tests.support import commands
from tests.support.schemas import provision, run_sql
from tests.support.waiting import wait_until
from tests.support.world import World, database_url, give_credit, make_seller

ACME = "org_acme"


def condition_of(schema: str = ACME) -> Condition:
    return states_of([schema])[schema].condition


def reconciled(slug: str) -> tuple[int, set[str]]:
    """The command's exit status, and the names of the faults that it finds in one organization."""
    done = commands.run("reconcile", "--json")
    return done.returncode, {fault["fault"] for fault in json.loads(done.stdout)["organizations"][slug]}


@pytest.fixture
def as_installed() -> Iterator[None]:
    """Afterwards acme has what the files say."""
    yield
    functions._release.cache_clear()
    update_schema(ACME, verbosity=0)
    assert condition_of() is Condition.CURRENT


@pytest.fixture
def files(as_installed: None) -> Iterator[Callable[[Callable[[str], str]], None]]:
    """Makes this process believe that the tenant apps' files say something else."""
    real = functions._statements

    def say(change: Callable[[str], str]) -> None:
        changed = [one for statement in real(False) for one in statements_of(change(statement))]
        functions._statements = lambda is_public: real(True) if is_public else changed
        functions._release.cache_clear()

    try:
        yield say
    finally:
        functions._statements = real
        functions._release.cache_clear()


def sell(row: OrganizationRow, seller_id: int, amount: int = 1000) -> int:
    """Sells, and gives the balance after it."""
    with tenant_context(row):
        sold = sell_recharge(
            organization=row,
            seller_id=seller_id,
            item=Item("+989121234567", "mci", amount, uuid.uuid4().hex),
        )
        return sold.row.balance_after


def settings_of(schema: str) -> set[str]:
    rows = run_sql(
        "SELECT DISTINCT setting FROM pg_proc, unnest(proconfig) AS setting"
        f" WHERE pronamespace = '{schema}'::regnamespace AND setting LIKE 'search_path%'"
    )
    return {setting for (setting,) in rows}


# --- What is found ----------------------------------------------------------------------------------------------------

CHANGES = {
    "a body": "CREATE OR REPLACE FUNCTION credit_entry_refuse_change() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN NULL; END'",
    "a body that is parsed": "CREATE OR REPLACE FUNCTION seller_lock(p_organization_id bigint, p_seller_id bigint)"
    " RETURNS void LANGUAGE sql VOLATILE BEGIN ATOMIC SELECT pg_advisory_xact_lock(1, 1); END",
    "a setting": "ALTER FUNCTION ledger_post SET lock_timeout = '1h'",
    "a setting gone": "ALTER FUNCTION ledger_post RESET ALL",
    "another schema's path": "ALTER FUNCTION ledger_post SET search_path = org_globex, pg_temp",
    "a wider path": "ALTER FUNCTION recharge_sell SET search_path = org_acme, org_globex",
    "a function that is called in another schema": "CREATE OR REPLACE FUNCTION"
    " seller_lock(p_organization_id bigint, p_seller_id bigint)"
    " RETURNS void LANGUAGE sql VOLATILE BEGIN ATOMIC SELECT org_globex.seller_lock($1, $2); END",
    "another's rights": "ALTER FUNCTION ledger_post SECURITY DEFINER",
    "an overloaded function": "CREATE FUNCTION uuid7_at(p_moment date) RETURNS uuid"
    " LANGUAGE sql RETURN gen_random_uuid()",
    "a trigger disabled": "ALTER TABLE credit_entry DISABLE TRIGGER credit_entry_append_only",
    "a trigger gone": "DROP TRIGGER recharge_transition ON recharge_recharge",
    "a trigger of another schema": "DROP TRIGGER credit_entry_append_only ON credit_entry;"
    " CREATE TRIGGER credit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_entry"
    " FOR EACH STATEMENT EXECUTE FUNCTION org_globex.credit_entry_refuse_change()",
    "a trigger more": "CREATE TRIGGER another BEFORE INSERT ON recharge_recharge"
    " FOR EACH ROW EXECUTE FUNCTION credit_entry_refuse_change()",
    "a type": "ALTER TYPE ledger_posting ADD ATTRIBUTE more text",
    # Made anew, since Citus alters none.
    "a foreign key that waits for the end": "DO $$ DECLARE key text := (SELECT conname FROM pg_constraint"
    " WHERE conrelid = 'credit_account'::regclass AND contype = 'f'); BEGIN"
    " EXECUTE format('ALTER TABLE credit_account DROP CONSTRAINT %I', key);"
    " EXECUTE format('ALTER TABLE credit_account"
    " ADD CONSTRAINT %I FOREIGN KEY (seller_id) REFERENCES credit_seller (id) DEFERRABLE', key); END $$",
}


@pytest.mark.breaks_the_books
@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_by_hand_is_found_and_installed_anew(what: str, as_installed: None) -> None:
    assert condition_of() is Condition.CURRENT
    run_sql(CHANGES[what], schema=ACME)
    assert condition_of() is Condition.DIFFERENT
    readiness.forget()
    reason = readiness.hindrance()
    assert reason is not None
    assert "acme" not in reason
    update_schema(ACME, verbosity=0)
    assert condition_of() is Condition.CURRENT
    readiness.forget()
    assert readiness.hindrance() is None


def test_reconcile_names_an_organization_whose_functions_differ_and_exits_with_1(as_installed: None) -> None:
    run_sql("ALTER FUNCTION ledger_post SET lock_timeout = '1h'", schema=ACME)
    assert reconciled("acme") == (1, {"functions_differ"})


def test_reconcile_names_the_public_schema_s_trigger_that_is_missing() -> None:
    run_sql("ALTER TABLE tenants_auditrecord DISABLE TRIGGER tenants_audit_append_only")
    try:
        done = commands.run("reconcile", "--json")
    finally:
        run_sql("ALTER TABLE tenants_auditrecord ENABLE TRIGGER tenants_audit_append_only")
    assert done.returncode == 1
    assert [fault["fault"] for fault in json.loads(done.stdout)["platform"]] == ["functions_differ"]


def test_a_schema_that_was_restored_under_another_name_is_found_and_sells_on_its_own_sellers_after_a_migration() -> (
    None
):
    north, nordic = provision("north"), provision("nordic")
    run_sql("DROP SCHEMA org_nordic CASCADE; ALTER SCHEMA org_north RENAME TO org_nordic; CREATE SCHEMA org_north")
    update_schema("org_north", verbosity=0)
    assert settings_of("org_nordic") == {"search_path=org_north, pg_temp"}
    theirs, ours = make_seller(north, "north", credit=50_000), make_seller(nordic, "nordic")
    assert theirs.pk == ours.pk
    assert condition_of("org_north") is Condition.CURRENT
    assert condition_of("org_nordic") is Condition.DIFFERENT
    assert "functions_differ" in reconciled("nordic")[1]
    readiness.forget()
    assert readiness.hindrance() is not None

    done = commands.run("migrate_schemas")
    assert done.returncode == 0, done.stderr
    assert settings_of("org_nordic") == {"search_path=org_nordic, pg_temp"}
    assert reconciled("nordic") == (0, set())
    give_credit(nordic, ours.pk, 7000)
    assert sell(nordic, ours.pk) == 6000
    with tenant_context(north):
        assert Account.objects.get(seller_id=theirs.pk).balance == 50_000
    readiness.forget()
    assert readiness.hindrance() is None


# --- What is installed ------------------------------------------------------------------------------------------------


def fingerprints() -> list[tuple]:
    return run_sql(
        "SELECT oid, xmin::text, proname FROM pg_proc WHERE pronamespace = 'org_acme'::regnamespace"
        " UNION ALL SELECT oid, xmin::text, tgname FROM pg_trigger WHERE tgrelid = 'org_acme.credit_entry'::regclass"
        " UNION ALL SELECT 0, xmin::text, 'row' FROM org_acme.installed_functions ORDER BY 3, 1"
    )


def test_every_function_pins_its_own_schema_and_nothing_else() -> None:
    for schema in ("org_acme", "org_globex"):
        assert settings_of(schema) == {f"search_path={schema}, pg_temp"}


def test_migrating_where_nothing_is_to_be_done_touches_nothing() -> None:
    before = fingerprints()
    done = commands.run("migrate_schemas")
    assert (done.returncode, done.stderr) == (0, "")
    assert fingerprints() == before


def test_an_edited_file_is_installed_and_the_function_stays_the_one_that_others_call(
    files: Callable[[Callable[[str], str]], None],
) -> None:
    # (Without what another test has left beside them until the next installation.)
    before = {name: oid for oid, _, name in fingerprints() if not name.endswith("_former")}
    files(lambda text: text.replace("'3s'", "'4s'"))
    assert condition_of() is Condition.BEHIND
    call_command("migrate_schemas", schema_name=ACME, verbosity=0)
    assert condition_of() is Condition.CURRENT
    assert run_sql("SELECT proconfig::text FROM pg_proc WHERE oid = 'org_acme.ledger_post'::regproc") == [
        ('{"search_path=org_acme, pg_temp",lock_timeout=4s}',)
    ]
    assert {name: oid for oid, _, name in fingerprints()} == before


def test_a_function_with_another_result_or_other_arguments_replaces_the_one_before(
    files: Callable[[Callable[[str], str]], None], world: World
) -> None:
    def change(text: str) -> str:
        text = text.replace("FUNCTION seller_lock(p_organization_id bigint", "FUNCTION seller_lock(p_of bigint")
        text = text.replace("p_organization_id & 2147483647", "p_of & 2147483647")
        text = text.replace(
            "posted boolean, balance bigint, number bigint", "posted boolean, balance bigint, number int"
        )
        text = text.replace(
            "recharge_next_due() RETURNS timestamptz", "recharge_next_due(p_more int DEFAULT 1) RETURNS date"
        )
        return text.replace(
            "uuid7_floor(p_moment timestamptz)", "uuid7_floor(p_moment timestamptz, p_more int DEFAULT 0)"
        )

    give_credit(world.acme.row, world.acme.member.id, 10_000)
    files(change)
    update_schema(ACME, verbosity=0)
    assert condition_of() is Condition.CURRENT
    assert sell(world.acme.row, world.acme.member.id) == 9000
    assert run_sql("SELECT count(*) FROM pg_proc WHERE oid::regproc::text = 'org_acme.uuid7_floor'") == [(1,)]


def test_what_the_files_no_longer_have_is_dropped(files: Callable[[Callable[[str], str]], None]) -> None:
    there = "SELECT to_regproc('org_acme.webhook_purge') IS NULL, to_regtype('org_acme.more') IS NULL"
    files(lambda text: "CREATE TYPE more AS (a int)" if "FUNCTION webhook_purge" in text else text)
    update_schema(ACME, verbosity=0)
    assert run_sql(there) == [(True, False)]


def test_the_transitions_are_there_once_however_often_they_are_installed(
    files: Callable[[Callable[[str], str]], None],
) -> None:
    before = run_sql("SELECT id, old, new FROM org_acme.recharge_transition ORDER BY id")
    for wait in ("'5s'", "'6s'"):
        files(lambda text, wait=wait: text.replace("'3s'", wait))
        update_schema(ACME, verbosity=0)
    assert run_sql("SELECT id, old, new FROM org_acme.recharge_transition ORDER BY id") == before


def test_a_type_in_which_data_are_kept_is_not_dropped(files: Callable[[Callable[[str], str]], None]) -> None:
    run_sql("CREATE TABLE kept (terms recharge_terms)", schema=ACME)
    try:
        files(lambda text: text.replace("gateway text, delivered boolean", "delivered boolean, gateway text"))
        with pytest.raises(CanNotUpdate, match="kept"):
            update_schema(ACME, verbosity=0)
        with pytest.raises(FunctionsInUse), schema_context(ACME), transaction.atomic():
            install_functions(ACME)
        assert condition_of() is Condition.BEHIND, "nothing was done"
    finally:
        run_sql("DROP TABLE kept", schema=ACME)


def test_an_installation_without_a_record_of_its_functions_gets_them(as_installed: None) -> None:
    """As the first releases left it: functions from the migrations, which pin the public schema too."""
    run_sql(
        "DROP TABLE installed_functions; ALTER FUNCTION ledger_post SET search_path = org_acme, public", schema=ACME
    )
    assert condition_of() is Condition.BEHIND
    done = commands.run("migrate_schemas")
    assert (done.returncode, done.stderr) == (0, "")
    assert settings_of(ACME) == {"search_path=org_acme, pg_temp"}
    assert condition_of() is Condition.CURRENT


def test_functions_are_installed_after_a_migration_that_changes_what_they_name(as_installed: None) -> None:
    """PostgreSQL refuses to change a column that a parsed body names."""
    with schema_context(ACME), transaction.atomic(), connection.cursor() as cursor:
        functions.forget_what_names_columns(ACME)
        cursor.execute('ALTER TABLE recharge_recharge ALTER COLUMN phone_number TYPE varchar(17) COLLATE "C"')
        cursor.execute('ALTER TABLE recharge_recharge ALTER COLUMN phone_number TYPE varchar(16) COLLATE "C"')
        install_functions(ACME)
    assert condition_of() is Condition.CURRENT


def test_sales_go_on_while_functions_are_installed(files: Callable[[Callable[[str], str]], None], world: World) -> None:
    member, neighbour = world.acme.member, world.acme.neighbour
    for seller in (member, neighbour):
        give_credit(world.acme.row, seller.id, 10_000_000)
    over, statuses = threading.Event(), []

    def keep_selling(seller) -> None:
        while not over.is_set():
            statuses.append(seller.sell(10).status)

    sellers = [threading.Thread(target=keep_selling, args=(seller,)) for seller in (member, neighbour)]
    for thread in sellers:
        thread.start()
    try:
        for wait in ("'5s'", "'6s'", "'7s'", "'8s'"):
            files(lambda text, wait=wait: text.replace("'3s'", wait))
            update_schema(ACME, verbosity=0)
    finally:
        over.set()
        for thread in sellers:
            thread.join()
    assert set(statuses) == {201}


def test_an_update_that_a_sale_has_in_its_way_is_repeated(as_installed: None) -> None:
    """The sale has a table that the update wants, and then wants what the update has."""
    run_sql("DROP TRIGGER credit_entry_append_only ON credit_entry", schema=ACME)
    with closing(psycopg2.connect(database_url())) as sale, sale.cursor() as cursor:
        cursor.execute("LOCK TABLE org_acme.credit_entry IN ROW EXCLUSIVE MODE")

        def is_wanted() -> bool:
            return run_sql(
                "SELECT true FROM pg_locks WHERE NOT granted AND relation = 'org_acme.credit_entry'::regclass"
            ) == [(True,)]

        def go_on() -> None:
            with as_owner():  # past a pooler, where the update waits
                wait_until(is_wanted, "the update wants the table")
            # PostgreSQL ends who began to wait first: the update, if this comes within a second.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('install functions: org_acme', 0))")
            sale.commit()

        going_on = threading.Thread(target=go_on)
        going_on.start()
        try:
            update_schema(ACME, verbosity=0)
        finally:
            going_on.join()
    assert condition_of() is Condition.CURRENT


# --- What is to be done -----------------------------------------------------------------------------------------------


def check(*arguments: str) -> tuple[int, list[str]]:
    """What ``migrate_schemas --check`` ends with, and says."""
    done = commands.run("migrate_schemas", "--check", *arguments)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


NOTHING = (0, ["Nothing is to be done (schemas looked at: 3)."])


def test_check_is_quiet_where_all_is_as_the_files_say() -> None:
    before = fingerprints()
    assert check() == NOTHING
    assert check("--schema", ACME) == (0, ["Nothing is to be done (schemas looked at: 1)."])
    assert check("--verbosity", "0") == (0, [])
    assert fingerprints() == before


@pytest.mark.breaks_the_books
@pytest.mark.parametrize("what", ["a body", "a body that is parsed", "a trigger disabled", "a type"])
def test_check_names_a_schema_in_which_something_was_edited_until_it_is_migrated(what: str, as_installed: None) -> None:
    run_sql(CHANGES[what], schema=ACME)
    edited = fingerprints()
    difference = (1, [f"{ACME}: functions, triggers or types are not those that were installed"])
    assert check() == difference
    assert fingerprints() == edited, "looking changes nothing"
    assert check("--schema", "org_globex")[0] == 0

    assert commands.run("migrate_schemas").returncode == 0
    installed = fingerprints()
    assert check() == NOTHING
    assert commands.run("migrate_schemas").returncode == 0
    assert fingerprints() == installed, "again changes nothing"


def test_check_names_an_edited_file_and_the_schemas_that_lack_it(
    files: Callable[[Callable[[str], str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    files(lambda text: text.replace("'3s'", "'4s'"))
    with pytest.raises(SystemExit, match="1"):
        call_command("migrate_schemas", check_unapplied=True)
    other = "the functions are those of another release"
    assert capsys.readouterr().out.splitlines() == [f"{ACME}: {other}", f"org_globex: {other}"]
    call_command("migrate_schemas", schema_name=ACME, verbosity=0)
    with pytest.raises(SystemExit, match="1"):
        call_command("migrate_schemas", check_unapplied=True)
    assert capsys.readouterr().out.splitlines() == [f"org_globex: {other}"]


@pytest.mark.parametrize(("schema", "app"), [(ACME, "recharge"), ("public", "tenants")])
def test_check_names_migrations_that_are_to_be_applied(schema: str, app: str) -> None:
    rows = run_sql(f"DELETE FROM {schema}.django_migrations WHERE app = '{app}' RETURNING name")
    try:
        status, (line,) = check()
    finally:
        for (name,) in rows:
            run_sql(f"INSERT INTO {schema}.django_migrations (app, name, applied) VALUES ('{app}', '{name}', now())")
    assert status == 1
    assert line.startswith(f"{schema}: migrations are to be applied: {app}.")
    assert check() == NOTHING


def test_other_storage_settings_are_named_and_keep_nobody_out(as_installed: None) -> None:
    run_sql("ALTER TABLE credit_account SET (fillfactor = 90)", schema=ACME)
    assert condition_of() is Condition.UNTUNED
    assert check() == (1, [f"{ACME}: the tables' storage settings are not those that were installed"])
    readiness.forget()
    assert readiness.hindrance() is None
    assert reconciled("acme") == (0, set())
    assert commands.run("migrate_schemas").returncode == 0
    assert check() == NOTHING
    fill = "SELECT reloptions::text FROM pg_class WHERE oid = 'org_acme.credit_account'::regclass"
    assert "fillfactor=50" in run_sql(fill)[0][0]


def test_check_says_that_the_public_schema_has_no_tables_yet(world: World) -> None:
    run_sql("ALTER TABLE public.django_migrations RENAME TO moved; ALTER TABLE tenants_organization RENAME TO gone")
    try:
        status, (line,) = check()
    finally:
        run_sql("ALTER TABLE public.moved RENAME TO django_migrations; ALTER TABLE gone RENAME TO tenants_organization")
    assert (status, line) == (1, "public: the table django_migrations can't be read")


# --- Statements -------------------------------------------------------------------------------------------------------


def test_a_file_is_split_where_statements_end_and_nowhere_else() -> None:
    text = """
        -- A comment; with a semicolon.
        CREATE FUNCTION a() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'x;y'; END; $$;
        CREATE FUNCTION b() RETURNS int LANGUAGE sql BEGIN ATOMIC
            SELECT CASE WHEN true THEN 1 ELSE 2 END; -- one; two
            SELECT 1;
        END;
        /* ; */
        INSERT INTO c VALUES (';', "d;e"), ('it''s;');
        SELECT 1
    """
    found = statements_of(text)
    assert [one.split("(")[0] for one in found] == [
        "CREATE FUNCTION a",
        "CREATE FUNCTION b",
        "/* ; */\n        INSERT INTO c VALUES ",
        "SELECT 1",
    ]


def test_a_quick_look_writes_no_trigger_down(world: World) -> None:
    """That takes the longer, the more organizations there are."""

    def fingerprint(*, thorough: bool) -> str:
        cursor.execute(functions._CATALOGUE, {"schemas": [ACME], "public_functions": [], "with_bodies": thorough})
        return str(cursor.fetchone()[5])

    with transaction.atomic(), connection.cursor() as cursor:
        before = {thorough: fingerprint(thorough=thorough) for thorough in (False, True)}
        cursor.execute(
            "SELECT replace(replace(pg_get_triggerdef(oid), 'CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER'),"
            " ' EXECUTE', ' WHEN (true) EXECUTE') FROM pg_trigger"
            " WHERE tgname = 'credit_entry_append_only' AND tgrelid = %s::regclass",
            [f"{ACME}.credit_entry"],
        )
        cursor.execute(cursor.fetchone()[0])
        assert fingerprint(thorough=False) == before[False]
        assert fingerprint(thorough=True) != before[True]
        assert states_of([ACME], thorough=True)[ACME].condition is Condition.DIFFERENT
        transaction.set_rollback(True)
