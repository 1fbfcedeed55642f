"""Tells whether schemas have what this code works with, all in one look, and brings them up to date one by one. Runs on
the public schema.

A broken schema is named, and stops nothing of the others.
"""

import enum
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg2
from django.apps import apps
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django_tenants.migration_executors.base import run_migrations
from django_tenants.utils import schema_context
from psycopg2 import errorcodes, sql

from shared.sick import sqlstate_of
from tenants.functions import (
    BATCH,
    MIGRATIONS,
    PUBLIC,
    TABLE,
    Catalogue,
    FunctionsInUse,
    catalogue_of,
    forget_what_names_columns,
    install_functions,
    release_of,
    server_version,
)
from tenants.placing import gathered
from tenants.tables import all_migrations, are_written, is_empty, make_tables_of_files
from tenants.together import read_together
from tenants.working_role import grant_rights

LOCK_TIMEOUT = "5s"
"""The longest wait for the tables of a schema whose functions are installed; meanwhile its sales wait, too."""

TRIES = {errorcodes.LOCK_NOT_AVAILABLE: 4, errorcodes.DEADLOCK_DETECTED: 12}
"""To bring one schema up to date while sales hold its locks for too long, or take them in another order: that is found
out within a second or two."""

AT_ONCE = 4
"""Schemas that are brought up to date at the same time: most of the time each waits for the database or its disk."""

SCHEMAS_PER_CONNECTION = 50
"""That one connection brings up to date before it is closed. PostgreSQL keeps what it has read of each; and a new
connection reads the functions of all schemas anew, which with 1,000 takes 0.3 s of CPU."""

FEW = 50
"""Schemas that are looked at thoroughly without being asked to."""


class Condition(enum.Enum):
    CURRENT = "current"
    BEHIND = "behind"
    """Migrations are to be applied, or functions of this release to be installed."""
    DIFFERENT = "different"
    """Its functions are not what was installed, or work on another schema."""
    UNTUNED = "untuned"
    """Its tables have other storage settings than were installed. All of it works, if more slowly."""
    AHEAD = "ahead"
    """A later release has migrated it; nothing that this code knows is missing."""
    BROKEN = "broken"
    """It is gone, or tables or functions are: only half of it was restored."""


@dataclass(frozen=True, slots=True)
class State:
    """How a schema is, and in words what is wrong with it."""

    condition: Condition
    detail: str = ""

    @property
    def is_current(self) -> bool:
        return self.condition is Condition.CURRENT

    def describe(self) -> str:
        """What is not as this code wants it, for an operator."""
        return self.detail or "a later release has migrated it, and installed its functions"


class CanNotUpdate(Exception):
    """A schema can't be brought up to date; the text says why."""


class UnknownMigrations(Exception):
    """Migrations that this code does not have; the text names them."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a schema keeps of itself in rows."""

    migrations: frozenset[str]
    release: str
    server: int
    catalogue: tuple[str, ...]


@cache
def _newest_migrations() -> frozenset[str]:
    return frozenset(f"{app}.{name}" for app, name in MigrationLoader(None).graph.leaf_nodes())


@cache
def _known_migrations() -> frozenset[str]:
    return frozenset(f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations)


def tables_of(schema: str) -> frozenset[str]:
    """The tables that this code works with in this schema."""
    return _tables(schema == PUBLIC)


@cache
def _tables(is_public: bool) -> frozenset[str]:
    labels = set(settings.SHARED_APPS if is_public else settings.TENANT_APPS)
    models = [model for config in apps.get_app_configs() for model in config.get_models(include_auto_created=True)]
    return frozenset(model._meta.db_table for model in models if model._meta.managed and _app_of(model) in labels) | {
        MIGRATIONS
    }


def _app_of(model: Any) -> str:
    return str(apps.get_app_config(model._meta.app_label).name)


def states_of(schemas: Sequence[str], *, thorough: bool | None = None) -> dict[str, State]:
    """How these schemas are: two statements for every ``BATCH`` of them.

    ``thorough``: with the bodies and conditions that PostgreSQL has parsed, which takes some milliseconds a schema, the
    more of them there are; None: where they are few. What points at another schema is found in either case.

    Raises:
        django.db.DatabaseError: the database does not answer as it should, beyond one schema.
    """
    with schema_context(PUBLIC):
        catalogues = catalogue_of(schemas, with_bodies=len(schemas) <= FEW if thorough is None else thorough)
        rows = dict(_rows_of([name for name in schemas if name in catalogues], catalogues))
        server = server_version()
    return {name: _state(name, catalogues.get(name), rows.get(name), server) for name in schemas}


