"""What the database holds, compared before and after: for tests of what must not have been written."""

from django.db import connection

_TABLES = """
    SELECT schemaname, tablename FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
    ORDER BY 1, 2
"""
_DIGEST = """
    SELECT md5(coalesce(string_agg(rows::text, chr(10) ORDER BY rows::text), '')) FROM "{}"."{}" AS rows
"""


def contents() -> dict[str, str]:
    """A digest of all rows of each table of each schema, by ``schema.table``."""
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        digests = {}
        for schema, table in cursor.fetchall():
            cursor.execute(_DIGEST.format(schema, table))
            digests[f"{schema}.{table}"] = cursor.fetchone()[0]
    return digests
