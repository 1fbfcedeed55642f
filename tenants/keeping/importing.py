"""Makes an organization of a file that export.py wrote, here or on another installation: under its slug or another one,
with ids, functions and secrets of this installation. It answers nobody before its books are proved."""

import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django_tenants.utils import schema_context
from psycopg2 import errorcodes, sql

from shared.models import ApiKey, Passkey, User
from shared.sick import sqlstate_of
from shared.uuid7 import new_id
from tenants import audit
from tenants.functions import PUBLIC
from tenants.keeping.archive import Frame, encrypted_again, read_frames
from tenants.keeping.contents import (
    PUBLIC_ROWS,
    PUBLIC_SECRETS,
    Table,
    columns_of,
    moments_in,
    sequences_in,
    tables_in,
)
from tenants.keeping.deletion import give_up_reservation, has_tables
from tenants.keeping.errors import BooksAreWrong, CanNotImport, NotAnExport
from tenants.keeping.export import NULL, VERSION, copying
from tenants.keeping.sealed import SealedReader
from tenants.models import AuditRecord, Domain, Organization
from tenants.placing import gathered, place_where_there_is_room
from tenants.routing import forget_routes
from tenants.schemas import UnknownMigrations, apply_migrations, are_made_of_files, make_tables, update_schema
from tenants.services import domain_of, record_reconciliation, reserve_organization
from tenants.slugs import InvalidSlug, check_slug, schema_name_of
from tenants.working_role import as_owner

Prove = Callable[[Organization], Sequence[Any]]
"""What is wrong with an organization's books."""


@dataclass(slots=True)
class Imported:
    """What was made."""

    organization: Organization
    digest: str = ""
    """SHA-256 of the file, in hexadecimal digits."""
    rows: int = 0
    """Of all tables of the schema."""
    members: int = 0
    keys: dict[UUID, UUID] = field(default_factory=dict)
    """API keys whose ids somebody has here already, and the ids that they have now."""
    left_out: list[str] = field(default_factory=list)
    """Further hosts that it had, and can't have here."""
    passkeys: int = 0
    """Passkeys of another host than it has here: no browser shows them."""


@dataclass(frozen=True, slots=True)
class _Head:
    """The first frame."""

    slug: str
    name: str
    status: str
    created_at: datetime
    requires_second_factor: bool
    at: str
    base_domain: str
    domains: list[str]
    migrations: list[str]


def import_organization(*, file: Path, passphrase: str, prove: Prove, slug: str | None = None) -> Imported:
    """The organization of this file, with the status that it had. It has all that it had or is not there at all:
    whatever is raised, nothing stays. (Of a process that is killed the slug stays reserved; the same call again goes
    on, and ``delete`` frees it.) It runs on the public schema, as the tables' owner.

    ``slug``: another one than it had.

    Raises:
        NotAnExport: the file is none, or of a newer release, or damaged, or the passphrase is another one.
        CanNotImport: the slug, a host or a member's name is somebody's here already.
        BooksAreWrong: it does not reconcile.
        tenants.errors.OrganizationExists: the slug is taken, or was another organization's.
        OSError: the file can't be read.
    """
    with open(file, "rb") as reading, as_owner(), schema_context(PUBLIC), copying():
        sealed = SealedReader(reading, passphrase)
        frames = read_frames(sealed)
        head = _read_head(frames)
        slug = slug or head.slug
        _check(slug)
        reserve_organization(slug=slug, name=head.name)
        try:
            with transaction.atomic():
                organization = Organization.objects.select_for_update().filter(slug=slug).first()
                if organization is None or organization.status != Organization.Status.PROVISIONING:
                    raise CanNotImport(f"Somebody has provisioned {slug!r} meanwhile.")
                imported = _Import(organization, head, frames, sealed).run(prove)
        except BaseException:
            connection.set_schema_to_public()  # type: ignore[attr-defined]
            give_up_reservation(slug=slug)
            raise
    forget_routes()
    return imported


