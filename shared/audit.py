"""Writes what was done: a row of the organization's audit table, or (on the platform's own schema) of the platform's.

A service calls :func:`record` in the transaction of the act. The row goes to the schema that the connection is on: each
has a function ``audit_write`` (credit/sql/audit.sql, tenants/sql/audit.sql), which is the one way to write one.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from psycopg2 import sql
from psycopg2.extras import Json

from shared.identity.acting import Actor, acting
from shared.logs import masked
from shared.models import ApiKey, Membership, User

LONGEST_OBJECT = 200

LONGEST_ADDRESS = 45
"""Characters of an IPv6 address at most; what a proxy hands on may be anything."""


def record(
    action: str,
    object: str = "",
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    by: Actor | None = None,
) -> None:
    """Appends a row. ``action`` says what was done to what kind of thing (``member.role_changed``), ``object`` to which
    (a username, an id); ``before`` and ``after`` have the fields that changed, and no secret. ``by``: whoever acts now.

    What an action is called for people is in shared/acts.py.
    """
    write_row(action, object, before=before, after=after, by=by)


def record_change(action: str, object: str = "", *, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Appends a row with those of the fields that differ; none, if none does."""
    changed = [name for name in after if before.get(name) != after[name]]
    if changed:
        record(
            action, object, before={name: before.get(name) for name in changed}, after={n: after[n] for n in changed}
        )


def record_export(file: str, filters: Mapping[str, Any]) -> None:
    """Appends who took a list away as a file, and which rows of it. It is a transaction of its own: nothing changes."""
    with transaction.atomic():
        record("list.exported", file, after={"filters": dict(filters)} if filters else None)


def write_row(
    action: str,
    object: str,
    *,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    by: Actor | None,
    schema: str = "",
    more: Sequence[Any] = (),
) -> None:
    """What :func:`record` does; in another ``schema``, if it is to be there. ``more`` are further arguments of that
    schema's own audit_write."""
    assert connection.in_atomic_block, "An act and its evidence are one transaction."
    actor = by or acting()
    schema = schema or connection.schema_name  # type: ignore[attr-defined]
    arguments = [
        actor.name or _name_of(actor),
        actor.user_id,
        actor.key_id,
        actor.address[:LONGEST_ADDRESS],
        action,
        _storable(object)[:LONGEST_OBJECT],
        _json(before),
        _json(after),
        actor.request_id,
        *more,
    ]
    statement = sql.SQL("SELECT {}({})").format(
        sql.Identifier(schema, "audit_write"), sql.SQL(", ").join([sql.Placeholder()] * len(arguments))
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)


def _json(fields: Mapping[str, Any] | None) -> Json | None:
    return None if fields is None else Json(_plain(fields), dumps=lambda value: json.dumps(value, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """As JSON has it. Phone numbers are masked, wherever somebody has written one: the recharges have them in full."""
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
    return masked(_storable(str(value)))


def _storable(text: str) -> str:
    """Whatever somebody has written where a name was asked for: without what no text of the database may hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _name_of(actor: Actor) -> str:
    """As it is now; what a user has written there outlives the user."""
    if actor.key_id is not None:
        return ApiKey.objects.filter(pk=actor.key_id).values_list("name", flat=True).first() or ""
    if actor.user_id is None:
        return ""
    membership = Membership.objects.filter(user_id=actor.user_id).values_list("username", flat=True).first()
    return membership or User.objects.filter(pk=actor.user_id).values_list("username", flat=True).first() or ""
