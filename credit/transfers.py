"""Transfers of credit between a dealer and his children, and a dealer's decisions about what they ask him for. They run
on the organization's schema (``tenant_context``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import BigIntegerField, Case, F, Q, QuerySet, When

from credit.errors import AlreadyDecided, BalanceLimitExceeded, GiverOwes, InsufficientCredit, OtherSellerInactive
from credit.models import CreditRequest, Entry, Transfer, kinds_of_document
from credit.queries import filtered
from credit.services import REQUEST_COLUMNS, REQUEST_FIELDS, Written
from shared.audit import record
from shared.database import call_function, in_transaction, lock_seller
from shared.errors import IdempotencyKeyReused, InvalidRequest, NotFound, SellerInactive
from shared.identity.epochs import OF_COMMAND, Access
from shared.identity.queries import name_of_actor, why_access_is_over
from tenants.errors import OrganizationSuspended
from tenants.models import Organization
from tenants.wakeups import wake_workers

_FIELDS = (
    "id",
    "giver_id",
    "receiver_id",
    "idempotency_key",
    "amount",
    "note",
    "created_at",
    "made_by",
    "user_id",
    "key_id",
    "credit_request_id",
)
_COLUMNS = "outcome, balance, " + ", ".join(f"(transfer).{name}" for name in _FIELDS)

GIVEN, RECEIVED = "given", "received"


class Shown(NamedTuple):
    """A transfer as one of the two is shown it (or, to who sees all, as the giver is)."""

    row: Transfer
    balance_after: int
    """Tomans, of the seller's own entry."""


@dataclass(frozen=True, slots=True)
class _Given:
    outcome: str
    balance: int
    row: Transfer


def transfer_credit(
    *,
    organization: Organization,
    giver_id: int,
    receiver_id: int,
    idempotency_key: str,
    amount: int,
    note: str = "",
    access: Access = OF_COMMAND,
) -> Written[Shown]:
    """Gives ``amount`` Tomans of a seller's balance to his parent or to a child of his; once per key. ``access``: of
    whoever gives. What the receiver owes is charged first.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        InvalidRequest: it is to oneself.
        NotFound: the receiver is neither parent nor child; that there is such a seller is not told.
        SellerInactive: the giver is switched off.
        OtherSellerInactive: the receiver is.
        GiverOwes: the giver owes a late charge, and the organization lets nobody who does spend.
        InsufficientCredit: the giver's balance does not bear it; nothing was done.
        BalanceLimitExceeded: the receiver's balance would pass the largest one; nothing was done.
        IdempotencyKeyReused: the giver used the key for something else.
        OrganizationSuspended: it is, and the key was not used before.
        SellerBusy: too much else was going on for one of the two; nothing was done.
    """
    if giver_id == receiver_id:
        raise InvalidRequest.of_field("to", "own_seller", "Nobody transfers to oneself.")
    content = (receiver_id, amount, note)
    if organization.status == Organization.Status.SUSPENDED:
        return _given_before(organization, giver_id, idempotency_key, content)
    made_by = name_of_actor(organization_id=organization.pk, user_id=access.user_id, key_id=access.key_id) or ""

    def give() -> _Given:
        arguments = [
            organization.pk,
            giver_id,
            receiver_id,
            idempotency_key,
            amount,
            note,
            made_by,
            access.user_id,
            access.key_id,
            access.subject,
            access.epoch,
        ]
        outcome, balance, *values = call_function(organization.schema_name, "transfer_create", _COLUMNS, arguments)
        given = _Given(outcome, balance, Transfer(**dict(zip(_FIELDS, values, strict=True))))
        if outcome == "created":
            told = {"from": giver_id, "to": receiver_id, "amount": amount}
            record("transfer.created", str(given.row.pk), after=told | ({"note": note} if note else {}))
        return given

    given = in_transaction(give)
    match given.outcome:
        case "created" | "replayed":
            if given.outcome == "created":
                wake_workers(organization.pk)  # there may be webhooks to call, and alerts to send
            return Written(Shown(given.row, given.balance), is_replay=given.outcome == "replayed")
        case "key_reused":
            raise IdempotencyKeyReused
        case "not_related":
            raise NotFound("There is no such seller among those you may transfer to.")
        case "access_over":
            raise why_access_is_over(access, organization_id=organization.pk)
    raise _refusal(given.outcome, given.balance, amount)


