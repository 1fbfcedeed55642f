"""Makes statements. It runs on the organization's schema (``tenant_context``)."""

import json
from datetime import date
from typing import Any

from django.db import transaction

from credit.services import Written
from recharge.models import Statement
from recharge.statements.errors import InvalidPeriod
from shared.audit import record
from shared.database import call_function, in_transaction, lock_seller
from shared.errors import NotFound
from tenants.models import Organization

LONGEST_PERIOD = 366
"""Days of a statement at most."""

EARLIEST_DAY = date(2000, 1, 1)
"""Nothing was sold before; a year of the Jalali calendar is before, too."""

MOST_ENTRIES = 200_000
"""Entries of a statement at most: a PDF of a hundred thousand takes half a minute, and two minutes are its deadline."""

_FIELDS = tuple(field.attname for field in Statement._meta.concrete_fields)
_COLUMNS = "outcome, entries, " + ", ".join(f"(statement).{name}" for name in _FIELDS)


def make_statement(
    *, organization: Organization, seller_id: int, first_day: date, last_day: date, made_by: str, made_by_id: int
) -> Written[Statement]:
    """The statement of a seller's days, from the first to the last (both included), in the organization's time zone.

    If there is one of these days and no entry has come since, it is that one. Today may be the last day: the statement
    is then of what there is until now.

    Raises:
        InvalidPeriod: the days are in the wrong order, too many, too long ago or in the future; or there are too many
            entries.
        NotFound: there is no such seller.
        SellerBusy: too much else was going on for this seller.
    """
    if first_day > last_day:
        raise InvalidPeriod.of_field("to", "from_after_to", "This must not be before `from`.")
    if (last_day - first_day).days >= LONGEST_PERIOD:
        raise InvalidPeriod.of_field("to", "period_too_long", f"A statement has {LONGEST_PERIOD} days at most.")
    if first_day < EARLIEST_DAY:
        raise InvalidPeriod.of_field(
            "from", "too_early", f"Days are of the Gregorian calendar, from {EARLIEST_DAY} on."
        )

    # Whatever happened before now is committed when the lock is granted. It is not held: reading a hundred thousand
    # entries takes a second, and they never change.
    with transaction.atomic():
        lock_seller(organization.pk, seller_id)

    def make() -> tuple[str, int | None, Statement]:
        arguments = [seller_id, first_day, last_day, MOST_ENTRIES, made_by, made_by_id]
        outcome, entries, *values = call_function(organization.schema_name, "statement_make", _COLUMNS, arguments)
        row = Statement(**dict(zip(_FIELDS, values, strict=True)))
        row.totals = row.totals and json.loads(row.totals)  # the driver leaves JSON to Django's fields
        if outcome == "created":
            told: dict[str, Any] = {"seller_id": seller_id, "from": str(first_day), "to": str(last_day)}
            record("statement.made", str(row.pk), after=told | {"digest": bytes(row.digest).hex()})
        return outcome, entries, row

    outcome, entries, row = in_transaction(make)
    match outcome:
        case "created" | "replayed":
            return Written(row, is_replay=outcome == "replayed")
        case "no_seller":
            raise NotFound("There is no such seller.")
        case "future":
            raise InvalidPeriod.of_field(
                "to", "day_not_begun", "This day has not begun yet in the organization's time zone."
            )
        case "too_many":
            raise InvalidPeriod.of_field(
                "to",
                "too_many_entries",
                f"There are {entries} entries in this period; a statement has {MOST_ENTRIES} at most.",
            )
    raise AssertionError(outcome)
