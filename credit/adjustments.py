"""Writes of adjustments, and of what an organization demands of those who approve (four eyes). They run on the
organization's schema (``tenant_context``)."""

from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.db import transaction

from credit.errors import AlreadyDecided, BalanceLimitExceeded, FourEyes, InsufficientCredit, InvalidPolicy
from credit.models import Adjustment, CreditRequest, Policy
from credit.queries import is_time_zone
from credit.services import Written
from shared.audit import record, record_change
from shared.database import call_function, in_transaction, lock_seller
from shared.errors import IdempotencyKeyReused, InvalidRequest, NotFound
from shared.identity.epochs import OF_COMMAND, Access
from shared.identity.queries import why_access_is_over
from tenants.errors import OrganizationSuspended
from tenants.models import Organization
from tenants.wakeups import wake_workers

_FIELDS = (
    "id",
    "seller_id",
    "idempotency_key",
    "amount",
    "reason",
    "reference",
    "status",
    "created_at",
    "asked_by",
    "asked_by_id",
    "decided_at",
    "decided_by",
    "decided_by_id",
    "decision_reason",
)
_COLUMNS = "outcome, balance, " + ", ".join(f"(adjustment).{name}" for name in _FIELDS)


class PolicyChange(TypedDict, total=False):
    """What may be changed of :class:`Policy`; what is not given stays."""

    four_eyes_from: int | None
    """From which amount on (Tomans; None: never) an adjustment or a credit request needs two people. What was
    asked for, or approved once, before goes on as it began."""
    requests_go_to_parent: bool
    """Whether who has a parent asks that one for credit, from now on."""

    time_zone: str
    """The IANA name of the zone in which the organization's days begin."""


def change_policy(**changes: Unpack[PolicyChange]) -> Policy:
    """Changes what an organization demands, and where its days begin.

    Raises:
        InvalidPolicy: there is no such time zone.
    """
    if "time_zone" in changes and not is_time_zone(changes["time_zone"]):
        raise InvalidPolicy.of_field("time_zone", "unknown_time_zone", "This must be an IANA name, like Asia/Tehran.")
    with transaction.atomic():
        policy, _ = Policy.objects.select_for_update().get_or_create(pk=1)
        before = {name: getattr(policy, name) for name in changes}
        for name, value in changes.items():
            setattr(policy, name, value)
        policy.save(update_fields=list(changes))
        record_change("settings.changed", before=before, after=changes)
    return policy


def create_adjustment(
    *,
    organization: Organization,
    seller_id: int,
    idempotency_key: str,
    amount: int,
    reason: str,
    reference: str = "",
    asked_by: str,
    asked_by_id: int,
    access: Access = OF_COMMAND,
) -> Written[Adjustment]:
    """Asks for ``amount`` Tomans more (negative: less) on a seller's balance; once per asker and key. It is posted at
    once, or (from the organization's threshold on) waits for a second person. ``access``: of whoever asks.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        InvalidRequest: there is no such seller.
        IdempotencyKeyReused: the asker used the key for something else.
        OrganizationSuspended: it is, and the key was not used before.
        InsufficientCredit: the balance does not bear it; nothing was done.
        BalanceLimitExceeded: the balance would pass the largest one; nothing was done.
        SellerBusy: too much else was going on for this seller.
    """
    content = (seller_id, amount, reason, reference)
    if organization.status == Organization.Status.SUSPENDED:
        return _asked_before(organization, asked_by_id, idempotency_key, content)

    def ask() -> tuple[str, int, Adjustment]:
        outcome, balance, row = _call(
            organization,
            "adjustment_create",
            [
                organization.pk,
                seller_id,
                idempotency_key,
                amount,
                reason,
                reference,
                asked_by,
                asked_by_id,
                access.subject,
                access.epoch,
            ],
        )
        if outcome == "created":
            told = {"seller_id": seller_id, "amount": amount, "reason": reason, "reference": reference}
            record("adjustment.asked", str(row.pk), after=told | {"status": str(row.status)})
        return outcome, balance, row

    outcome, balance, row = in_transaction(ask)
    match outcome:
        case "created" | "replayed":
            if outcome == "created" and row.status == Adjustment.Status.APPROVED:
                wake_workers(organization.pk)  # there may be alerts to send
            return Written(row, is_replay=outcome == "replayed")
        case "key_reused":
            raise IdempotencyKeyReused
        case "no_seller":
            raise InvalidRequest.of_field("seller_id", "no_such_seller", "There is no such seller.")
    raise _refusal(outcome, balance, amount, organization, access)


