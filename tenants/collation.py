"""Tells whether the database still sorts text in the order that its indexes were made in."""

from django.db import connection

# A locale without a version (C, PostgreSQL's own C.UTF-8) never changes; NULL then.
_VERSIONS = """
    SELECT datname, datcollversion, pg_database_collation_actual_version(oid)
    FROM pg_database WHERE datname = current_database() AND datcollversion IS NOT NULL
"""


def changed_collation() -> tuple[str, str] | None:
    """The database's name, and in words how its locale changed under it, as with an update of the system; None: it did
    not. What is unique and what is looked up by an index is COLLATE "C" here, and right whatever a locale does;
    Django's own tables and the order of lists are not."""
    with connection.cursor() as cursor:
        cursor.execute(_VERSIONS)
        row = cursor.fetchone()
    if row is None or row[1] == row[2]:
        return None
    name, made, now = row
    return name, (
        f"its locale's version was {made} and is {now or 'none'}: indexes of text may be out of order. "
        f'REINDEX DATABASE "{name}", then ALTER DATABASE "{name}" REFRESH COLLATION VERSION'
    )
