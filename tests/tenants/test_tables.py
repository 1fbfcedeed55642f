"""A schema that is made of the files of tables is like one that was migrated, in all that the catalogue knows."""

import re
from collections.abc import Iterator

import pytest
from django.db import transaction

from tenants import tables
from tenants.schemas import make_tables_by_migrations, states_of, update_schema
from tenants.services import provision_organization
from tenants.working_role import as_owner
from tests.support.schemas import run_sql
from tests.support.table_files import texts

MIGRATED, MADE = "org_was_migrated", "org_was_made"

_RELATIONS = "FROM pg_class WHERE relnamespace = '{0}'::regnamespace"

CATALOGUE = {
    "relations": f"SELECT relname, relkind, relowner::regrole, relacl, reloptions, relpersistence, relreplident,"
    f" relrowsecurity, relhasindex, relhastriggers, relispartition, obj_description(oid, 'pg_class') {_RELATIONS}",
    "columns": "SELECT relname, row_number() OVER (PARTITION BY relname ORDER BY attnum), attname,"
    " format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attcollation::regcollation, attstorage,"
    # Debian's PostgreSQL 15 keeps a number of its own among the options.
    " attcompression, attstattarget, array_remove(attoptions, (SELECT option FROM unnest(attoptions) AS option"
    " WHERE option LIKE 'pg_attver=%')), attacl, pg_get_expr(adbin, adrelid),"
    " col_description(attrelid, attnum)"
    " FROM pg_class INNER JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped"
    " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
    " WHERE relnamespace = '{0}'::regnamespace AND relkind IN ('r', 'c')",
    "constraints": "SELECT conrelid::regclass, conname, contype, condeferrable, condeferred, convalidated,"
    " connoinherit, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')"
    " FROM pg_constraint WHERE connamespace = '{0}'::regnamespace",
    "indexes": "SELECT indrelid::regclass, pg_get_indexdef(indexrelid), indisunique, indisprimary, indisclustered,"
    " indisvalid, indisreplident, indimmediate"
    " FROM pg_index INNER JOIN pg_class ON pg_class.oid = indrelid WHERE relnamespace = '{0}'::regnamespace",
    "triggers": "SELECT pg_get_triggerdef(pg_trigger.oid), tgenabled FROM pg_trigger"
    " INNER JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = '{0}'::regnamespace AND NOT tgisinternal",
    "functions": "SELECT proname, pg_get_functiondef(oid), proowner::regrole, proacl, obj_description(oid, 'pg_proc')"
    " FROM pg_proc WHERE pronamespace = '{0}'::regnamespace",
    "types": "SELECT typname, typtype, typowner::regrole, typacl, obj_description(oid, 'pg_type')"
    " FROM pg_type WHERE typnamespace = '{0}'::regnamespace",
    "sequences": "SELECT relname, format_type(seqtypid, NULL), seqstart, seqincrement, seqmax, seqmin, seqcache,"
    " seqcycle, refobjid::regclass, refobjsubid, deptype, last_value"
    " FROM pg_class INNER JOIN pg_sequence ON seqrelid = pg_class.oid"
    " INNER JOIN pg_depend ON classid = 'pg_class'::regclass AND objid = seqrelid AND refclassid = 'pg_class'::regclass"
    " INNER JOIN pg_sequences ON schemaname = '{0}' AND sequencename = relname"
    " WHERE relnamespace = '{0}'::regnamespace",
    "the schema": "SELECT nspowner::regrole, nspacl, obj_description(oid, 'pg_namespace')"
    " FROM pg_namespace WHERE nspname = '{0}'",
    "default privileges": "SELECT defaclrole::regrole, defaclobjtype, defaclacl"
    " FROM pg_default_acl WHERE defaclnamespace = '{0}'::regnamespace",
    "rules and policies": "SELECT rulename, pg_get_ruledef(pg_rewrite.oid) FROM pg_rewrite"
    " INNER JOIN pg_class ON pg_class.oid = ev_class WHERE relnamespace = '{0}'::regnamespace"
    " UNION ALL SELECT polname, pg_get_expr(polqual, polrelid) FROM pg_policy"
    " INNER JOIN pg_class ON pg_class.oid = polrelid WHERE relnamespace = '{0}'::regnamespace",
    "extended statistics": "SELECT stxname, stxkind FROM pg_statistic_ext WHERE stxnamespace = '{0}'::regnamespace",
    "what was installed": "SELECT id, release, triggers, server, catalogue FROM {0}.installed_functions",
    "migrations": "SELECT id, app, name FROM {0}.django_migrations",
}
"""Of each, what a schema has; a sorted list of it is compared."""

_MAY_BE_EMPTY = {"default privileges", "rules and policies", "extended statistics"}


def _plain(value: object, schema: str) -> str:
    """As text, without the schema's name; and without casts and brackets, of which PostgreSQL writes others for an
    expression that it wrote itself, and they mean the same."""
    text = str(value).replace(f"{schema}.", "").replace(schema, "the schema")
    return re.sub(r"::[a-z ]+(\[\])?|[][()\s]", "", text)


