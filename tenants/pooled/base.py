"""Django's connection where a pooler (PgBouncer's transaction mode) gives each transaction another session.

What is set in a session then meets whoever is next in it, and ``search_path`` says whose tables a statement reads. So
nothing is ever set in a session here: each transaction carries its own ``search_path``, its isolation level and its
limits, by ``SET LOCAL`` in the very message of its first statement. A statement in autocommit is such a transaction:
the statements of one message are one to PostgreSQL, and one to the pooler. It costs no round trip.

What takes more than one message has no such head: a cursor of the server, COPY, a call of a procedure. Within a
transaction they get it before them; outside of one they raise, and reach nobody's rows.

That is all that is different from the backend of django-tenants. It is chosen by ``DATABASE_POOLER``; what needs a
session of its own goes past the pooler (tenants/direct.py).
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg2
from django_tenants.postgresql_backend import base
from django_tenants.utils import quote_schema_name
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS, cursor
from psycopg2.sql import Composable

_ISOLATION = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;"
"""Whatever the database's default is, as in saas/settings.py. A transaction may still ask for another one first."""


_OF_SESSION = re.compile(
    r"\s*(?:SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)|RESET\b|(?:UN)?LISTEN\b|PREPARE\b|DEALLOCATE\b|DISCARD\b"
    r"|CREATE\s+(?:LOCAL\s+)?TEMP)",
    re.IGNORECASE,
)
"""What would stay in the session. (Django-tenants' introspection is such: migrations go past the pooler.)"""


class TransactionCursor(cursor):  # type: ignore[misc]  # psycopg2 has no types
    """One whose statements say on which schemas they are."""

    def __init__(self, wrapper: "DatabaseWrapper", connection: Any, name: str | None = None) -> None:
        super().__init__(connection, name)
        self._wrapper = wrapper

    def execute(self, query: str | bytes | Composable, vars: Any = None) -> None:
        """Runs a statement behind what its transaction still lacks.

        Raises:
            psycopg2.NotSupportedError: a cursor of the server outside of a transaction; or what it would do stays in
                the session.
        """
        if isinstance(query, Composable):
            query = query.as_string(self.connection)
        elif isinstance(query, bytes):
            query = query.decode()
        if _OF_SESSION.match(query):
            raise psycopg2.NotSupportedError(f"Behind a pooler nothing is left in a session: {query[:60]}")
        if self.name is not None:
            self._begin()
            super().execute(query, vars)
            return
        head = self._wrapper.head_of_statement()
        if not head:
            super().execute(query, vars)
            return
        super().execute(head + query, vars)
        self._wrapper.head_was_sent()

    def executemany(self, query: Any, vars_list: Any) -> None:
        """psycopg2 sends them one by one."""
        self._begin()
        super().executemany(query, vars_list)

    def callproc(self, procname: str, parameters: Any = None) -> Any:
        self._begin()
        return super().callproc(procname, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        self._begin()
        super().copy_expert(sql, file, size)

    def copy_from(self, file: Any, table: str, *args: Any, **options: Any) -> None:
        self._begin()
        super().copy_from(file, table, *args, **options)

    def copy_to(self, file: Any, table: str, *args: Any, **options: Any) -> None:
        self._begin()
        super().copy_to(file, table, *args, **options)

    def _begin(self) -> None:
        if self.connection.autocommit:
            raise psycopg2.NotSupportedError(
                "Behind a pooler this needs a transaction: outside of one it would read by the search_path of whoever "
                "had the session before."
            )
        if head := self._wrapper.head_of_statement():
            with self.connection.cursor(cursor_factory=cursor) as plain:
                plain.execute(head)
            self._wrapper.head_was_sent()


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # django-tenants has no types
    """See above."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.transaction_parameters: dict[str, str] = {}
        """What else is set in each transaction, as :func:`shared.database.set_parameter` gives it."""
        super().__init__(*args, **kwargs)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.cursor_factory = partial(TransactionCursor, self)
        connection.isolation_level = None  # the driver would set it in the session
        return connection

    def head_of_statement(self) -> str:
        """What the transaction of the next statement still lacks, as statements; empty: nothing."""
        status = self.connection.get_transaction_status()
        if status == TRANSACTION_STATUS_IDLE:  # it is the first one
            parameters = "".join(
                f"SET LOCAL {name} = '{value}';" for name, value in self.transaction_parameters.items()
            )
            return f"{_ISOLATION}{parameters}{self._path()}"
        # Another organization's turn in the same transaction, or what was set went with a savepoint.
        if status == TRANSACTION_STATUS_INTRANS and self.search_path_set_schemas is None:
            return self._path()
        return ""

    def head_was_sent(self) -> None:
        """The transaction has what it lacked, until it ends (see above), the schema changes or a savepoint is rolled
        back (django-tenants forgets it then)."""
        self.search_path_set_schemas = self._get_cursor_search_paths()

    def _path(self) -> str:
        schemas: Sequence[str] = self._get_cursor_search_paths()
        return f"SET LOCAL search_path = {','.join(map(quote_schema_name, schemas))};"

    def _handle_search_path(self, cursor: Any = None) -> None:
        """The cursor does it when it is used: by then the transaction may be another one."""
