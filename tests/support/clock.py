"""Sets the clock that an organization's SQL functions read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import connection

from tests.support.world import Organization

OF_MONEY = ("ledger_post", "ledger_post_many", "recharge_sell", "recharge_sell_bulk", "recharge_prospects")
"""The functions that look at the clock when something is sold or posted."""


class SetClock:
    """The clock of an organization's SQL functions: a function, and no table that Citus would have to join."""

    def __init__(self, schema: str) -> None:
        self.name = f"{schema}.clock"
        self(0)

    def __call__(self, seconds: float) -> None:
        """Sets it so many seconds before (or after) the right one."""
        self._set("clock_timestamp() + %s", timedelta(seconds=seconds))

    def run_from(self, moment: datetime) -> None:
        """It is this moment, and the clock goes on from there."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s - clock_timestamp()", [moment])
            (ahead,) = cursor.fetchone()
        self._set("clock_timestamp() + %s", ahead)

    def stop_at(self, moment: datetime) -> None:
        """It is this moment, and stays so."""
        self._set("%s", moment)

    def _set(self, reading: str, value: timedelta | datetime) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {self.name}() RETURNS timestamptz LANGUAGE plpgsql VOLATILE"
                f" AS $function$ BEGIN RETURN {reading}; END $function$",
                [value],
            )


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
        clock = SetClock(schema)
        try:
            for definition in definitions:
                assert "clock_timestamp()" in definition
                cursor.execute(definition.replace("clock_timestamp()", f"{clock.name}()"))
            yield clock
        finally:
            for definition in definitions:
                cursor.execute(definition)
            cursor.execute(f"DROP FUNCTION {clock.name}()")