def _asked_before(
    organization: Organization, asked_by_id: int, idempotency_key: str, content: tuple[int, int, str, str]
) -> Written[Adjustment]:
    with transaction.atomic():
        lock_seller(organization.pk, content[0])  # one that was let in before the suspension has ended
        row = Adjustment.objects.filter(idempotency_key=idempotency_key, asked_by_id=asked_by_id).first()
    if row is None:
        raise OrganizationSuspended
    if (row.seller_id, row.amount, row.reason, row.reference) != content:
        raise IdempotencyKeyReused
    return Written(row, is_replay=True)


def approve_adjustment(
    *,
    organization: Organization,
    adjustment_id: UUID,
    decided_by: str,
    decided_by_id: int,
    access: Access = OF_COMMAND,
) -> Written[Adjustment]:
    """Approves an adjustment and posts its amount, in one transaction; once, however often called.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        NotFound: there is no such adjustment.
        FourEyes: whoever decides has asked for it.
        AlreadyDecided: it was rejected.
        OrganizationSuspended: it is, and this was not decided before.
        InsufficientCredit: the balance does not bear it; it still waits.
        BalanceLimitExceeded: the balance would pass the largest one; it still waits.
        SellerBusy: too much else was going on for this seller.
    """
    return _decide(organization, adjustment_id, Adjustment.Status.APPROVED, "", decided_by, decided_by_id, access)


def reject_adjustment(
    *,
    organization: Organization,
    adjustment_id: UUID,
    reason: str,
    decided_by: str,
    decided_by_id: int,
    access: Access = OF_COMMAND,
) -> Written[Adjustment]:
    """Rejects an adjustment; once, however often called (the first reason stays). Whoever asked for it withdraws it so.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        NotFound: there is no such adjustment.
        AlreadyDecided: it was approved.
        OrganizationSuspended: it is, and this was not decided before.
        SellerBusy: too much else was going on for this seller.
    """
    return _decide(organization, adjustment_id, Adjustment.Status.REJECTED, reason, decided_by, decided_by_id, access)


def _decide(
    organization: Organization,
    adjustment_id: UUID,
    status: CreditRequest.Status,
    reason: str,
    decided_by: str,
    decided_by_id: int,
    access: Access,
) -> Written[Adjustment]:
    if organization.status == Organization.Status.SUSPENDED:
        before = Adjustment.objects.filter(pk=adjustment_id, status=status).first()
        if before is None:
            raise OrganizationSuspended
        return Written(before, is_replay=True)

    def decide() -> tuple[str, int, Adjustment]:
        outcome, balance, row = _call(
            organization,
            "adjustment_decide",
            [
                organization.pk,
                adjustment_id,
                str(status),
                reason,
                decided_by,
                decided_by_id,
                access.subject,
                access.epoch,
            ],
        )
        if outcome == "decided":
            told = {"status": str(status), "seller_id": row.seller_id, "amount": row.amount}
            if reason:
                told["reason"] = reason
            record(f"adjustment.{status}", str(adjustment_id), before={"status": "pending"}, after=told)
        return outcome, balance, row

    outcome, balance, row = in_transaction(decide)
    match outcome:
        case "decided" | "replayed":
            if outcome == "decided":
                wake_workers(organization.pk)  # there may be alerts to send
            return Written(row, is_replay=outcome == "replayed")
        case "already_decided":
            raise AlreadyDecided(f"This adjustment was {row.status} on {row.decided_at:%Y-%m-%d}.")
        case "four_eyes":
            raise FourEyes
        case "not_found":
            raise NotFound("There is no such adjustment.")
    raise _refusal(outcome, balance, row.amount, organization, access)


def _refusal(outcome: str, balance: int, amount: int, organization: Organization, access: Access) -> Exception:
    match outcome:
        case "insufficient":
            return InsufficientCredit(balance=balance, required=-amount)
        case "over_limit":
            return BalanceLimitExceeded("The balance would pass 9007199254740991 Tomans; nothing was done.")
        case "access_over":
            return why_access_is_over(access, organization_id=organization.pk)
    raise AssertionError(outcome)


def _call(organization: Organization, function: str, arguments: list[Any]) -> tuple[str, int, Adjustment]:
    outcome, balance, *values = call_function(organization.schema_name, function, _COLUMNS, arguments)
    return outcome, balance, Adjustment(**dict(zip(_FIELDS, values, strict=True)))
