"""Closing periods. It runs on the organization's schema (``tenant_context``)."""

import json
from datetime import date

from django.db import connection

from credit.services import Written
from recharge.models import ClosedPeriod
from recharge.periods.errors import PeriodClosed, PeriodNotOver
from shared.audit import record
from shared.database import call_function, in_transaction
from tenants.models import Organization

_FIELDS = ("last_day", "first_day", "begins", "ends", "totals", "closed_at", "closed_by")
_COLUMNS = "outcome, " + ", ".join(f"(period).{name}" for name in _FIELDS)


def close_period(*, organization: Organization, last_day: date, closed_by: str) -> Written[ClosedPeriod]:
    """Closes all that is open until the end of ``last_day``, a day of the organization's time zone. May be repeated.

    Raises:
        PeriodNotOver: the day is not over.
        PeriodClosed: the day is within a period that was closed until a later one.
        SellerBusy: a sale took too long to end; nothing was done.
    """
    schema = organization.schema_name
    if not connection.in_atomic_block:
        call_function(schema, "ledger_await", "1", [])  # let go at once: sales wait for nothing that takes long

    def close() -> Written[ClosedPeriod]:
        outcome, *values = call_function(schema, "period_close", _COLUMNS, [last_day, closed_by])
        if outcome == "not_over":
            raise PeriodNotOver
        fields = dict(zip(_FIELDS, values, strict=True))
        period = ClosedPeriod(**fields | {"totals": json.loads(fields["totals"])})
        if outcome == "is_closed":
            raise PeriodClosed(period.last_day)
        if outcome == "closed":
            record("period.closed", last_day.isoformat(), after={"last_day": last_day.isoformat()})
        return Written(period, is_replay=outcome == "replayed")

    return in_transaction(close)
