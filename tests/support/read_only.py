"""Makes the tests' database read only, as a standby is, or a primary that was failed over."""

from django.db import connection
from psycopg2 import sql

from tests.support.sessions import end_sessions


def set_read_only(on: bool) -> None:
    """From the next connection on, but for the tests' own. ``on`` ends those of others; off does not: who has connected
    while it was read only finds it so until the connection ends (tests/support/sessions.py)."""
    name = sql.Identifier(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = off")
        change = "SET default_transaction_read_only = on" if on else "RESET default_transaction_read_only"
        cursor.execute(sql.SQL("ALTER DATABASE {} " + change).format(name))
    if on:
        end_sessions()
