"""Schemas that are broken, moved or older, as a restore or an upgrade leaves them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection
from django_tenants.utils import schema_context

from saas.embedded import _Cluster
from shared.identity.new_accounts import create_member
from tenants.models import Domain, Organization
from tenants.services import domain_of, provision_organization
from tests.support.world import database_url

PASSWORD = "correct horse battery"

_dumps: dict[str, bytes] = {}
"""Of each schema that was provisioned as it was then."""


def provision(slug: str) -> Organization:
    """An organization with its schema and an admin, boss.

    Of one slug the first is provisioned, which takes more than a second of CPU. Those after it get its schema back from
    a dump.
    """
    if slug in _dumps:
        return _restore(slug)
    row = provision_organization(slug=slug, name=slug.title(), admin_username="boss", admin_password=PASSWORD)
    _dumps[slug] = postgres("pg_dump", f"--schema={row.schema_name}", "--no-owner", database_url())
    return row


def _restore(slug: str) -> Organization:
    row = Organization.objects.create(slug=slug, name=slug.title(), schema_name=f"org_{slug}", status="active")
    Domain.objects.create(tenant=row, domain=domain_of(slug))
    create_member(organization_id=row.pk, slug=slug, role="admin", username="boss", password=PASSWORD)
    restore = ("--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1", database_url())
    postgres("psql", *restore, given=_dumps[slug])
    return row


def postgres(program: str, *arguments: str, given: bytes = b"") -> bytes:
    """What one of PostgreSQL's own programs says, which must succeed."""
    path = _Cluster(Path()).binaries / program
    return subprocess.run([str(path), *arguments], input=given, check=True, capture_output=True).stdout


def run_sql(statement: str, *, schema: str = "public") -> list[tuple]:
    """What a statement answers; a DBA might have run it."""
    with schema_context(schema), connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def changed(schema: str, change: str, undo: str) -> Iterator[None]:
    """While this lasts, a statement has changed the schema."""
    run_sql(change, schema=schema)
    try:
        yield
    finally:
        run_sql(undo, schema=schema)
