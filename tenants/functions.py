"""Installs the SQL functions, triggers, types and storage settings of a schema from their files if it has others.

An app names its files (``sql_functions`` of its AppConfig); the tenant apps' belong to each organization's schema, the
others' to the public one. The files say CREATE; here it becomes CREATE OR REPLACE, statement by statement, in one
transaction, so that web processes of the release before go on selling: a function stays what it is to whoever calls it.
One that can't be replaced (its result or its arguments changed) stays under another name until the next installation,
for calls that have begun; what the files no longer have is dropped.

So a function that takes more than before gives the new arguments defaults, if processes of the release before are to go
on calling it until they are restarted; and one that functions of the release before call by its name stays in the files
for one release.

A row in the schema (``installed_functions``) keeps what was installed and how the catalogue looked right after. By the
first it is known what is to be installed anew, by the second what somebody changed by hand; see schemas.py.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from psycopg2 import errorcodes, sql

from shared.sick import sqlstate_of
from tenants.memory import bound_memory
from tenants.statements import statements_of

TABLE = "installed_functions"

MIGRATIONS = "django_migrations"
"""The table of the migrations that were applied, the first that a schema has."""

BATCH = 200
"""Schemas that one statement looks at: each takes some locks, of which PostgreSQL has room for some thousands."""

FORMER = "_former"
"""The end of the name of a function whose place another one has taken."""

BATCH_WITHOUT_BODIES = 2000
"""The same where nothing is locked: each such statement reads all of the catalogue."""

LONGEST_WAIT = "2s"
"""For tables that a migration has locked, when schemas are looked at."""

PUBLIC = "public"

_CATALOGUE = (Path(__file__).parent / "sql" / "catalogue.sql").read_text()

_CREATE = re.compile(r"CREATE (?P<kind>FUNCTION|TYPE|TRIGGER) (?P<name>\w+)")

_TABLE = """
    CREATE TABLE IF NOT EXISTS {} (
        id integer PRIMARY KEY CHECK (id = 1),
        release text NOT NULL,      -- of the files
        triggers text NOT NULL,     -- of the files' triggers
        server integer NOT NULL,    -- PostgreSQL's major version, which decides how a parsed body looks
        catalogue text[] NOT NULL   -- four fingerprints: see sql/catalogue.sql
    )
"""

# What may go with a function or a type that is dropped: nothing that holds data.
_DEPENDENT = """
    WITH RECURSIVE dependent AS (
        SELECT classid, objid FROM pg_depend
        WHERE refclassid = %(class)s::regclass AND refobjid = %(object)s AND deptype IN ('n', 'a', 'i')
        UNION
        SELECT pg_depend.classid, pg_depend.objid
        FROM dependent INNER JOIN pg_depend
            ON pg_depend.refclassid = dependent.classid AND pg_depend.refobjid = dependent.objid
        WHERE pg_depend.deptype IN ('n', 'a', 'i')
    )
    SELECT pg_describe_object(classid, objid, 0) FROM dependent
    WHERE classid NOT IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_trigger'::regclass)
        AND NOT (
            classid = 'pg_class'::regclass
            AND EXISTS (SELECT FROM pg_class WHERE pg_class.oid = objid AND relkind = 'c')
        )
    LIMIT 1
"""

# What a schema has, by what depends on it: for that there is an index; for the schema of a table or a function is none.
_OBJECTS = """
    SELECT classid, objid FROM pg_depend
    WHERE refclassid = 'pg_namespace'::regclass AND refobjid = %s::regnamespace AND deptype = 'n'
"""

_ATTRIBUTES = """
    SELECT pg_type.oid, array_agg(attname || ' ' || format_type(atttypid, atttypmod) ORDER BY attnum)
    FROM pg_type
    INNER JOIN pg_attribute ON attrelid = typrelid AND NOT attisdropped
    WHERE typname = %s AND typnamespace = %s::regnamespace
    GROUP BY pg_type.oid
"""


class FunctionsInUse(Exception):
    """A function or a type can't be replaced: something that holds data depends on it."""


@dataclass(frozen=True, slots=True)
class Release:
    """What the files of this code make of one kind of schema."""

    statements: tuple[str, ...]
    hash: str
    trigger_hash: str
    functions: frozenset[str]
    types: frozenset[str]
    triggers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the database's catalogue says of a schema; see sql/catalogue.sql."""

    tables: frozenset[str]
    functions: frozenset[str]
    lines: str
    """A fingerprint of the functions with their settings and texts, the triggers and the types."""
    bodies: str | None
    """The same with what PostgreSQL has parsed already, which each major version may write in another way. None: it
    was not asked for, or a table was locked for too long."""
    triggers: str | None
    """The same of the triggers alone."""
    storage: str
    """A fingerprint of the tables' storage settings."""
    elsewhere: tuple[str, ...]
    """What works on another schema."""


