"""Writes an organization to a file, as it is at one moment; it goes on selling meanwhile."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2.extensions
from django.conf import settings
from django.db import connection, transaction
from django_tenants.utils import schema_context
from psycopg2 import sql

from shared.files import written_whole
from shared.outbound.secrets import SecretUnreadable
from tenants import audit
from tenants.functions import MIGRATIONS, PUBLIC
from tenants.keeping.archive import in_the_clear, write_frame
from tenants.keeping.contents import PUBLIC_ROWS, PUBLIC_SECRETS, Table, sequences_in, tables_in
from tenants.keeping.errors import CanNotExport
from tenants.keeping.sealed import SealedWriter
from tenants.models import AuditRecord, Organization
from tenants.schemas import LOCK_TIMEOUT, Condition, states_of

VERSION = 1
"""Of what stands in a file (archive.py). A release that writes something else raises it."""

SHORTEST_PASSPHRASE = 12
"""Characters. Whoever has the file can guess as long as he likes, a few times a second and core (sealed.py)."""

_FRAME = 256 * 1024
"""Bytes of rows that are held in memory."""

_ROWS = 200
"""Of the public schema, in a frame."""

_CAN_NOT = (Condition.BROKEN, Condition.BEHIND, Condition.AHEAD)

_AS_ANYWHERE = """
    SET LOCAL DateStyle = 'ISO, YMD';
    SET LOCAL IntervalStyle = 'postgres';
    SET LOCAL TimeZone = 'UTC';
    SET LOCAL bytea_output = 'hex';
    SET LOCAL extra_float_digits = 1;
"""
"""So that values are written as every database reads them."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    rows: int
    """Of all tables of the schema."""
    members: int
    digest: str
    """SHA-256 of the file, in hexadecimal digits."""


def export_organization(*, organization: Organization, file: Path, passphrase: str) -> Exported:
    """Writes the organization to this file, encrypted with the passphrase: all of one snapshot, which sales do not wait
    for. The file is there when it is whole. It runs on the public schema.

    Raises:
        CanNotExport: the passphrase is too short, or the schema is not as this release wants it, or a secret can't be
            read.
        OSError: the file can't be written.
    """
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise CanNotExport(f"A passphrase has at least {SHORTEST_PASSPHRASE} characters.")
    state = states_of([organization.schema_name])[organization.schema_name]
    if state.condition in _CAN_NOT:
        raise CanNotExport(f"Its schema is not as this release wants it: {state.describe()}.")
    with written_whole(file) as writing, schema_context(PUBLIC), copying():
        sealed = SealedWriter(writing, passphrase)
        with connection.cursor() as cursor:
            tables = tables_in(cursor, organization.schema_name)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            _hold_tables(cursor, organization.schema_name, tables)
            exported = _write(cursor, sealed, organization, tables)
            # Committed before the file has its name: there is none without its evidence.
            audit.record(
                action=AuditRecord.Action.EXPORTED, organization=organization.slug, after={"sha256": exported.digest}
            )
    return exported


@contextmanager
def copying() -> Iterator[None]:
    """In this block psycopg2 can COPY, which it can't where commands let Ctrl-C end a statement (saas/command_line.py).
    Between two rows Ctrl-C is heard anyway."""
    wait = psycopg2.extensions.get_wait_callback()
    psycopg2.extensions.set_wait_callback(None)
    try:
        yield
    finally:
        psycopg2.extensions.set_wait_callback(wait)


def _write(cursor: Any, sealed: SealedWriter, organization: Organization, tables: Sequence[Table]) -> Exported:
    # From the first query on, all is of one moment.
    organization = Organization.objects.get(pk=organization.pk)
    cursor.execute(_AS_ANYWHERE)
    if tables_in(cursor, organization.schema_name) != tables:
        raise CanNotExport("Its schema is being migrated. Try again when that is done.")
    cursor.execute(
        sql.SQL("SELECT app || '.' || name, clock_timestamp() FROM {} ORDER BY id").format(
            sql.Identifier(organization.schema_name, MIGRATIONS)
        )
    )
    migrations = cursor.fetchall()
    write_frame(
        sealed,
        "organization",
        version=VERSION,
        release=settings.VERSION,
        at=migrations[0][1].isoformat(),
        slug=organization.slug,
        name=organization.name,
        status=organization.status,
        created_at=organization.created_at.isoformat(),
        requires_second_factor=organization.requires_second_factor,
        base_domain=settings.BASE_DOMAIN,
        domains=[domain.domain for domain in organization.domains.order_by("pk")],
        migrations=[name for name, _ in migrations],
    )
    members = _write_public_rows(cursor, sealed, organization)
    rows = sum(_write_table(cursor, sealed, organization.schema_name, table) for table in tables)
    # Read last: what they give while this runs is more than any row of the snapshot has.
    write_frame(sealed, "end", sequences=_sequences(cursor, organization.schema_name))
    return Exported(rows, members, sealed.digest)


