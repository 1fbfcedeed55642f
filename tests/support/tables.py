"""What the database holds, compared before and after: for tests of what must not have been written."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from tests.support.cleaning import session

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
    with session().cursor() as cursor:
        cursor.execute(_TABLES)
        statement = " UNION ALL ".join(_DIGEST.format(schema, table) for schema, table in cursor.fetchall())
        # Prepared, for it takes much longer to plan than to run.
        name = f"contents_{sha256(statement.encode()).hexdigest()[:16]}"
        cursor.execute("SELECT FROM pg_prepared_statements WHERE name = %s", [name])
        if not cursor.rowcount:
            cursor.execute(f"PREPARE {name} AS {statement}")
        cursor.execute(f"EXECUTE {name}")
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
