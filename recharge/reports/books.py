"""Proving organizations' books: first whether their schemas have what this release works with, then the books."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db import DatabaseError, connection, transaction
from django_tenants.utils import schema_context, tenant_context

from credit.queries import members_without_seller
from tenants.collation import changed_collation
from tenants.functions import PUBLIC
from tenants.models import Organization
from tenants.schemas import Condition, State, states_of

_RECONCILE = (Path(__file__).parents[1] / "sql" / "reconcile.sql").read_text()

_FAULT_OF = {
    Condition.BROKEN: "schema_broken",
    Condition.BEHIND: "schema_behind",
    Condition.DIFFERENT: "functions_differ",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that breaks one of the invariants of the books; or (``invariant`` is None) something else that is wrong."""

    invariant: int | None
    fault: str
    seller_id: int | None
    row: str
    detail: str


def find_faults() -> list[Fault]:
    """Proves the books of the current organization; what is returned is wrong with them (see sql/reconcile.sql)."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Every row is read anyway, so loops win nothing. Where the planner takes a table for empty that was filled
        # since it was last looked at, they cost minutes: 40,000 rows were compared with 40,000.
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(_RECONCILE)
        return [Fault(*row) for row in cursor.fetchall()]


def prove_books(organizations: Sequence[Organization]) -> Iterator[tuple[Organization, list[Fault]]]:
    """What is wrong with each of these organizations. One whose schema is broken is at fault, and the next follows.

    Raises:
        django.db.OperationalError: the database does not answer.
    """
    states = states_of([organization.schema_name for organization in organizations], thorough=True)
    for organization in organizations:
        state = states[organization.schema_name]
        faults = _faults_of_state(organization.schema_name, state)
        if state.condition is not Condition.BROKEN:
            faults += _faults_of_books(organization)
        yield organization, faults


def _faults_of_state(schema: str, state: State) -> list[Fault]:
    if state.condition not in _FAULT_OF:
        return []
    return [Fault(None, _FAULT_OF[state.condition], None, schema, state.detail)]


def _faults_of_books(organization: Organization) -> list[Fault]:
    try:
        with tenant_context(organization):
            faults = find_faults()
            return faults + [
                Fault(
                    None, "member_without_seller", seller_id, username,
                    "the seller is not in the schema; a new seller of this username gets the old id back",
                )
                for seller_id, username in members_without_seller(organization)
            ]  # fmt: skip
    except DatabaseError as error:
        if not connection.is_usable():
            raise
        return [Fault(None, "books_unreadable", None, organization.schema_name, str(error).strip().splitlines()[0])]


def prove_platform() -> list[Fault]:
    """What is wrong beside the organizations: with the public schema and with the database itself."""
    with schema_context(PUBLIC):
        faults = _faults_of_state(PUBLIC, states_of([PUBLIC])[PUBLIC])
        if changed := changed_collation():
            faults.append(Fault(None, "collation_changed", None, *changed))
    return faults