def _rows_of(schemas: Sequence[str], catalogues: dict[str, Catalogue]) -> Iterator[tuple[str, _Rows]]:
    def read(schemas: Sequence[str]) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("UNION ALL").join(_part(name, catalogues[name]) for name in schemas))
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    readable = [name for name in schemas if MIGRATIONS in catalogues[name].tables]
    for name, migrations, release, server, catalogue in read_together(readable, read, batch=BATCH):
        yield name, _Rows(frozenset(migrations), release or "", server or 0, tuple(catalogue or ()))


def _part(schema: str, catalogue: Catalogue) -> sql.Composed:
    if TABLE in catalogue.tables:
        installed = sql.SQL("(SELECT release, server, catalogue FROM {} LIMIT 1)").format(sql.Identifier(schema, TABLE))
    else:
        installed = sql.SQL("(SELECT NULL::text AS release, NULL::integer AS server, NULL::text[] AS catalogue)")
    return sql.SQL(
        " SELECT {}, (SELECT coalesce(array_agg(app || '.' || name), '{{}}') FROM {}), release, server, catalogue"
        " FROM (SELECT) AS always LEFT JOIN {} AS installed ON true "
    ).format(sql.Literal(schema), sql.Identifier(schema, MIGRATIONS), installed)


def _state(schema: str, catalogue: Catalogue | None, rows: _Rows | None, server: int) -> State:
    if catalogue is None:
        return State(Condition.BROKEN, "the schema is gone")
    if rows is None:
        # Of the public schema it means that nothing was migrated yet.
        return State(
            Condition.BEHIND if schema == PUBLIC else Condition.BROKEN, f"the table {MIGRATIONS} can't be read"
        )
    if catalogue.elsewhere:
        return State(Condition.DIFFERENT, f"this works on another schema: {_listed(catalogue.elsewhere)}")
    if missing := _newest_migrations() - rows.migrations:
        return State(Condition.BEHIND, f"migrations are to be applied: {_listed(missing)}")
    if missing := tables_of(schema) - catalogue.tables:
        return State(Condition.BROKEN, f"tables are missing: {_listed(missing)}")
    release = release_of(schema)
    if rows.release != release.hash:
        if rows.migrations - _known_migrations():
            return State(Condition.AHEAD)
        return State(Condition.BEHIND, "the functions are those of another release")
    if missing := release.functions - catalogue.functions:
        return State(Condition.BROKEN, f"functions are missing: {_listed(missing)}")
    lines, bodies, triggers, *storage = rows.catalogue
    differs = catalogue.lines != lines
    if rows.server == server:
        differs = differs or catalogue.triggers not in (triggers, None) or catalogue.bodies not in (bodies, None)
    if differs:
        return State(Condition.DIFFERENT, "functions, triggers or types are not those that were installed")
    if storage != [catalogue.storage]:
        return State(Condition.UNTUNED, "the tables' storage settings are not those that were installed")
    return State(Condition.CURRENT)


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (" …" if len(names) > len(shown) else "")


# --- Bringing up to date ----------------------------------------------------------------------------------------------


def update_schema(schema: str, *, verbosity: int = 1) -> None:
    """Applies the migrations that are to be applied, and installs the functions. One transaction: all of it happens or
    nothing does, and whoever sells meanwhile finds the schema as it was or as it is then. May be repeated; this repeats
    it itself where sales were in the way, which take the same locks in another order, or hold one for too long.

    Raises:
        CanNotUpdate: the schema is gone, lacks tables, or something in it is in the way.
    """
    tries: Counter[str | None] = Counter(TRIES)
    while True:
        try:
            _update_schema(schema, verbosity)
            return
        except OperationalError as error:
            tries[code := sqlstate_of(error)] -= 1
            if tries[code] <= 0 or connection.in_atomic_block:
                raise


def update_schemas(
    schemas: Sequence[str], *, at_once: int = AT_ONCE, verbosity: int = 1
) -> Generator[tuple[str, BaseException | None], None, None]:
    """Brings these up to date, ``at_once`` at the same time, each in a transaction. Gives each of them when it is done,
    with why it could not be: whatever a migration finds in one schema, the others follow. To close it rolls back what
    is under way.
    """
    served: Counter[Any] = Counter()
    """Of each connection that is open: how many schemas."""

    def update(schema: str) -> None:
        connection.ensure_connection()
        own = connection.connection
        served[own] += 1
        is_done = False
        try:
            update_schema(schema, verbosity=verbosity)
            is_done = True
        finally:
            if not is_done or served[own] >= SCHEMAS_PER_CONNECTION:
                del served[own]
                connection.close()

    pool = ThreadPoolExecutor(at_once, thread_name_prefix="migrating")
    try:
        running = {pool.submit(update, schema): schema for schema in schemas}
        for done in as_completed(running):
            yield running[done], done.exception()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for one in list(served):
            with suppress(psycopg2.Error):
                one.cancel()
        pool.shutdown()
        for one in served:
            one.close()