def _refusal(outcome: str, balance: int, amount: int) -> Exception:
    match outcome:
        case "giver_inactive":
            return SellerInactive()
        case "receiver_inactive":
            return OtherSellerInactive("The seller to receive it was switched off; nothing was done.")
        case "giver_owes":
            return GiverOwes()
        case "insufficient":
            return InsufficientCredit(balance=balance, required=amount)
        case "over_limit":
            return BalanceLimitExceeded("The balance would pass 9007199254740991 Tomans; nothing was done.")
    raise AssertionError(outcome)


def _given_before(
    organization: Organization, giver_id: int, idempotency_key: str, content: tuple[int, int, str]
) -> Written[Shown]:
    with transaction.atomic():
        lock_seller(organization.pk, giver_id)  # one that was let in before the suspension has ended
        row = Transfer.objects.filter(idempotency_key=idempotency_key, giver=giver_id).first()
    if row is None:
        raise OrganizationSuspended
    if (row.receiver_id, row.amount, row.note) != content:
        raise IdempotencyKeyReused
    return Written(shown_to([row], giver_id)[0], is_replay=True)


# --- What children ask for --------------------------------------------------------------------------------------------


def requests_to(dealer_id: int, *, status: str | None = None) -> QuerySet[CreditRequest]:
    """The credit requests that were asked of a dealer."""
    return filtered(CreditRequest.objects.filter(parent=dealer_id), None, None, status=status)


def request_to(dealer_id: int, request_id: UUID) -> CreditRequest:
    """One of them.

    Raises:
        NotFound: there is none, or it was not asked of this dealer; which of the two is not told.
    """
    row = requests_to(dealer_id).filter(pk=request_id).first()
    if row is None:
        raise NotFound("There is no such credit request.")
    return row


def approve_request_of_child(
    *,
    organization: Organization,
    dealer_id: int,
    request_id: UUID,
    decided_by: str,
    decided_by_id: int,
    access: Access = OF_COMMAND,
) -> Written[CreditRequest]:
    """Approves what a child has asked this dealer for: its amount goes from the dealer's balance to the child's, by a
    transfer that names the request. Once, however often called.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        NotFound: no such request was asked of this dealer.
        AlreadyDecided: it was rejected.
        SellerInactive, OtherSellerInactive: the dealer is switched off; the child is. It still waits.
        GiverOwes: the dealer owes a late charge, and the organization lets nobody who does spend. It still waits.
        InsufficientCredit: the dealer's balance does not bear it; it still waits.
        BalanceLimitExceeded: the child's balance would pass the largest one; it still waits.
        OrganizationSuspended: it is, and this was not decided before.
        SellerBusy: too much else was going on for one of the two.
    """
    approved = CreditRequest.Status.APPROVED
    return _decide(organization, dealer_id, request_id, approved, "", decided_by, decided_by_id, access)


def reject_request_of_child(
    *,
    organization: Organization,
    dealer_id: int,
    request_id: UUID,
    reason: str,
    decided_by: str,
    decided_by_id: int,
    access: Access = OF_COMMAND,
) -> Written[CreditRequest]:
    """Rejects what a child has asked this dealer for; once, however often called (the first reason stays).

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        NotFound: no such request was asked of this dealer.
        AlreadyDecided: it was approved.
        OrganizationSuspended: it is, and this was not decided before.
        SellerBusy: too much else was going on for one of the two.
    """
    rejected = CreditRequest.Status.REJECTED
    return _decide(organization, dealer_id, request_id, rejected, reason, decided_by, decided_by_id, access)