def _read_head(frames: Iterator[Frame]) -> _Head:
    head, _ = next(frames)
    if _take(head, "type", str) != "organization":
        raise NotAnExport("What stands in it is no export of an organization.")
    if _take(head, "version", int) != VERSION:
        raise NotAnExport(f"Release {head.get('release')} wrote it in another form. Import it with that release.")
    with _values_of_the_file():
        created_at = parse_datetime(_text(head, "created_at"))
    status = _text(head, "status")
    if created_at is None or created_at.tzinfo is None or status not in Organization.Status:
        raise NotAnExport("Its first frame is damaged.")
    if not _FIRST <= created_at <= timezone.now() + timedelta(days=1):
        raise NotAnExport(f"Its organization can't be of {created_at.isoformat()}.")
    return _Head(
        slug=_text(head, "slug"),
        name=_text(head, "name", Organization._meta.get_field("name").max_length),
        status=status,
        created_at=created_at,
        requires_second_factor=_take(head, "requires_second_factor", bool),
        at=_text(head, "at"),
        base_domain=_text(head, "base_domain"),
        domains=_texts(head, "domains"),
        migrations=_texts(head, "migrations"),
    )


def _check(slug: str) -> None:
    try:
        check_slug(slug)
    except InvalidSlug as error:
        raise CanNotImport(f"{slug!r} can't be a slug here: {error}") from None
    if Organization.objects.filter(slug=slug).exclude(status=Organization.Status.PROVISIONING).exists():
        raise CanNotImport(f"There is an organization {slug!r} already. Give another slug with --slug.")
    if has_tables(schema_name_of(slug)):
        raise CanNotImport(
            f"There are tables in the schema {schema_name_of(slug)}, which no organization has. Give another slug with "
            "--slug, or drop it by hand."
        )


_T = TypeVar("_T")


def _take(frame: dict[str, Any], name: str, kind: type[_T]) -> _T:
    found = frame.get(name) if isinstance(frame, dict) else None
    if not isinstance(found, kind):
        raise NotAnExport(f"A frame lacks {name!r}.")
    return found


def _text(frame: dict[str, Any], name: str, longest: int | None = None) -> str:
    """A text that the database can take."""
    (text,) = _texts({name: [_take(frame, name, str)]}, name)
    if longest is not None and len(text) > longest:
        raise NotAnExport(f"A frame's {name!r} is too long.")
    return text


def _texts(frame: dict[str, Any], name: str) -> list[str]:
    """The same, many."""
    texts = _take(frame, name, list)
    if not all(isinstance(text, str) and not _NO_TEXT.search(text) for text in texts):
        raise NotAnExport(f"A frame's {name!r} is not what it should be.")
    return texts


