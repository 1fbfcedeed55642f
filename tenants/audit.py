"""Writes and reads the audit log: who did what to which organization, from where. Runs on the public schema.

Services write it in the transaction of the act that it records; the database refuses to change it (sql/audit.sql).
"""

from dataclasses import dataclass

from django.http import HttpRequest

from shared.identity.lockout import client_address
from shared.models import User
from shared.requests import request_id_of
from tenants.models import AuditRecord

LONGEST_ADDRESS = 45
"""Characters of an IPv6 address at most; what a proxy hands on may be anything."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks a service for something: a platform admin (by the user's id) from an address, or a command."""

    user_id: int | None
    address: str = ""
    request_id: str = ""


COMMAND = Actor(user_id=None)
"""Somebody at the server's own shell, or a timer there."""


def actor_of(request: HttpRequest, user_id: int | None) -> Actor:
    """The user whose request this is."""
    return Actor(user_id, client_address(request), request_id_of(request))


def record(
    *, by: Actor, action: AuditRecord.Action, organization: str = "", faults: int | None = None, detail: str = ""
) -> None:
    """Appends a line: the organization's slug, and (of a reconciliation) how many faults it found."""
    username = None
    if by.user_id is not None:
        username = User.objects.filter(pk=by.user_id).values_list("username", flat=True).first()
    AuditRecord.objects.create(
        user_id=by.user_id,
        username=username or "",
        action=action,
        organization=organization,
        faults=faults,
        detail=detail[:300],
        address=by.address[:LONGEST_ADDRESS],
        request_id=by.request_id,
    )
