"""Two roles of the database. One owns the tables: it migrates and provisions. The other works with them: it reads all,
writes what an application writes, and changes nothing of how they are made. Money, decided documents and evidence it
writes through the functions that are made for it alone (``SECURITY DEFINER`` in the SQL files): a web process that was
taken over can't rewrite the past, nor invent an entry without its document.

The rights belong to a group, :data:`GROUP`; the roles that processes sign in as are its members. Where there is no such
group, one role does everything, as it may.

Web processes and workers connect by ``DATABASE_URL``; what must own the tables by ``OWNER_DATABASE_URL``, where that is
set (see saas/command_line.py for commands, :func:`as_owner` for provisioning). It leads past a pooler.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections
from psycopg2 import sql

from tenants.direct import connection_to
from tenants.functions import MIGRATIONS, PUBLIC, TABLE

GROUP = "recharge_working"
"""Roles belong to a whole server, and so does this one. Which databases its members may enter is said by CONNECT."""

_ALWAYS_GUARDED = (MIGRATIONS, TABLE)

# ALL TABLES IN SCHEMA would go five times through the tables of all schemas.
_RELATIONS = """
    SELECT
        coalesce(array_agg(relname::text) FILTER (WHERE relkind <> 'S'), '{}'),
        coalesce(array_agg(relname::text) FILTER (WHERE relkind = 'S'), '{}')
    FROM pg_depend
    INNER JOIN pg_class ON pg_class.oid = objid
    WHERE refclassid = 'pg_namespace'::regclass AND refobjid = quote_ident(%s)::regnamespace
        AND classid = 'pg_class'::regclass AND deptype = 'n' AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
"""

_NUMBERING = """
    SELECT coalesce(array_agg(sequence.relname::text), '{}')
    FROM pg_class AS numbered
    INNER JOIN pg_depend AS owned ON owned.refclassid = 'pg_class'::regclass AND owned.refobjid = numbered.oid
    INNER JOIN pg_class AS sequence ON sequence.oid = owned.objid AND sequence.relkind = 'S'
    WHERE owned.classid = 'pg_class'::regclass AND numbered.relnamespace = quote_ident(%s)::regnamespace
        AND numbered.relname = ANY (%s)
"""
"""The sequences that number the rows of some tables."""


def tables_named(schema: str, attribute: str) -> list[str]:
    """The tables of a schema that the AppConfigs name in ``guarded_tables`` or ``append_only_tables``."""
    tenant_apps = [apps.get_app_config(name) for name in settings.TENANT_APPS]
    configs = tenant_apps if schema != PUBLIC else [one for one in apps.get_app_configs() if one not in tenant_apps]
    return [table for config in configs for table in getattr(config, attribute, ())]


def grant_rights(schema: str) -> bool:
    """Gives the group its rights on a schema, and no others. May be repeated. False: there is no such group."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [GROUP])
        if cursor.fetchone() is None:
            return False
        group, here = sql.Identifier(GROUP), sql.Identifier(schema)
        if schema == PUBLIC:  # once: of two transactions that grant something on one database, the second fails
            database = sql.Identifier(connection.settings_dict["NAME"])
            cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, group))
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(here, group))
        cursor.execute(_RELATIONS, [schema])
        tables, sequences = cursor.fetchone()
        guarded = [*_ALWAYS_GUARDED, *tables_named(schema, "guarded_tables")]
        append_only = tables_named(schema, "append_only_tables")
        cursor.execute(_NUMBERING, [schema, guarded + append_only])
        (numbering,) = cursor.fetchone()
        for what, rights, names in (
            ("GRANT {} ON {} TO {}", "SELECT, INSERT, UPDATE, DELETE", tables),
            ("GRANT {} ON SEQUENCE {} TO {}", "USAGE, SELECT, UPDATE", sequences),
            ("REVOKE {} ON {} FROM {}", "INSERT, UPDATE, DELETE", guarded),
            ("REVOKE {} ON {} FROM {}", "UPDATE, DELETE", append_only),
            # Set back, or to its end, it would refuse every row that comes.
            ("REVOKE {} ON SEQUENCE {} FROM {}", "UPDATE", numbering),
        ):
            if names:
                listed = sql.SQL(", ").join(sql.Identifier(schema, name) for name in names)
                cursor.execute(sql.SQL(what).format(sql.SQL(rights), listed, group))
    return True


def owns_the_tables() -> bool:
    """Whether the role of this process can change how the tables are made."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('public.tenants_organization')"
        )
        row = cursor.fetchone()
    return bool(row and row[0])


@contextmanager
def as_owner() -> Iterator[None]:
    """In this block the thread's connection is one of the owner's, if ``OWNER_DATABASE_URL`` says who that is, and goes
    past the pooler, if there is one.

    Within a transaction it stays the one that it is: the owner's already, or one that is not to write at all (of a page
    that is shown again in another language).
    """
    database = settings.OWNER_DATABASE or settings.DIRECT_DATABASE
    if database is None or connection.in_atomic_block:
        yield
        return
    working = connections[DEFAULT_DB_ALIAS]
    owner = connection_to(database)
    connections[DEFAULT_DB_ALIAS] = owner
    try:
        yield
    finally:
        connections[DEFAULT_DB_ALIAS] = working
        owner.close()
