"""Ends access tokens before they expire, at no cost of a sale: the *epoch* of whoever asks.

A token says which epoch it is of. What must hold at once (the password was changed, the role, the session ended …)
raises the epoch, in the public schema (``Membership.epoch``, ``ApiKey.epoch``) and, in the same transaction, in a copy
in the organization's schema, which the money functions compare (``access_is_over`` in credit/sql/access.sql). Refresh
tokens are not touched by it: whoever still has a good one goes on with the next access token.
"""

from uuid import UUID

from django.db import connection
from psycopg2 import sql

KEY_SUBJECT = "key:"
"""Begins the subject of a program, before its key's id."""


def subject_of(*, user_id: int | None = None, key_id: UUID | str | None = None) -> str:
    """What a token's ``sub`` says: a user's id, or ``key:`` and an API key's."""
    return f"{KEY_SUBJECT}{key_id}" if key_id is not None else str(user_id)


def end_access(subject: str, epoch: int) -> None:
    """Access tokens of this subject with a lower epoch are over when this commits. It runs on the schema of the
    organization, in the transaction that has raised the epoch."""
    assert connection.in_atomic_block
    schema: str = connection.schema_name  # type: ignore[attr-defined]
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT {}(%s, %s)").format(sql.Identifier(schema, "access_end")), [subject, epoch])