def _hold_tables(cursor: Any, schema: str, tables: Sequence[Table]) -> None:
    """Keeps migrations out until this is over, and sales in. It reads nothing: the moment of what is read later is
    after it."""
    cursor.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
    names = sql.SQL(", ").join(sql.Identifier(schema, table.name) for table in tables)
    cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))


def _write_public_rows(cursor: Any, sealed: SealedWriter, organization: Organization) -> int:
    members = 0
    for table, condition in PUBLIC_ROWS.items():
        cursor.execute(
            sql.SQL("SELECT to_jsonb(one)::text FROM public.{} AS one WHERE {} ORDER BY 1").format(
                sql.Identifier(table), sql.SQL(condition)
            ),
            {"organization": organization.pk},
        )
        while found := cursor.fetchmany(_ROWS):
            rows = [json.loads(row) for (row,) in found]
            for row in rows:
                for column in PUBLIC_SECRETS.get(table, ()):
                    row[column] = _in_the_clear(row[column], table, column)
            write_frame(sealed, "rows", table=table, rows=rows)
            members += len(rows) if table == "shared_membership" else 0
    return members


def _write_table(cursor: Any, sealed: SealedWriter, schema: str, table: Table) -> int:
    write_frame(sealed, "table", table=table.name, columns=table.columns)
    rows = _Rows(sealed, table)
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    # Of a query, since of a partitioned table nothing else can be copied.
    copy = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(columns, sql.Identifier(schema, table.name))
    with connection.wrap_database_errors:
        cursor.copy_expert(copy, rows)
    rows.flush()
    write_frame(sealed, "table_end", rows=cursor.rowcount)
    return int(cursor.rowcount)


class _Rows:
    """What COPY writes to: gathers rows to frames."""

    def __init__(self, sealed: SealedWriter, table: Table) -> None:
        self._sealed = sealed
        self._table = table
        self._gathered: list[bytes] = []
        self._size = 0

    def write(self, row: bytes) -> None:
        """Takes a whole row, which is what psycopg2 hands on."""
        if self._table.secrets:
            row = self._with_secrets_in_the_clear(row)
        self._gathered.append(row)
        self._size += len(row)
        if self._size >= _FRAME:
            self.flush()

    def flush(self) -> None:
        if self._gathered:
            write_frame(self._sealed, "data", b"".join(self._gathered))
            self._gathered, self._size = [], 0

    def _with_secrets_in_the_clear(self, row: bytes) -> bytes:
        values = row.rstrip(b"\n").split(b"\t")
        for place in self._table.secrets:
            if values[place] != NULL:
                column = self._table.columns[place]
                values[place] = _in_the_clear(values[place].decode(), self._table.name, column).encode()
        return b"\t".join(values) + b"\n"


NULL = rb"\N"
"""As COPY writes it. Neither an encrypted secret nor its base64 has anything that COPY would write otherwise."""


def _in_the_clear(stored: str, table: str, column: str) -> str:
    try:
        return in_the_clear(stored)
    except SecretUnreadable:
        raise CanNotExport(
            f"A secret ({table}.{column}) was encrypted under another SECRET_KEY. Put that one into "
            "SECRET_KEY_FALLBACKS, or have the secret set anew."
        ) from None


def _sequences(cursor: Any, schema: str) -> list[tuple[str, str, int, bool]]:
    found = []
    for table, column in sequences_in(cursor, schema):
        cursor.execute(
            "SELECT pg_get_serial_sequence(%s, %s)",
            [sql.Identifier(schema, table).as_string(connection.connection), column],
        )
        (name,) = cursor.fetchone()
        cursor.execute(f"SELECT last_value, is_called FROM {name}")  # noqa: S608 - quoted by PostgreSQL
        found.append((table, column, *cursor.fetchone()))
    return found
