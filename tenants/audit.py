"""Writes the platform's audit table: who did what to which organization, from where. Runs on the public schema.

Services write it in the transaction of the act that it records; the database refuses to change it (sql/audit.sql).
What is done on the platform's host to something else than an organization is written by shared/audit.py, into the same
table.
"""

from collections.abc import Mapping
from typing import Any

from django_tenants.utils import get_public_schema_name

from shared.audit import write_row
from tenants.models import AuditRecord

LONGEST_DETAIL = 300


def record(
    *,
    action: AuditRecord.Action,
    organization: str = "",
    faults: int | None = None,
    detail: str = "",
    object: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Appends a line of whoever acts now (shared/identity/acting.py): the organization's slug, and (of a
    reconciliation) how many faults it found; or what else it was done to (``object``), with the fields that changed."""
    more = [organization, faults, detail.replace("\0", "")[:LONGEST_DETAIL]]
    write_row(action, object, before=before, after=after, by=None, schema=get_public_schema_name(), more=more)
