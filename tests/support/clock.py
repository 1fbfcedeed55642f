"""Sets the clock that an organization's SQL functions read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.db import connection

from tests.support.world import Organization

OF_MONEY = ("ledger_post", "ledger_post_many", "recharge_sell", "recharge_sell_bulk", "recharge_prospects")
"""The functions that look at the clock when something is sold or posted."""


class SetClock:
    """The clock of an organization's SQL functions."""

    def __init__(self, schema: str) -> None:
        self._schema = schema

    def __call__(self, seconds: float) -> None:
        """Sets it so many seconds before (or after) the right one."""
        self._set("at = NULL, ahead = make_interval(secs => %s)", seconds)

    def run_from(self, moment: datetime) -> None:
        """It is this moment, and the clock goes on from there."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s - clock_timestamp()", [moment])
            (ahead,) = cursor.fetchone()
        self._set("at = NULL, ahead = %s", ahead)

    def stop_at(self, moment: datetime) -> None:
        """It is this moment, and stays so."""
        self._set("at = %s", moment)

    def _set(self, columns: str, value: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {self._schema}.clock SET {columns}", [value])


@contextmanager
def clock_of(organization: Organization, functions: Sequence[str] = OF_MONEY) -> Iterator[SetClock]:
    """Within it, these functions of the organization read a clock that can be set."""
    schema = organization.row.schema_name
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = %s::regnamespace AND proname = ANY (%s)",
            [schema, list(functions)],
        )
        definitions = [definition for (definition,) in cursor.fetchall()]
        assert len(definitions) == len(functions)
        cursor.execute(f"CREATE TABLE {schema}.clock AS SELECT NULL::timestamptz AS at, interval '0' AS ahead")
        cursor.execute(f"GRANT SELECT ON {schema}.clock TO PUBLIC")
        # A function: Citus takes no statement that reads this table and calls what reads others.
        cursor.execute(
            f"""
            CREATE FUNCTION {schema}.clock_read() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $function$
            BEGIN
                RETURN (SELECT coalesce(clock.at, clock_timestamp() + clock.ahead) FROM {schema}.clock AS clock);
            END
            $function$
            """
        )
        try:
            for definition in definitions:
                assert "clock_timestamp()" in definition
                cursor.execute(definition.replace("clock_timestamp()", f"{schema}.clock_read()"))
            yield SetClock(schema)
        finally:
            for definition in definitions:
                cursor.execute(definition)
            cursor.execute(f"DROP FUNCTION {schema}.clock_read()")
            cursor.execute(f"DROP TABLE {schema}.clock")