def release_of(schema: str) -> Release:
    """What the files make of this schema."""
    return _release(schema == PUBLIC)


def _statements(is_public: bool) -> list[str]:
    tenant_apps = [apps.get_app_config(name) for name in settings.TENANT_APPS]
    configs = [config for config in apps.get_app_configs() if config not in tenant_apps] if is_public else tenant_apps
    return [
        statement
        for config in configs
        for name in getattr(config, "sql_functions", ())
        for statement in statements_of((Path(config.path) / "sql" / name).read_text())
    ]


@cache
def _release(is_public: bool) -> Release:
    statements = _statements(is_public)
    made = [(match["kind"], match["name"]) for one in statements if (match := _CREATE.match(one))]
    assert len(set(made)) == len(made), "two of one name: an overloaded function can't be told from an older one"
    return Release(
        tuple(statements),
        _hash(statements),
        _hash(one for one in statements if one.startswith("CREATE TRIGGER")),
        frozenset(name for kind, name in made if kind == "FUNCTION"),
        frozenset(name for kind, name in made if kind == "TYPE"),
        frozenset(name for kind, name in made if kind == "TRIGGER"),
    )


def _hash(statements: Iterable[str]) -> str:
    return hashlib.sha256(";\n".join(statements).encode()).hexdigest()


def catalogue_of(schemas: Sequence[str], *, with_bodies: bool = True) -> dict[str, Catalogue]:
    """What the catalogue says of those of these schemas that are there. One statement for every ``BATCH`` of them, or
    ``BATCH_WITHOUT_BODIES``.

    Writing down the parsed bodies takes longer than all the rest.
    """
    found: dict[str, Catalogue] = {}
    size = BATCH if with_bodies else BATCH_WITHOUT_BODIES
    for first in range(0, len(schemas), size):
        batch = schemas[first : first + size]
        if connection.in_atomic_block:
            found |= _catalogue_of(batch, with_bodies=with_bodies)
            continue
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT set_config('lock_timeout', %s, true), set_config('jit', 'off', true)", [LONGEST_WAIT]
                    )
                found |= _catalogue_of(batch, with_bodies=with_bodies)
        except OperationalError as error:
            if sqlstate_of(error) != errorcodes.LOCK_NOT_AVAILABLE:
                raise
            found |= _catalogue_of(batch, with_bodies=False)  # one of them is being migrated
        bound_memory(*batch)
    return found


def differs_at(node: Any, schema: str) -> bool:
    """Whether the functions, triggers and types of this schema are others at a node of the cluster (a connection of
    Django's) than at the coordinator. Bodies that are parsed are compared where both have one version of PostgreSQL."""
    is_one_version = node.connection.server_version // 10000 == server_version()
    here, there = (
        _catalogue_of([schema], with_bodies=is_one_version, server=server).get(schema) for server in (connection, node)
    )
    return there is None or here is None or (here.lines, here.bodies) != (there.lines, there.bodies)


def _catalogue_of(schemas: Sequence[str], *, with_bodies: bool, server: Any = connection) -> dict[str, Catalogue]:
    parameters: dict[str, Any] = {
        "schemas": list(schemas),
        "public_functions": sorted(release_of(PUBLIC).functions),
        "with_bodies": with_bodies,
    }
    with server.cursor() as cursor:
        cursor.execute(_CATALOGUE, parameters)
        return {
            name: Catalogue(
                tables=frozenset(tables),
                functions=frozenset(functions),
                lines=lines,
                bodies=bodies if with_bodies else None,
                triggers=triggers if with_bodies else None,
                storage=storage,
                elsewhere=tuple(elsewhere),
            )
            for name, tables, functions, lines, bodies, triggers, storage, elsewhere in cursor.fetchall()
        }


def server_version() -> int:
    """PostgreSQL's major version."""
    connection.ensure_connection()
    version: int = connection.connection.server_version // 10000
    return version


