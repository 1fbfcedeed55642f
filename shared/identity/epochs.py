"""Ends access tokens before they expire, at no cost of a sale: the *epoch* of whoever asks.

A token says which epoch it is of. What must hold at once (the password was changed, the role, the session ended …)
raises the epoch, in the public schema (``Membership.epoch``, ``ApiKey.epoch``) and, in the same transaction, in a copy
in the organization's schema, which the money functions compare (``access_over`` in credit/sql/access.sql). Refresh
tokens are not touched by it: whoever still has a good one goes on with the next access token.

Where one of somebody's sign-ins is ended, the others need not notice: then only the copy says so, of that sign-in.
"""

from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from psycopg2 import sql

KEY_SUBJECT = "key:"
"""Begins the subject of a program, before its key's id."""


def subject_of(user_id: int | None = None, key_id: UUID | str | None = None) -> str:
    """What a token's ``sub`` says: a user's id, or ``key:`` and an API key's."""
    return f"{KEY_SUBJECT}{key_id}" if key_id is not None else str(user_id)


@dataclass(frozen=True, slots=True)
class Access:
    """Who does something, and by what: what a money function compares and keeps, and what tells whoever is refused
    whether to sign in again."""

    user_id: int | None = None
    key_id: UUID | None = None
    epoch: int | None = None
    """None: not compared."""
    family: int | None = None
    """The sign-in (:class:`shared.models.SignIn`); None: none made it."""
    password: str | None = None
    """What ``tokens.password_mark`` said of the password of then; None: it doesn't matter."""

    @property
    def subject(self) -> str | None:
        """What a money function looks up: a person or a program, and (after a stroke) a person's sign-in. None:
        nobody's."""
        if self.user_id is None and self.key_id is None:
            return None
        subject = subject_of(self.user_id, self.key_id)
        return subject if self.family is None else f"{subject}/{self.family}"


OF_COMMAND = Access()
"""The access of a command at the server's own shell, where nobody signs in."""


def end_access(subject: str, epoch: int) -> None:
    """Access tokens of this subject with a lower epoch are over when this commits. It runs on the schema of the
    organization, in the transaction that has raised the epoch."""
    _call("access_end", subject, epoch)


def end_access_of_session(access: Access) -> None:
    """Access by this sign-in is over when this commits. It runs on the schema of the organization, in the transaction
    that ends the sign-in."""
    assert access.family is not None
    _call("access_end_session", access.subject)


def _call(function: str, *arguments: str | int | None) -> None:
    assert connection.in_atomic_block
    schema: str = connection.schema_name  # type: ignore[attr-defined]
    places = sql.SQL(", ").join([sql.Placeholder()] * len(arguments))
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT {}({})").format(sql.Identifier(schema, function), places), arguments)