def _update_schema(schema: str, verbosity: int) -> None:
    if not (connection.in_atomic_block or _is_made_of_files(schema)) and any(not atomic for atomic in _pending(schema)):
        _migrate(schema, verbosity)  # such a migration works only outside of a transaction
    try:
        with schema_context(schema), transaction.atomic():
            _take_turn(schema)
            if _is_made_of_files(schema):
                make_tables_of_files(schema)
            else:
                with gathered(schema) if schema != PUBLIC and is_empty(schema) else nullcontext():
                    apply_migrations(schema, verbosity=verbosity)
                _check_tables(schema)
            install_functions(schema)
            grant_rights(schema)
    except FunctionsInUse as error:
        raise CanNotUpdate(str(error)) from error


def apply_migrations(schema: str, *, verbosity: int = 1) -> None:
    """Applies the migrations that are to be applied. In a transaction of the caller's, who installs the functions in it
    (:func:`update_schema`)."""
    assert connection.in_atomic_block
    with schema_context(schema):
        if any(True for _ in _pending(schema)):
            if MIGRATIONS in catalogue_of([schema], with_bodies=False)[schema].tables:
                forget_what_names_columns(schema)
            _migrate(schema, verbosity)


def _is_made_of_files(schema: str) -> bool:
    return schema != PUBLIC and are_written() and is_empty(schema)


def _pending(schema: str) -> Iterator[bool]:
    """For each migration that is to be applied, whether it may be within a transaction.

    Raises:
        CanNotUpdate: the schema is gone.
    """
    with schema_context(PUBLIC):
        catalogues = catalogue_of([schema], with_bodies=False)
        if schema not in catalogues:
            raise CanNotUpdate("The schema is gone.")
        applied = {name: rows.migrations for name, rows in _rows_of([schema], catalogues)}.get(schema, frozenset())
    graph = MigrationLoader(None).graph
    for app, name in graph.nodes:
        if f"{app}.{name}" not in applied:
            yield bool(graph.nodes[app, name].atomic)


def _migrate(schema: str, verbosity: int) -> None:
    options = {
        "verbosity": verbosity, "interactive": False, "database": connection.alias, "app_label": None,
        "migration_name": None, "fake": False, "fake_initial": False, "plan": False, "prune": False,
        "run_syncdb": False, "check_unapplied": False, "skip_checks": True, "load_initial_data": True,
        "force_color": False, "no_color": False,
    }  # fmt: skip
    run_migrations((), options, "standard", schema)


def make_tables(schema: str, migrations: Collection[str]) -> None:
    """Makes the tables of an empty schema as these migrations (``app.name``) made them, without functions and triggers.
    In a transaction of the caller's; :func:`update_schema` does the rest.

    Raises:
        UnknownMigrations: this code does not have all of them.
    """
    if are_made_of_files(migrations):
        make_tables_of_files(schema)
    else:
        make_tables_by_migrations(schema, migrations)


def are_made_of_files(migrations: Collection[str]) -> bool:
    """Whether the files have what these migrations (``app.name``) made."""
    return are_written() and {f"{app}.{name}" for app, name in all_migrations()} == set(migrations)


def make_tables_by_migrations(schema: str, migrations: Collection[str]) -> None:
    """The same, whatever the files have.

    Raises:
        UnknownMigrations: this code does not have all of them.
    """
    assert connection.in_atomic_block
    if unknown := set(migrations) - _known_migrations():
        raise UnknownMigrations(_listed(unknown))
    named = {(app, name) for app, _, name in (one.partition(".") for one in migrations)}
    try:
        # As django-tenants' run_migrations: else the table of the public schema is taken for the schema's own.
        connection.set_schema(schema, include_public=False)  # type: ignore[attr-defined]
        MigrationRecorder(connection).ensure_schema()
        connection.set_schema(schema)  # type: ignore[attr-defined]
        executor = MigrationExecutor(connection)
        graph = executor.loader.graph
        last = [
            key for key in sorted(named)
            if not any(child.key[0] == key[0] and child.key in named for child in graph.node_map[key].children)
        ]  # fmt: skip
        executor.migrate(last)
    finally:
        connection.set_schema_to_public()  # type: ignore[attr-defined]


def _take_turn(schema: str) -> None:
    """Of two that install in one schema the second waits, and finds what the first did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('install functions: ' || %s, 0))", [schema])
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])


def _check_tables(schema: str) -> None:
    missing = tables_of(schema) - catalogue_of([schema], with_bodies=False)[schema].tables
    if missing:
        raise CanNotUpdate(f"Tables are missing: {_listed(missing)}.")