def _decide(
    organization: Organization,
    dealer_id: int,
    request_id: UUID,
    status: CreditRequest.Status,
    reason: str,
    decided_by: str,
    decided_by_id: int,
    access: Access,
) -> Written[CreditRequest]:
    if organization.status == Organization.Status.SUSPENDED:
        before = requests_to(dealer_id, status=status).filter(pk=request_id).first()
        if before is None:
            raise OrganizationSuspended
        return Written(before, is_replay=True)

    def decide() -> tuple[str, int, CreditRequest]:
        arguments: list[Any] = [
            organization.pk,
            dealer_id,
            request_id,
            str(status),
            reason,
            decided_by,
            decided_by_id,
            access.subject,
            access.epoch,
        ]
        balance, outcome, *values = call_function(
            organization.schema_name, "dealer_decide_request", f"balance, {REQUEST_COLUMNS}", arguments
        )
        row = CreditRequest(**dict(zip(REQUEST_FIELDS, values, strict=True)))
        if outcome == "decided":
            told = {"status": str(status), "seller_id": row.seller_id, "amount": row.amount, "parent_id": dealer_id}
            told |= {"reason": reason} if reason else {}
            record(f"credit_request.{status}", str(request_id), before={"status": "pending"}, after=told)
        return outcome, balance, row

    outcome, balance, row = in_transaction(decide)
    match outcome:
        case "decided" | "replayed":
            if outcome == "decided":
                wake_workers(organization.pk)  # there may be webhooks to call
            return Written(row, is_replay=outcome == "replayed")
        case "already_decided":
            raise AlreadyDecided(f"This request was {row.status} on {row.decided_at:%Y-%m-%d}.")
        case "not_found":
            raise NotFound("There is no such credit request.")
        case "access_over":
            raise why_access_is_over(access, organization_id=organization.pk)
    raise _refusal(outcome, balance, row.amount)


# --- Reads ------------------------------------------------------------------------------------------------------------


def transfers(
    *,
    seller_id: int | None = None,
    direction: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> QuerySet[Transfer]:
    """Transfers of one seller or of all; ``created_from`` ≤ time < ``created_to``. ``direction``: only what the seller
    has :data:`GIVEN`, or :data:`RECEIVED`."""
    rows = filtered(Transfer.objects.all(), created_from, created_to)
    if seller_id is None:
        return rows
    match direction:
        case "given":
            return rows.filter(giver=seller_id)
        case "received":
            return rows.filter(receiver=seller_id)
    return rows.filter(Q(giver=seller_id) | Q(receiver=seller_id))


def with_change(rows: QuerySet[Transfer], seller_id: int) -> QuerySet[Transfer]:
    """A seller's own transfers with the ``change`` of his balance: Tomans, negative where he gave."""
    change = Case(When(giver=seller_id, then=-F("amount")), default=F("amount"), output_field=BigIntegerField())
    return rows.annotate(change=change)


def transfer_by_id(transfer_id: UUID, *, seller_id: int | None) -> Transfer:
    """One transfer; with ``seller_id``, only if that seller gave or received it.

    Raises:
        NotFound: there is none, or it is others'; which of the two is not told.
    """
    row = transfers(seller_id=seller_id).filter(pk=transfer_id).first()
    if row is None:
        raise NotFound("There is no such transfer.")
    return row


def shown_to(rows: Sequence[Transfer], seller_id: int | None) -> list[Shown]:
    """These transfers as a seller is shown them, with the balance that each left him; None: with the giver's."""
    both = kinds_of_document("transfer")
    entries = Entry.objects.filter(kind__in=both, reference__in=[row.pk for row in rows])
    posted = entries.values_list("reference", "seller", "balance_after")
    left = {(reference, seller): balance for reference, seller, balance in posted}
    return [Shown(row, left[row.pk, row.receiver_id if row.receiver_id == seller_id else row.giver_id]) for row in rows]
