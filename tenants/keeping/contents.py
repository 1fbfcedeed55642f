"""What belongs to an organization: all tables of its schema but a few, and rows of the public schema.

Of its schema whatever the catalogue has is taken: a table or a column that comes later can't be forgotten. Of the
public schema each table has a rule here (tests/tenants/test_keeping.py fails for one that has none).

A column ``user_id`` or ``…_by_id`` of an organization's table is a user's id, and a ``key_id`` that is a UUID an API
key's. Both are others where the organization is moved to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings

from tenants.functions import MIGRATIONS, TABLE

_OF_MEMBERS = "user_id IN (SELECT user_id FROM public.shared_membership WHERE organization_id = %(organization)s)"

PUBLIC_ROWS = {
    "shared_user": "id IN (SELECT user_id FROM public.shared_membership WHERE organization_id = %(organization)s)",
    "shared_membership": "organization_id = %(organization)s",
    "shared_apikey": "organization_id = %(organization)s",
    "shared_totp": _OF_MEMBERS,
    "shared_passkey": _OF_MEMBERS,
    "shared_recoverycode": _OF_MEMBERS,
}
"""Tables of the public schema, and which of their rows are an organization's; those that others name come first."""

PUBLIC_SECRETS = {"shared_totp": ("secret",)}
"""Of these tables, the encrypted columns."""

IN_THE_HEAD = ("tenants_organization", "tenants_domain")
"""Tables of the public schema of which an export's first frame has what matters."""

STAY_BEHIND = {
    "shared_refreshfamily": "sign-ins: the installation's SECRET_KEY has signed the tokens",
    "django_session": "as above, of browsers",
    "shared_signinattempts": "wrong tries of the last minutes",
    "shared_user_groups": "Django's own, of the admin site, where no member gets in",
    "shared_user_user_permissions": "as above",
    "auth_group": "as above",
    "auth_group_permissions": "as above",
    "auth_permission": "as above",
    "django_admin_log": "as above",
    "django_content_type": "as above",
    MIGRATIONS: "the installation's",
    TABLE: "the installation's",
    "tenants_auditrecord": "what the platform did, which is the platform's evidence",
    "tenants_formerslug": "the installation's",
    "tenants_workerheartbeat": "the installation's",
}
"""Tables of the public schema that are left alone, and why."""

_OF_THE_SCHEMA = (MIGRATIONS, TABLE)
"""Tables of an organization's schema that say how it is made: an import makes it anew."""


_TIMES = ("timestamp with time zone", "date")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of an organization's schema, and its columns in their order."""

    name: str
    columns: tuple[str, ...]
    users: frozenset[int]
    """Places of the columns that are users' ids."""
    keys: frozenset[int]
    """Of those that are API keys' ids."""
    secrets: frozenset[int]
    """Of those that are encrypted."""


def tables_in(cursor: Any, schema: str) -> list[Table]:
    """The tables of an organization's schema that belong to it, those that others refer to before these."""
    cursor.execute(_COLUMNS, [schema])
    secrets, unmoved = _named("encrypted_columns"), set(_OF_THE_SCHEMA) | _named("unmoved_tables").keys()
    tables: dict[str, Table] = {}
    for name, columns, types in cursor.fetchall():
        if name not in unmoved:
            tables[name] = _table(name, columns, types, secrets.get(name, ()))
    cursor.execute(_REFERENCES, [schema])
    before: dict[str, set[str]] = {name: set() for name in tables}
    for referring, referred in cursor.fetchall():
        if referring in tables and referred in tables:
            before[referring].add(referred)
    return [tables[name] for name in _in_order(before)]


def columns_of(cursor: Any, table: str) -> frozenset[str]:
    """The columns of a table of the public schema."""
    cursor.execute(_COLUMNS, ["public"])
    return next((frozenset(columns) for name, columns, _ in cursor.fetchall() if name == table), frozenset())


def moments_in(cursor: Any, schema: str) -> dict[str, list[str]]:
    """The columns of each table of a schema that are moments or days."""
    cursor.execute(_COLUMNS, [schema])
    return {
        name: [column for column, kind in zip(columns, types, strict=True) if kind in _TIMES]
        for name, columns, types in cursor.fetchall()
    }


def sequences_in(cursor: Any, schema: str) -> list[tuple[str, str]]:
    """Tables and columns of an organization's schema that count up by themselves, of those that belong to it."""
    cursor.execute(_SEQUENCES, [schema])
    return [(table, column) for table, column in cursor.fetchall() if table not in _named("unmoved_tables")]


def _named(attribute: str) -> dict[str, Sequence[str]]:
    """What the AppConfigs of organizations' apps say under this name, of tables."""
    found: dict[str, Sequence[str]] = {}
    for name in settings.TENANT_APPS:
        said = getattr(apps.get_app_config(name), attribute, ())
        found |= said if isinstance(said, dict) else dict.fromkeys(said, ())
    return found


def _table(name: str, columns: Sequence[str], types: Sequence[str], secrets: Sequence[str]) -> Table:
    places = list(enumerate(zip(columns, types, strict=True)))
    return Table(
        name,
        tuple(columns),
        users=frozenset(
            place
            for place, (column, kind) in places
            if kind == "bigint" and (column == "user_id" or column.endswith("_by_id"))
        ),
        keys=frozenset(place for place, (column, kind) in places if kind == "uuid" and column == "key_id"),
        secrets=frozenset(place for place, (column, _) in places if column in secrets),
    )


def _in_order(before: dict[str, set[str]]) -> list[str]:
    """Each name after those that must come before it."""
    ordered: list[str] = []
    while len(ordered) < len(before):
        ready = [name for name in sorted(before) if name not in ordered and before[name] <= {*ordered, name}]
        assert ready, "tables refer to each other in a circle"
        ordered += ready
    return ordered


# Generated columns are made anew.
_COLUMNS = """
    SELECT
        relname::text, array_agg(attname::text ORDER BY attnum), array_agg(format_type(atttypid, NULL) ORDER BY attnum)
    FROM pg_class
    INNER JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s)
        AND relkind IN ('r', 'p') AND NOT relispartition
    GROUP BY relname
"""

_REFERENCES = """
    SELECT referring.relname::text, referred.relname::text
    FROM pg_constraint
    INNER JOIN pg_class AS referring ON referring.oid = conrelid
    INNER JOIN pg_class AS referred ON referred.oid = confrelid
    WHERE connamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s) AND contype = 'f'
"""

_SEQUENCES = """
    SELECT pg_class.relname::text, attname::text
    FROM pg_class
    INNER JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
    INNER JOIN pg_depend
        ON refclassid = 'pg_class'::regclass AND refobjid = pg_class.oid AND refobjsubid = attnum
        AND classid = 'pg_class'::regclass AND deptype IN ('i', 'a')
    INNER JOIN pg_class AS sequence ON sequence.oid = objid AND sequence.relkind = 'S'
    WHERE pg_class.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s)
        AND pg_class.relname NOT IN ('django_migrations')
    ORDER BY 1, 2
"""