_EARLIEST, _LATEST = datetime(2, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
"""Of moments and days. PostgreSQL has others, and infinity, which Python can't read: whoever lists such rows would
fail, and of organizations that is every worker."""

_FIRST = datetime(1990, 1, 1, tzinfo=UTC)
"""No organization is of before."""

_LARGEST_SEQUENCE = 2**62

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@contextmanager
def _values_of_the_file() -> Iterator[None]:
    """Numbers, moments, identifiers and secrets of the file are read in this block; one may be none."""
    try:
        yield
    except (ValueError, ValidationError) as error:
        raise NotAnExport(f"A value in it is not what it should be: {error}") from error


class _Import:
    """Of one file, in one transaction."""

    def __init__(self, organization: Organization, head: _Head, frames: Iterator[Frame], sealed: SealedReader) -> None:
        self._organization = organization
        self._schema: str = organization.schema_name
        self._head = head
        self._frames = frames
        self._sealed = sealed
        self._users: dict[int, int] = {}
        """The ids that users had, and those that they have here."""
        self._keys: dict[str, str] = {}
        """The same of API keys, in the text of UUIDs, where they differ."""
        self._imported = Imported(organization)
        self._is_at_end = False

    def run(self, prove: Prove) -> Imported:
        with connection.cursor() as cursor:
            if are_made_of_files(self._head.migrations):
                place_where_there_is_room(self._schema)
                self._make(cursor)
            else:
                with gathered(self._schema):
                    self._make(cursor)
                    apply_migrations(self._schema, verbosity=0)
            update_schema(self._schema, verbosity=0)
            self._add_hosts()
            # Else proving books of a million rows would plan by what it knows of empty tables.
            for table in tables_in(cursor, self._schema):
                cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(self._schema, table.name)))
        return self._finish(prove)

    def _make(self, cursor: Any) -> None:
        try:
            make_tables(self._schema, self._head.migrations)
        except UnknownMigrations as error:
            raise NotAnExport(f"A newer release wrote it: {error} is not known here. Upgrade first.") from None
        try:
            with _values_of_the_file():
                self._read(cursor)
        except DatabaseError as error:
            if (sqlstate_of(error) or "")[:2] not in _OF_THE_ROWS:
                raise
            raise NotAnExport(f"The database refuses what is in it: {str(error).strip()}") from None
        # What waits to be checked keeps tables from being altered.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def _finish(self, prove: Prove) -> Imported:
        organization = self._organization
        if faults := prove(organization):
            raise BooksAreWrong(faults)
        connection.set_schema_to_public()  # type: ignore[attr-defined]
        organization.name, organization.created_at = self._head.name, self._head.created_at
        organization.requires_second_factor = self._head.requires_second_factor
        organization.status = (
            Organization.Status.SUSPENDED
            if self._head.status == Organization.Status.SUSPENDED
            else Organization.Status.ACTIVE
        )
        organization.save(update_fields=["name", "created_at", "requires_second_factor", "status"])
        record_reconciliation(organization=organization, faults=0)
        host = domain_of(organization.slug)
        of_members = Passkey.objects.filter(user__memberships__organization_id=organization.pk)
        self._imported.passkeys = of_members.exclude(host=host).count()
        self._imported.digest = self._sealed.digest
        audit.record(
            action=AuditRecord.Action.IMPORTED,
            organization=organization.slug,
            after={"slug": self._head.slug, "at": self._head.at, "sha256": self._sealed.digest},
        )
        return self._imported

    # --- What stands in the file --------------------------------------------------------------------------------------

    def _read(self, cursor: Any) -> None:
        tables = {table.name: table for table in tables_in(cursor, self._schema)}
        if not tables:
            raise NotAnExport("By its migrations it has no tables.")
        # What migrations have put into them is in the file, too.
        names = sql.SQL(", ").join(sql.Identifier(self._schema, name) for name in tables)
        cursor.execute(sql.SQL("TRUNCATE {}").format(names))
        given: set[str] = set()
        for head, _ in self._frames:
            kind = _take(head, "type", str)
            if self._is_at_end:
                raise NotAnExport("It goes on behind its end.")
            if kind == "rows":
                self._add_public_rows(cursor, _take(head, "table", str), _take(head, "rows", list))
            elif kind == "table":
                table = tables.get(_take(head, "table", str))
                if table is None or table.name in given or sorted(_texts(head, "columns")) != sorted(table.columns):
                    raise NotAnExport(f"Its table {head['table']!r} is another one than its migrations make.")
                self._add_rows(cursor, _as_given(table, head["columns"]))
                given.add(table.name)
            elif kind == "end":
                if missing := sorted(tables.keys() - given):
                    raise NotAnExport(f"It lacks tables: {', '.join(missing)}.")
                self._set_sequences(cursor, _take(head, "sequences", list))
                self._is_at_end = True
            else:
                raise NotAnExport(f"It has something of an unknown kind: {kind!r}.")
        if not self._is_at_end:
            raise NotAnExport("It lacks its end.")
        self._check_moments(cursor, tables)

    def _check_moments(self, cursor: Any, tables: Iterable[str]) -> None:
        """Of the schema's rows; of others see :meth:`_add_public_rows`."""
        moments = moments_in(cursor, self._schema)
        for name in tables:
            if columns := moments[name]:
                odd = sql.SQL(" OR ").join(
                    sql.SQL("{} NOT BETWEEN %(earliest)s AND %(latest)s").format(sql.Identifier(column))
                    for column in columns
                )
                cursor.execute(
                    sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(sql.Identifier(self._schema, name), odd),
                    {"earliest": _EARLIEST, "latest": _LATEST},
                )
                if cursor.fetchone()[0]:
                    raise NotAnExport(f"A row of {name} has a moment that can't be.")

    def _add_public_rows(self, cursor: Any, table: str, rows: list[dict[str, Any]]) -> None:
        if table not in PUBLIC_ROWS:
            raise NotAnExport(f"Rows of {table!r} are no organization's.")
        if not all(isinstance(row, dict) for row in rows):
            raise NotAnExport(f"A row of {table} is none.")
        known, moments = columns_of(cursor, table), moments_in(cursor, PUBLIC)[table]
        if table == "shared_user":
            self._refuse_taken_names([self._username_of(row) for row in rows])
        elif table == "shared_apikey":
            self._find_new_ids([_take(row, "id", str) for row in rows])
        elif table == "shared_passkey":
            _replace_taken_credentials(rows)
        for row in rows:
            was = _take(row, "id", int) if table == "shared_user" else 0
            self._make_ours(table, row)
            if unknown := row.keys() - known:
                raise NotAnExport(f"A newer release wrote it: {table} has no {', '.join(sorted(unknown))} here.")
            for column in moments:
                _check_moment(row, column, table)
            columns = sql.SQL(", ").join(map(sql.Identifier, row))
            cursor.execute(
                sql.SQL(
                    "INSERT INTO public.{0} ({1}) SELECT {1} FROM jsonb_populate_record(NULL::public.{0}, %s)"
                    " RETURNING {2}"
                ).format(sql.Identifier(table), columns, sql.Identifier("id" if "id" in known else "user_id")),
                [json.dumps(row)],
            )
            (became,) = cursor.fetchone()
            if table == "shared_user":
                self._users[was] = became
            self._imported.members += table == "shared_membership"

    def _make_ours(self, table: str, row: dict[str, Any]) -> None:
        """Gives a row the ids, the names and the secrets of this installation."""
        if table == "shared_user":
            # Whatever the file says: who comes with an organization is nobody on the platform.
            row |= {"username": self._username_of(row), "is_staff": False, "is_superuser": False, "platform_role": ""}
        if table == "shared_apikey":
            row["id"] = self._keys.get(row["id"], row["id"])
        else:
            row.pop("id", None)
        if "user_id" in row:
            if _take(row, "user_id", int) not in self._users:
                raise NotAnExport(f"A row of {table} is of a user who is not in it.")
            row["user_id"] = self._users[row["user_id"]]
        if "organization_id" in row:
            row["organization_id"] = self._organization.pk
        for column in PUBLIC_SECRETS.get(table, ()):
            row[column] = encrypted_again(_take(row, column, str))

    def _username_of(self, row: dict[str, Any]) -> str:
        """As create_member names a user: the slug and the member's name, which has no stroke."""
        return f"{self._organization.slug}/{_take(row, 'username', str).rpartition('/')[2]}"

    def _refuse_taken_names(self, names: list[str]) -> None:
        if taken := sorted(User.objects.filter(username__in=names).values_list("username", flat=True)):
            raise CanNotImport(
                f"There are users {', '.join(taken[:5])} already, of an organization that had this slug. Give another "
                "slug with --slug."
            )

    def _find_new_ids(self, ids: list[str]) -> None:
        for taken in ApiKey.objects.filter(pk__in=ids).values_list("pk", flat=True):
            new = new_id(timezone.now())
            self._keys[str(taken)] = str(new)
            self._imported.keys[taken] = new

    def _add_rows(self, cursor: Any, table: Table) -> None:
        rows = _Rows(self._frames, table, self._users, self._keys)
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        copy = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(self._schema, table.name), columns)
        try:
            with connection.wrap_database_errors:
                cursor.copy_expert(copy, rows)
        except DatabaseError:
            if rows.error:  # which psycopg2 has made an error of the database of
                raise rows.error from None
            raise
        if rows.expected != cursor.rowcount:
            raise NotAnExport(f"It says {rows.expected} rows of {table.name}, and has {cursor.rowcount}.")
        self._imported.rows += cursor.rowcount

    def _set_sequences(self, cursor: Any, sequences: list[tuple[str, str, int, bool]]) -> None:
        if not all(isinstance(one, list) and list(map(type, one)) == [str, str, int, bool] for one in sequences):
            raise NotAnExport("It does not say where each sequence stood.")
        given = {(table, column): (value, is_called) for table, column, value, is_called in sequences}
        there = sequences_in(cursor, self._schema)
        if given.keys() != set(there):
            raise NotAnExport("It does not say where each sequence stood.")
        if not all(1 <= value <= _LARGEST_SEQUENCE for value, _ in given.values()):
            raise NotAnExport("One of its sequences stands where none can.")
        for table, column in there:
            name = sql.Identifier(self._schema, table).as_string(connection.connection)
            value, is_called = given[table, column]
            # Whatever the file says: what comes next has the id of none that is there.
            cursor.execute(
                sql.SQL(
                    "SELECT setval(pg_get_serial_sequence(%(name)s, %(column)s), greatest(%(value)s, last),"
                    " %(is_called)s OR last >= %(value)s) FROM (SELECT coalesce(max({}), 0) AS last FROM {}) AS rows"
                ).format(sql.Identifier(column), sql.Identifier(self._schema, table)),
                {"name": name, "column": column, "value": value, "is_called": is_called},
            )

    def _add_hosts(self) -> None:
        """The host of its slug is there; others that it had it gets where they lie below this installation's domain and
        are nobody's."""
        own = f"{self._head.slug}.{self._head.base_domain}"
        for host in self._head.domains:
            if host == own:
                continue
            if not _may_lead_here(host) or Domain.objects.filter(domain=host).exists():
                self._imported.left_out.append(host)
            else:
                Domain.objects.bulk_create([Domain(tenant=self._organization, domain=host, is_primary=False)])


