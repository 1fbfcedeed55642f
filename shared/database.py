"""Calls the money functions: one statement, one round trip, in autocommit."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db import connection as django_connection
from psycopg2 import errorcodes, sql

from shared import tracing
from shared.errors import SellerBusy
from shared.sick import sqlstate_of

connection: Any = django_connection

T = TypeVar("T")

LARGEST_ID = 2**63 - 1
"""The largest ``bigint``."""


def call_function(schema: str, function: str, columns: str, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """The one row that :func:`call_set_function` gives for a function that answers one."""
    (row,) = call_set_function(schema, function, columns, arguments)
    return row


def call_set_function(schema: str, function: str, columns: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Calls one of the SQL functions of an organization's schema and returns the rows that it answers.

    The name is schema-qualified and the function pins its own search path, so this goes to the driver's cursor beside
    django-tenants, which would spend a second round trip on ``SET search_path``.

    On a cluster (tenants/placed/base.py) it is made at the node that holds the schema, unless it is part of a
    transaction, which may touch the platform's tables, too.

    If the connection turns out to be dead, the call is repeated once on a new one: every money function either is
    idempotent by its key or decides something once, so that a repetition of what had in fact been done finds it done.
    So it is if the database ended it in favour of others. Inside a transaction nothing is repeated.

    Raises:
        SellerBusy: the lock was not granted within the function's ``lock_timeout``.
        django.db.OperationalError: the database can't be reached.
    """
    return call_for_each(schema, function, columns, [arguments])


def call_for_each(
    schema: str, function: str, columns: str, arguments: Sequence[Sequence[Any]], *, last_types: tuple[str, ...] = ()
) -> list[tuple[Any, ...]]:
    """Calls a function that answers one row as often as there are lists of arguments, in their order, in one statement.

    ``last_types`` are those of the last arguments, which may be None in every call: a column of NULLs would be taken
    for text. Either all of it is done or none. For the rest see :func:`call_set_function`.
    """
    calls = len(arguments)
    statement = _statement(schema, function, columns, len(arguments[0]), calls, last_types)
    with tracing.call(function, calls):
        if calls == 1:
            return _call(schema, statement, arguments[0], _execute_prepared)
        return _call(schema, statement, [argument for call in arguments for argument in call], _execute)


def array_literal(elements: Sequence[str]) -> str:
    """An array as PostgreSQL writes one, for an argument whose type the function declares.

    Of a list the driver makes an expression with a literal for each element, which takes five lists of a thousand 6.1
    ms to write and to read; this takes 0.9.
    """
    if any('"' in element or "\\" in element for element in elements):
        elements = [element.replace("\\", "\\\\").replace('"', '\\"') for element in elements]
    return '{"' + '","'.join(elements) + '"}' if elements else "{}"


_Execute = Callable[[Any, str, Sequence[Any]], list[tuple[Any, ...]]]

_BEGIN_ANEW = {errorcodes.SERIALIZATION_FAILURE, errorcodes.DEADLOCK_DETECTED}
"""Nothing was done, and the database asks to begin anew: see recharge_settle for the first."""


def _call(schema: str, statement: str, arguments: Sequence[Any], execute: _Execute) -> list[tuple[Any, ...]]:
    current = entered(schema)
    try:
        return execute(current, statement, arguments)
    except (DatabaseError, InterfaceError) as error:
        code = sqlstate_of(error)
        if code == errorcodes.LOCK_NOT_AVAILABLE:
            raise SellerBusy from None
        if current.in_atomic_block or not (code in _BEGIN_ANEW or _needs_another(current, error)):
            raise
    try:
        return execute(entered(schema), statement, arguments)
    except OperationalError as error:
        if sqlstate_of(error) == errorcodes.LOCK_NOT_AVAILABLE:
            raise SellerBusy from None
        raise


def entered(schema: str) -> Any:
    """Django's connection for a statement in autocommit that names this organization's schema: on a cluster it is one
    to the node that holds it, else, or inside of a transaction, this thread's own.

    Raises:
        django.db.OperationalError: the node did not answer a moment ago.
    """
    current: Any = connections[DEFAULT_DB_ALIAS]  # looked up once: each look takes 1 µs
    enter = getattr(current, "at_node_of", None)
    return current if enter is None or current.in_atomic_block else enter(schema)


def _needs_another(current: Any, error: Exception) -> bool:
    """Whether the call is to be repeated on a new connection, for this one is dead, or leads to where the schema is no
    longer. It is closed then."""
    has_left: Callable[[Exception], bool] | None = getattr(current, "has_left", None)
    if has_left is not None:
        return has_left(error)
    if not isinstance(error, OperationalError | InterfaceError) or current.is_usable():
        return False
    current.close()
    return True


def set_parameter(current: Any, name: str, value: str) -> None:
    """Sets a parameter of PostgreSQL (a name and a value of our own source) for all that this connection of Django's
    does, once it is open: in its session, or, where a pooler gives it many, in each of its transactions."""
    if _keeps_its_session(current):
        # By a statement: a pooler of sessions may refuse a connection that asks for it at its start.
        with current.connection.cursor() as cursor:
            cursor.execute(f"SET {name} = '{value}'")
    else:
        current.transaction_parameters[name] = value


def _keeps_its_session(current: Any) -> bool:
    """False behind a pooler of transactions (tenants/pooled/base.py)."""
    return not hasattr(current, "transaction_parameters")


class TookTooLong(Exception):
    """A statement did not end within its time (:func:`within`)."""