def install_functions(schema: str) -> None:
    """Makes the schema's functions, triggers and types what the files say. In a transaction of the caller's.

    Raises:
        FunctionsInUse: something that holds data depends on what can't be replaced.
    """
    assert connection.in_atomic_block
    release = release_of(schema)
    before = catalogue_of([schema])[schema]
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('search_path')")
        (path,) = cursor.fetchone()
        # What the functions pin by SET search_path FROM CURRENT: this schema and no other. A temporary table of the
        # session comes last, where it hides nothing.
        cursor.execute("SELECT set_config('search_path', quote_ident(%s) || ', pg_temp', true)", [schema])
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        # Half of the CPU that an installation takes. A new schema's functions are read when they are called, and were
        # read wherever they replaced others.
        if schema != PUBLIC and (TABLE not in before.tables or release.hash in _read):
            cursor.execute("SET LOCAL check_function_bodies = off")
        cursor.execute(_TABLE.format(TABLE))
        triggers_are_there = _has_triggers(cursor, release, before)
        if schema != PUBLIC:
            _drop_what_is_gone(cursor, schema, release)  # with what was kept as former at the last installation
        for statement in release.statements:
            match = _CREATE.match(statement)
            kind = match["kind"] if match else ""
            if kind == "FUNCTION":
                name = match["name"]  # type: ignore[index]
                if name in before.functions:
                    _replace_function(cursor, schema, name, statement)
                else:
                    cursor.execute(statement)
            elif kind == "TYPE":
                _create_type(cursor, schema, match["name"], statement)  # type: ignore[index]
            elif kind == "TRIGGER":
                # It waits for every sale on the table, and every sale for it: only if there is something new.
                if not triggers_are_there:
                    cursor.execute(statement.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1))
            else:
                cursor.execute(statement)
        after = catalogue_of([schema])[schema]
        cursor.execute(f"DELETE FROM {TABLE}")  # noqa: S608 - a constant
        cursor.execute(
            f"INSERT INTO {TABLE} (id, release, triggers, server, catalogue) VALUES (1, %s, %s, %s, %s)",  # noqa: S608
            [
                release.hash,
                release.trigger_hash,
                server_version(),
                [after.lines, after.bodies, after.triggers, after.storage],
            ],
        )
        cursor.execute("SELECT set_config('search_path', %s, true)", [path])
    if schema != PUBLIC and TABLE in before.tables:
        _read.add(release.hash)


_read: set[str] = set()
"""The hashes of releases whose functions PostgreSQL has read for this process."""


def forget_what_names_columns(schema: str) -> None:
    """Drops the triggers, and empties the functions whose bodies PostgreSQL has parsed, since it refuses to change the
    columns that they name. In the transaction that then installs them anew.

    The functions stay, since a sale that has begun before calls them after it.
    """
    assert connection.in_atomic_block
    release = release_of(schema)
    with connection.cursor() as cursor:
        _drop_triggers(cursor, schema, release.triggers)
        # To write a name as regproc does, PostgreSQL reads the functions of that name in all schemas.
        cursor.execute(
            f"""
            SELECT format(
                'CREATE OR REPLACE FUNCTION %%s(%%s) RETURNS %%s LANGUAGE plpgsql AS $$BEGIN RAISE ''empty''; END$$',
                quote_ident(nspname) || '.' || quote_ident(proname), pg_get_function_arguments(pg_proc.oid),
                pg_get_function_result(pg_proc.oid)
            )
            FROM ({_OBJECTS}) AS object
            INNER JOIN pg_proc ON classid = 'pg_proc'::regclass AND pg_proc.oid = objid
            INNER JOIN pg_namespace ON pg_namespace.oid = pronamespace
            WHERE prosqlbody IS NOT NULL AND (%s OR proname::text = ANY (%s))
            """,  # noqa: S608 - a constant
            [_quoted(schema), schema != PUBLIC, sorted(release.functions)],
        )
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)


def _drop_triggers(cursor: Any, schema: str, names: Collection[str], *, but_these: bool = False) -> None:
    """Drops the triggers of these names, or all but these."""
    cursor.execute(
        f"SELECT format('DROP TRIGGER %%I ON %%s', tgname, tgrelid::regclass) FROM ({_OBJECTS}) AS object"  # noqa: S608 - a constant
        " INNER JOIN pg_trigger ON classid = 'pg_class'::regclass AND tgrelid = objid"
        " WHERE NOT tgisinternal AND (tgname::text = ANY (%s)) <> %s",
        [_quoted(schema), sorted(names), but_these],
    )
    for (statement,) in cursor.fetchall():
        cursor.execute(statement)


def _has_triggers(cursor: Any, release: Release, before: Catalogue) -> bool:
    cursor.execute(f"SELECT triggers, server, catalogue[3] FROM {TABLE}")  # noqa: S608 - a constant
    found: tuple[str, int, str] | None = cursor.fetchone()
    return found == (release.trigger_hash, server_version(), before.triggers)


