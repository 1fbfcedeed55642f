"""Settling recharges: what became of them is recorded, and booked where it costs or gives back money."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog

from credit.errors import BalanceLimitExceeded
from recharge.models import Recharge
from recharge.selling.errors import AlreadySettled, RechargeChanged
from recharge.selling.queries import recharge_by_id
from shared.audit import record
from shared.database import call_function, in_transaction, lock_seller
from shared.errors import NotFound
from shared.identity.epochs import OF_COMMAND, Access
from shared.identity.queries import why_access_is_over
from tenants.errors import OrganizationSuspended
from tenants.models import Organization
from tenants.wakeups import wake_workers

# All that is stored of one.
_COLUMNS = [field.attname for field in Recharge._meta.concrete_fields]
_SETTLED = "outcome, " + ", ".join(f"(settled).{name}" for name in _COLUMNS)

_log = structlog.get_logger("recharge.services")


class Settlement(StrEnum):
    """What telling the end of a recharge came to; see recharge_settle in sql/recharges.sql."""

    SETTLED = "settled"
    REPLAYED = "replayed"
    CHARGED_LATE = "charged_late"
    OWED = "owed"
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True)
class Settled:
    """A recharge, and what was done about it."""

    row: Recharge
    settlement: Settlement


def settle_recharge(
    *, organization: Organization, recharge_id: UUID, status: Recharge.Status, failure: str = ""
) -> Settled:
    """Records what became of a recharge.

    ``FAILED`` (with its reason in ``failure``) refunds it in the same transaction, once; ``UNKNOWN`` does not. What is
    told after the end, and otherwise, is booked as an entry of its own.

    Raises:
        NotFound: there is no such recharge.
        AlreadySettled: it has ended, and nothing that is told changes that.
        BalanceLimitExceeded: the refund would pass the largest balance.
        SellerBusy: too much else was going on for this seller; nothing was written.
    """
    arguments = [organization.pk, recharge_id, str(status), failure]
    return _settled(organization, "recharge_settle", arguments, OF_COMMAND)


def resolve_recharge(
    *,
    organization: Organization,
    recharge_id: UUID,
    status: Recharge.Status,
    reason: str,
    by: str,
    expected: tuple[str, str] | None = None,
    access: Access = OF_COMMAND,
) -> Settled:
    """Settles by hand what an admin has cleared up with the operator, and keeps who (a username) did it and why.
    ``access`` is of whoever does it.

    ``expected`` is the status and what came late as the admin saw them: who agreed to a refund has not agreed to a
    reversal. Settling it as it is already changes nothing, and is no error.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py); nothing was done.
        RechargeChanged: it is no longer as expected; nothing was done.
        OrganizationSuspended: it is, and this is not how the recharge ended before.
        As :func:`settle_recharge`.
    """
    if organization.status == Organization.Status.SUSPENDED:
        row = recharge_by_id(recharge_id, seller_id=None)
        if row.status != status or row.late == Recharge.Late.OWED:
            raise OrganizationSuspended
        return Settled(row, Settlement.REPLAYED)
    arguments = [organization.pk, recharge_id, str(status), reason, by, access.subject, access.epoch]

    def resolve() -> Settled:
        if expected:
            row = recharge_by_id(recharge_id, seller_id=None)
            lock_seller(organization.pk, row.seller_id)  # before the row's, as everywhere
            row = Recharge.objects.raw("SELECT * FROM recharge_hold(%s)", [recharge_id])[0]
            is_so_already = row.status == status and row.late != Recharge.Late.OWED
            if (row.status, row.late) != expected and not is_so_already:
                raise RechargeChanged
        settled = _settled(organization, "recharge_resolve", arguments, access)
        if settled.settlement != Settlement.REPLAYED:
            of_it = {"seller_id": settled.row.seller_id, "amount": settled.row.amount}
            after = {"status": status, "settlement": settled.settlement, "reason": reason, **of_it}
            record("recharge.resolved", str(recharge_id), after=after)
        return settled

    settled = in_transaction(resolve)
    wake_workers(organization.pk)  # of a message for a webhook, if there is one
    _log.info(
        "recharge_resolved",
        organization=organization.slug,
        by=by,
        recharge=str(recharge_id),
        status=str(status),
        settlement=str(settled.settlement),
    )
    return settled


def _settled(organization: Organization, function: str, arguments: list[Any], access: Access) -> Settled:
    outcome, *values = call_function(organization.schema_name, function, _SETTLED, arguments)
    match outcome:
        case "access_over":
            raise why_access_is_over(access, organization_id=organization.pk)
        case "already_settled":
            raise AlreadySettled(f"This recharge has {_recharge(values).status} for good.")
        case "over_limit":
            raise BalanceLimitExceeded("The balance would pass 9007199254740991 Tomans; nothing was done.")
        case "not_found":
            raise NotFound("There is no such recharge.")
    return Settled(_recharge(values), Settlement(outcome))


def _recharge(values: list[Any]) -> Recharge:
    return Recharge(**dict(zip(_COLUMNS, values, strict=True)))