def _may_lead_here(host: str) -> bool:
    """Whether the host is one that an organization can have below this installation's domain."""
    name, _, domain = host.partition(".")
    try:
        check_slug(name)
    except InvalidSlug:
        return False
    return bool(domain == settings.BASE_DOMAIN)


def _check_moment(row: dict[str, Any], column: str, table: str) -> None:
    written = row.get(column)
    moment = None if written is None else parse_datetime(_text(row, column))
    if written is not None and not (moment and moment.tzinfo and _EARLIEST <= moment <= _LATEST):
        raise NotAnExport(f"A row of {table} has a moment that can't be.")


def _replace_taken_credentials(rows: list[dict[str, Any]]) -> None:
    """Has no passkey be that of somebody who is here already, which it is where the organization is copied. Its host is
    another one then: no browser shows it, but it must go on keeping whoever has the password alone from signing in."""
    given = {bytes.fromhex(_take(row, "credential_id", str).removeprefix("\\x")): row for row in rows}
    for taken in Passkey.objects.filter(credential_id__in=list(given)).values_list("credential_id", flat=True):
        given[bytes(taken)]["credential_id"] = f"\\x{secrets.token_hex(32)}"


_OF_THE_ROWS = (errorcodes.CLASS_DATA_EXCEPTION, errorcodes.CLASS_INTEGRITY_CONSTRAINT_VIOLATION)


