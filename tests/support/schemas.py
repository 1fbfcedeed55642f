"""Schemas that are broken, moved or older, as a restore or an upgrade leaves them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django_tenants.utils import schema_context

from saas.embedded import _Cluster
from tenants.functions import server_version
from tenants.models import Organization
from tenants.services import provision_organization
from tests.support.scripts import run_script

PASSWORD = "correct horse battery"


def provision(slug: str) -> Organization:
    """An organization with its schema and an admin, boss."""
    return provision_organization(slug=slug, name=slug.title(), admin_username="boss", admin_password=PASSWORD)


def postgres(program: str, *arguments: str, given: bytes = b"") -> bytes:
    """What one of PostgreSQL's own programs says, which must succeed. Those of the tests' server's version are taken
    where Debian's package of it is there: pg_restore says something to the server that an older one does not know."""
    own = Path(f"/usr/lib/postgresql/{server_version()}/bin") / program
    path = own if own.exists() else _Cluster(Path()).binaries / program
    return subprocess.run([str(path), *arguments], input=given, check=True, capture_output=True).stdout


def run_sql(statements: str, *, schema: str = "public") -> list[tuple]:
    """What a statement answers, or the last of several; a DBA might have run them."""
    with schema_context(schema):
        return run_script(statements)


@contextmanager
def changed(schema: str, change: str, undo: str) -> Iterator[None]:
    """While this lasts, a statement has changed the schema."""
    run_sql(change, schema=schema)
    try:
        yield
    finally:
        run_sql(undo, schema=schema)