def _replace_function(cursor: Any, schema: str, name: str, statement: str) -> None:
    statement = statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
    before = _functions_named(cursor, schema, name)
    if len(before) > 1:  # one is a stranger, and the name does not say which
        _drop_each(cursor, before)
        before = set()
    # Not Django's savepoint: after a rollback django-tenants would set the search path anew.
    cursor.execute("SAVEPOINT installing")
    try:
        cursor.execute(statement)
    except DatabaseError as error:
        if sqlstate_of(error) != errorcodes.INVALID_FUNCTION_DEFINITION:
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT installing")
        _retire(cursor, before, name)
        cursor.execute(statement)
    cursor.execute("RELEASE SAVEPOINT installing")
    if len(_functions_named(cursor, schema, name)) > 1:
        _retire(cursor, before, name)  # it took other arguments


def _retire(cursor: Any, functions: Collection[int], name: str) -> None:
    """Keeps a function that another one takes the place of, under another name, until the next installation: calls that
    have begun go on in it."""
    for oid in functions:
        _check_dependents(cursor, "pg_proc", oid)
        cursor.execute("SELECT oid::regprocedure::text FROM pg_proc WHERE oid = %s", [oid])
        cursor.execute(f"ALTER FUNCTION {cursor.fetchone()[0]} RENAME TO {name}{FORMER}")


def _create_type(cursor: Any, schema: str, name: str, statement: str) -> None:
    cursor.execute(_ATTRIBUTES, [name, _quoted(schema)])
    there = cursor.fetchone()
    if there is None:
        cursor.execute(statement)
        return
    new = f"{name}_new"
    cursor.execute(statement.replace(name, new, 1))
    cursor.execute(_ATTRIBUTES, [new, _quoted(schema)])
    _, attributes = cursor.fetchone()
    before = there[1]
    if attributes[: len(before)] == before:
        cursor.execute(f"DROP TYPE {new}")
        # It stays the same to functions that run meanwhile.
        for added in attributes[len(before) :]:
            cursor.execute(f"ALTER TYPE {name} ADD ATTRIBUTE {added} CASCADE")
    else:
        _drop(cursor, "pg_type", there[0])
        cursor.execute(f"ALTER TYPE {new} RENAME TO {name}")


def _drop_what_is_gone(cursor: Any, schema: str, release: Release) -> None:
    _drop_triggers(cursor, schema, release.triggers, but_these=True)
    cursor.execute(
        f"SELECT oid FROM ({_OBJECTS}) AS object"  # noqa: S608 - a constant
        " INNER JOIN pg_proc ON classid = 'pg_proc'::regclass AND oid = objid WHERE proname::text <> ALL (%s)",
        [_quoted(schema), sorted(release.functions)],
    )
    _drop_each(cursor, {oid for (oid,) in cursor.fetchall()})
    cursor.execute(
        f"SELECT oid FROM ({_OBJECTS}) AS object"  # noqa: S608 - a constant
        " INNER JOIN pg_type ON classid = 'pg_type'::regclass AND oid = objid"
        " WHERE typtype = 'c' AND typname::text <> ALL (%s)",
        [_quoted(schema), sorted(release.types)],
    )
    for (oid,) in cursor.fetchall():
        _drop(cursor, "pg_type", oid)


def _functions_named(cursor: Any, schema: str, name: str) -> set[int]:
    cursor.execute(
        "SELECT oid FROM pg_proc WHERE pronamespace = %s::regnamespace AND proname = %s", [_quoted(schema), name]
    )
    return {oid for (oid,) in cursor.fetchall()}


def _drop_each(cursor: Any, functions: set[int]) -> None:
    for oid in sorted(functions):
        _drop(cursor, "pg_proc", oid)


def _drop(cursor: Any, of_class: str, oid: int) -> None:
    """Drops a function or a type with those that depend on it, which come after it in the files."""
    _check_dependents(cursor, of_class, oid)
    if of_class == "pg_proc":
        cursor.execute("SELECT oid::regprocedure::text FROM pg_proc WHERE oid = %s", [oid])
        what = "FUNCTION"
    else:
        cursor.execute("SELECT oid::regtype::text FROM pg_type WHERE oid = %s", [oid])
        what = "TYPE"
    if row := cursor.fetchone():  # else it went with another
        cursor.execute(f"DROP {what} {row[0]} CASCADE")


def _check_dependents(cursor: Any, of_class: str, oid: int) -> None:
    cursor.execute(_DEPENDENT, {"class": of_class, "object": oid})
    if found := cursor.fetchone():
        raise FunctionsInUse(f"{found[0]} depends on what is to be replaced.")


def _quoted(schema: str) -> str:
    return str(sql.Identifier(schema).as_string(connection.connection))