@contextmanager
def within(milliseconds: int) -> Iterator[None]:
    """Reads in one transaction, of which no statement may take longer than this.

    Raises:
        TookTooLong: one did; what was read before it is good.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
            yield
    except OperationalError as error:
        if sqlstate_of(error) != errorcodes.QUERY_CANCELED:
            raise
        raise TookTooLong from None


def in_transaction(work: Callable[[], T]) -> T:
    """Does ``work`` in one transaction: a call of a money function, and what is to be written beside it. Like a call
    (:func:`call_set_function`) it is repeated once if the connection turns out to be dead; what had in fact been done
    finds it done. Inside a transaction it is a part of that.
    """
    if connection.in_atomic_block:
        return work()
    used = None
    try:
        with transaction.atomic():
            used = connection.connection
            return work()
    except (OperationalError, InterfaceError) as error:
        if sqlstate_of(error) not in _BEGIN_ANEW:
            # Leaving the block has opened a new connection in place of one that died, which is usable.
            if used in (None, connection.connection) and connection.is_usable():
                raise
            connection.close()
    with transaction.atomic():
        return work()


def lock_seller(organization_id: int, seller_id: int) -> None:
    """Takes the seller's lock until the transaction ends, on the organization's schema, as the money functions do.

    Raises:
        SellerBusy: it was not granted within three seconds.
    """
    assert connection.in_atomic_block
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '3s'")
            cursor.execute("SELECT seller_lock(%s, %s)", [organization_id, seller_id])
    except OperationalError as error:
        if sqlstate_of(error) == errorcodes.LOCK_NOT_AVAILABLE:
            raise SellerBusy from None
        raise


@lru_cache(maxsize=10_000)
def _statement(
    schema: str, function: str, columns: str, arguments: int, calls: int = 1, last_types: tuple[str, ...] = ()
) -> str:
    # `columns` is a constant of our own source.
    selected, called = sql.SQL(columns), sql.Identifier(schema, function)
    given = sql.SQL(", ").join([sql.Placeholder()] * arguments)
    if calls == 1:
        composed = sql.SQL("SELECT {} FROM {}({}) AS answer").format(selected, called, given)
    else:
        # A nested loop over the rows of VALUES, as they stand.
        columns_of_values = [sql.Identifier(f"argument_{i}") for i in range(arguments)]
        names = sql.SQL(", ").join(columns_of_values)
        casts = ["", *(f"::{name}" for name in last_types)]
        passed = sql.SQL(", ").join(
            sql.SQL("{}{}").format(column, sql.SQL(casts[max(0, i - arguments + len(casts))]))
            for i, column in enumerate(columns_of_values)
        )
        rows = sql.SQL(", ").join([sql.SQL("({})").format(given)] * calls)
        composed = sql.SQL("SELECT {} FROM (VALUES {}) AS given ({}), LATERAL {}({}) AS answer").format(
            selected, rows, names, called, passed
        )
    current = entered(schema)
    current.ensure_connection()  # it knows how names are quoted
    statement: str = composed.as_string(current.connection)
    return statement


def _execute(current: Any, statement: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
    _make_usable(current)
    return _fetch(current, statement, arguments)


def _execute_prepared(current: Any, statement: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
    _make_usable(current)
    if not current.in_atomic_block and _keeps_its_session(current) and (prepared := _prepared(current, statement)):
        try:
            return _fetch(current, prepared, arguments)
        except DatabaseError as error:
            if sqlstate_of(error) not in _PREPARED_IN_VAIN:
                raise
            current.prepared = None
            with current.wrap_database_errors, current.connection.cursor() as cursor:
                cursor.execute("DEALLOCATE ALL")
    return _fetch(current, statement, arguments)


def _make_usable(current: Any) -> None:
    current.ensure_connection()
    current.validate_no_broken_transaction()


def _fetch(current: Any, statement: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
    with current.wrap_database_errors, current.connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


_PREPARED_IN_VAIN = {errorcodes.INVALID_SQL_STATEMENT_NAME, errorcodes.FEATURE_NOT_SUPPORTED}
"""Somebody has discarded what a session had prepared; a function was replaced by one with another result. Nothing was
done, and the statement itself still works."""

MOST_PREPARED = 2000
"""Statements that a connection keeps prepared. Each takes some memory in the database, as the plans of an
organization's functions do, and goes with the connection (see ORGANIZATIONS_PER_CONNECTION)."""


def _prepared(current: Any, statement: str) -> str | None:
    """What calls a statement that is prepared on this connection: from its second use on, each. It spares the database
    8 % of a sale: the statement is read and planned once."""
    prepared = getattr(current, "prepared", None)
    if prepared is None or prepared[0] is not current.connection:
        prepared = current.prepared = (current.connection, {})
    calls: dict[str, str | None] = prepared[1]
    call = calls.get(statement)
    if call is not None:
        return call
    if statement not in calls:
        if len(calls) < MOST_PREPARED:
            calls[statement] = None  # it was used once
        return None
    arguments = statement.count("%s")
    # By its text: whoever else may get this session (behind a pooler that nobody has told us of) has another
    # organization's statements, and must never find them under the name of his own.
    name = f"call_{sha256(statement.encode()).hexdigest()[:40]}"
    numbers = iter(range(1, arguments + 1))
    numbered = re.sub("%s", lambda _: f"${next(numbers)}", statement)
    with current.wrap_database_errors, current.connection.cursor() as cursor:
        cursor.execute(f"PREPARE {name} AS {numbered}")
    calls[statement] = call = f"EXECUTE {name}" + (f" ({', '.join(['%s'] * arguments)})" if arguments else "")
    return call
