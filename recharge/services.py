"""Selling recharges, and settling what became of them."""

from typing import Any
from uuid import UUID

from credit.errors import BalanceLimitExceeded, InsufficientCredit
from credit.services import Written
from recharge.gateways import gateway_for
from recharge.models import Recharge
from shared.database import call_function
from shared.errors import NotFound, Problem, SellerInactive
from shared.idempotency import IdempotencyKeyReused
from tenants.models import Organization

_FIELDS = (
    "id",
    "seller_id",
    "idempotency_key",
    "phone_number",
    "operator",
    "amount",
    "status",
    "failure",
    "balance_after",
    "created_at",
    "completed_at",
)
_SOLD = "outcome, balance, " + ", ".join(f"(sold).{name}" for name in _FIELDS)
_SETTLED = "outcome, " + ", ".join(f"(settled).{name}" for name in _FIELDS)


class AlreadySettled(Problem):
    """409: the recharge has succeeded or failed for good."""

    status, code, title = 409, "already_settled", "Already settled"


def sell_recharge(
    *,
    organization: Organization,
    seller_id: int,
    idempotency_key: str,
    phone_number: str,
    operator: str,
    amount: int,
) -> Written[Recharge]:
    """Sells one recharge of ``amount`` Tomans: debits the seller and records it, both or neither; once per key.

    ``phone_number`` is E.164.

    Raises:
        InsufficientCredit: the balance does not bear it; nothing was written, and the key may be used again.
        SellerInactive: the seller was switched off.
        IdempotencyKeyReused: the key was used for another number, operator or amount.
        SellerBusy: too much else was going on for this seller; nothing was written.
    """
    outcome, balance, *values = call_function(
        organization.schema_name,
        "recharge_sell",
        _SOLD,
        [
            organization.pk,
            seller_id,
            idempotency_key,
            phone_number,
            operator,
            amount,
            gateway_for(operator).settles_in_sale,
        ],
    )
    match outcome:
        case "created" | "replayed":
            return Written(_recharge(values), is_replay=outcome == "replayed")
        case "insufficient_credit":
            raise InsufficientCredit(balance=balance, required=amount)
        case "key_reused":
            raise IdempotencyKeyReused
        case "seller_inactive":
            raise SellerInactive
    raise AssertionError(outcome)


def settle_recharge(
    *, organization: Organization, recharge_id: UUID, status: Recharge.Status, failure: str = ""
) -> Written[Recharge]:
    """Records what became of a recharge.

    ``FAILED`` (with its reason in ``failure``) refunds it in the same transaction, once; ``UNKNOWN`` does not.

    Raises:
        NotFound: there is no such recharge.
        AlreadySettled: it has succeeded or failed before, and not the same.
        BalanceLimitExceeded: the refund would pass the largest balance.
        SellerBusy: too much else was going on for this seller; nothing was written.
    """
    outcome, *values = call_function(
        organization.schema_name, "recharge_settle", _SETTLED, [organization.pk, recharge_id, str(status), failure]
    )
    match outcome:
        case "settled" | "replayed":
            return Written(_recharge(values), is_replay=outcome == "replayed")
        case "already_settled":
            raise AlreadySettled(f"This recharge has {_recharge(values).status} before.")
        case "over_limit":
            raise BalanceLimitExceeded("The balance would pass 9007199254740991 Tomans; nothing was done.")
        case "not_found":
            raise NotFound("There is no such recharge.")
    raise AssertionError(outcome)


def _recharge(values: list[Any]) -> Recharge:
    return Recharge(**dict(zip(_FIELDS, values, strict=True)))
