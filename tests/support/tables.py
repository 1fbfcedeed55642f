"""What the database holds, compared before and after: for tests of what must not have been written."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

_TABLES = """
    SELECT schemaname, tablename FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
    ORDER BY 1, 2
"""
_DIGEST = """
    SELECT '{0}.{1}', md5(coalesce(string_agg(rows::text, chr(10) ORDER BY rows::text), '')) FROM "{0}"."{1}" AS rows
"""


def contents() -> dict[str, str]:
    """A digest of all rows of each table of each schema, by ``schema.table``."""
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        cursor.execute(" UNION ALL ".join(_DIGEST.format(schema, table) for schema, table in cursor.fetchall()))
        return dict(cursor.fetchall())


@contextmanager
def nothing_written(but: tuple[str, ...] = ()) -> Iterator[None]:
    """No row of any organization or of the platform is added, changed or removed in this block (but the count of tries
    to sign in, which is there to change, and sessions, in which a page keeps what it is to say). ``but``: tables, as
    ``schema.table``, which are not looked at."""
    names = ("public.shared_signinattempts", "public.django_session", "public.shared_refreshfamily", *but)
    left_out = dict.fromkeys(names, "")
    before = contents() | left_out
    yield
    assert contents() | left_out == before