def catalogue_of(schema: str) -> dict[str, list[str]]:
    return {
        what: sorted(_plain(row, schema) for row in run_sql(statement.format(schema)))
        for what, statement in CATALOGUE.items()
    } | {
        f"rows of {table}": sorted(_plain(row, schema) for row in run_sql(f"SELECT * FROM {schema}.{table}"))
        for (table,) in run_sql(f"SELECT relname {_RELATIONS.format(schema)} AND relkind = 'r'")
        if table not in ("django_migrations", "installed_functions")
    }


@pytest.fixture
def schemas(django_db_setup: None) -> Iterator[None]:
    """One that was migrated, and one that is made of the files, both brought up to date."""
    run_sql(f"CREATE SCHEMA {MIGRATED}; CREATE SCHEMA {MADE}")
    try:
        with as_owner():  # past a pooler
            with transaction.atomic():
                make_tables_by_migrations(MIGRATED, [f"{app}.{name}" for app, name in tables.all_migrations()])
            for schema in (MIGRATED, MADE):
                update_schema(schema, verbosity=0)
        yield
    finally:
        run_sql(f"DROP SCHEMA {MIGRATED} CASCADE; DROP SCHEMA {MADE} CASCADE")


def test_the_files_are_written() -> None:
    """If not: .venv/bin/python -m tests.support.write_tables"""
    with as_owner():
        written = texts()
    assert {path: path.read_text() for path in written} == written
    assert tables.are_written()


def test_it_is_like_one_that_was_migrated(schemas: None) -> None:
    migrated, made = catalogue_of(MIGRATED), catalogue_of(MADE)
    assert made.keys() == migrated.keys()
    for what, rows in migrated.items():
        assert made[what] == rows, what
        assert rows or what in _MAY_BE_EMPTY or what.startswith("rows of"), what
    for schema in (MIGRATED, MADE):
        assert states_of([schema], thorough=True)[schema].is_current


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("ALTER TABLE {0}.credit_entry ALTER COLUMN commission DROP DEFAULT", "columns"),
        ("ALTER TABLE {0}.credit_entry ALTER COLUMN hash SET NOT NULL", "columns"),
        ("ALTER TABLE {0}.credit_entry DROP CONSTRAINT entry_sign", "constraints"),
        ("DROP INDEX {0}.credit_accessepoch_subject_94de404d_like", "indexes"),
        ("ALTER TABLE {0}.credit_entry RESET (autovacuum_analyze_threshold)", "relations"),
        ("GRANT INSERT ON {0}.credit_entry TO recharge_working", "relations"),
        ("REVOKE USAGE ON SCHEMA {0} FROM recharge_working", "the schema"),
        ("COMMENT ON COLUMN {0}.credit_entry.hash IS 'x'", "columns"),
        ("DROP TABLE {0}.recharge_daysum CASCADE", "sequences"),  # of which Citus lets nothing else be changed
        ("DROP TRIGGER credit_entry_append_only ON {0}.credit_entry", "triggers"),
        ("GRANT EXECUTE ON FUNCTION {0}.entry_is_sound TO recharge_working", "functions"),
        ("INSERT INTO {0}.credit_policy (id) VALUES (1)", "rows of credit_policy"),
    ],
)
def test_a_difference_is_seen(change: str, what: str) -> None:
    before = catalogue_of("org_acme")
    with transaction.atomic():
        run_sql(change.format("org_acme"))
        after = catalogue_of("org_acme")
        transaction.set_rollback(True)
    assert what in [name for name in before if before[name] != after.get(name)]


def test_while_a_file_is_not_written_again_the_migrations_make_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    there = tables.texts_of_tables()
    older = {label: re.sub(r"up to \w+", "up to 0001_initial", text) for label, text in there.items()}
    monkeypatch.setattr(tables, "texts_of_tables", lambda: older)
    tables.are_written.cache_clear()
    try:
        assert not tables.are_written()
        provision_organization(
            slug="by-migrations", name="x", admin_username="boss", admin_password="an unusual password"
        )
    finally:
        monkeypatch.undo()
        tables.are_written.cache_clear()
    migrated, acme = catalogue_of("org_by_migrations"), catalogue_of("org_acme")
    assert migrated["columns"] == acme["columns"]
    assert states_of(["org_by_migrations"], thorough=True)["org_by_migrations"].is_current


EMPTY: dict[str, tuple[str, bool]] = {
    "nothing": ("", True),
    "a table of migrations": (
        "CREATE TABLE org_some.django_migrations (id bigint GENERATED BY DEFAULT AS IDENTITY)",
        True,
    ),
    "a migration": ("CREATE TABLE org_some.django_migrations AS SELECT 1 AS id", False),
    "a table": ("CREATE TABLE org_some.credit_seller (id bigint)", False),
    "a function": ("CREATE FUNCTION org_some.f() RETURNS integer RETURN 1", False),
    "a type": ("CREATE TYPE org_some.t AS (a integer)", False),
}


@pytest.mark.parametrize("what", EMPTY)
def test_only_a_schema_with_nothing_in_it_is_made_of_the_files(what: str) -> None:
    made, is_empty = EMPTY[what]
    assert not tables.is_empty("org_some")  # which is not there
    with transaction.atomic():
        run_sql(f"CREATE SCHEMA org_some; {made}")
        assert tables.is_empty("org_some") == is_empty
        transaction.set_rollback(True)