def _as_given(table: Table, columns: list[str]) -> Table:
    """The table, with its columns in the order of the file."""
    places = {column: place for place, column in enumerate(columns)}

    def moved(these: frozenset[int]) -> frozenset[int]:
        return frozenset(places[table.columns[place]] for place in these)

    return Table(table.name, tuple(columns), moved(table.users), moved(table.keys), moved(table.secrets))


class _Rows:
    """What COPY reads from: the rows of one table, with ids and secrets of this installation."""

    def __init__(self, frames: Iterator[Frame], table: Table, users: dict[int, int], keys: dict[str, str]) -> None:
        self._frames = frames
        self._table = table
        self._users = users
        self._keys = keys
        self._read = b""
        self._from = 0
        self.expected: int | None = None
        """How many rows there were; known when all are read."""
        self.error: BaseException | None = None
        """Why they can't be read."""

    def read(self, size: int) -> bytes:
        """Gives at most so many bytes; none at the end."""
        try:
            return self._next(size)
        except BaseException as error:
            self.error = error
            raise

    def _next(self, size: int) -> bytes:
        while self._from == len(self._read):
            if self.expected is not None:
                return b""
            head, body = next(self._frames, ({}, b""))
            kind = _take(head, "type", str)
            if kind == "table_end":
                self.expected = _take(head, "rows", int)
            elif kind == "data":
                self._read, self._from = self._ours(body), 0
            else:
                raise NotAnExport(f"The table {self._table.name} has no end.")
        part = self._read[self._from : self._from + size]
        self._from += len(part)
        return part

    def _ours(self, rows: bytes) -> bytes:
        if not (self._table.users or self._table.secrets or (self._table.keys and self._keys)):
            return rows
        return b"".join(self._our_row(row) for row in rows.splitlines(keepends=True))

    def _our_row(self, row: bytes) -> bytes:
        values = row.rstrip(b"\n").split(b"\t")
        if len(values) != len(self._table.columns):
            raise NotAnExport(f"A row of {self._table.name} has not one value for each column.")
        for places, ours in (
            (self._table.users, self._our_user),
            (self._table.keys, self._our_key),
            (self._table.secrets, encrypted_again),
        ):
            for place in places:
                if values[place] != NULL:
                    values[place] = ours(values[place].decode()).encode()
        return b"\t".join(values) + b"\n"

    def _our_user(self, was: str) -> str:
        # Whoever is no member any longer is nobody here, and never will be: no user has an id below zero.
        return str(self._users.get(int(was), -abs(int(was))))

    def _our_key(self, was: str) -> str:
        return self._keys.get(was, was)
