"""Writes what was done: a row of the organization's audit table, or (on the platform's own schema) of the platform's.

A service calls :func:`record` in the transaction of the act. The row goes to the schema that the connection is on: each
has a function ``audit_write`` (credit/sql/audit.sql, tenants/sql/audit.sql), which is the one way to write one.
"""

from typing import Any

from django.db import connection
from psycopg2 import sql
from psycopg2.extras import Json

from shared.identity.acting import Actor, acting
from shared.models import ApiKey, Membership, User

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
    """
    assert connection.in_atomic_block, "An act and its evidence are one transaction."
    actor = by or acting()
    schema: str = connection.schema_name  # type: ignore[attr-defined]
    with connection.cursor() as cursor:
        statement = sql.SQL("SELECT {}(%s, %s, %s, %s, %s, %s, %s, %s, %s)").format(
            sql.Identifier(schema, "audit_write")
        )
        cursor.execute(
            statement,
            [
                actor.name or _name_of(actor),
                actor.user_id,
                actor.key_id,
                actor.address[:LONGEST_ADDRESS],
                action,
                object[:200],
                None if before is None else Json(before),
                None if after is None else Json(after),
                actor.request_id,
            ],
        )


def _name_of(actor: Actor) -> str:
    """As it is now; what a user has written there outlives the user."""
    if actor.key_id is not None:
        return ApiKey.objects.filter(pk=actor.key_id).values_list("name", flat=True).first() or ""
    if actor.user_id is None:
        return ""
    membership = Membership.objects.filter(user_id=actor.user_id).values_list("username", flat=True).first()
    return membership or User.objects.filter(pk=actor.user_id).values_list("username", flat=True).first() or ""
