"""Writes of claims. They run on the organization's schema (``tenant_context``).

None of them moves money: what is given back, a resolution of the recharge or an adjustment gives.
"""

from typing import Any
from uuid import UUID

from credit.services import Written
from recharge.claims.errors import (
    ClaimClosed,
    ClaimTooLate,
    InvalidClaim,
    NotDelivered,
    NotRefunded,
    RefundedAlready,
    StillWaiting,
    TooManyMessages,
)
from recharge.models import Claim
from recharge.terms.queries import settings
from shared.audit import record
from shared.database import call_function, in_transaction
from shared.errors import NotFound, Problem
from shared.identity.epochs import OF_COMMAND, Access
from shared.identity.queries import why_access_is_over
from tenants.errors import OrganizationSuspended
from tenants.models import Organization
from tenants.wakeups import wake_workers

_FIELDS = tuple(field.attname for field in Claim._meta.concrete_fields)
_COLUMNS = "outcome, " + ", ".join(f"(claim).{name}" for name in _FIELDS)

LONGEST_TEXT = 500
"""Characters of a question or an answer."""

LONGEST_REFERENCE = 100
"""Characters of an operator's proof."""


def open_claim(
    *,
    organization: Organization,
    recharge_id: UUID,
    seller_id: int,
    message: str,
    by: str,
    access: Access,
) -> Written[Claim]:
    """Asks, for its seller, what became of a recharge that the customer did not get; one claim of a recharge is open at
    once, and whoever asks again gets that one. ``by`` is the username of whoever asks, and ``access`` theirs.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        OrganizationSuspended: it is.
        NotFound: the seller has no such recharge.
        StillWaiting: it is on its way.
        RefundedAlready: it has failed.
        ClaimTooLate: it was sold too long ago.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    _check_active(organization)

    def ask() -> tuple[str, Claim]:
        arguments = [organization.pk, recharge_id, seller_id, message, *_who(by, access)]
        outcome, row = _call(organization, "claim_open", arguments)
        if outcome == "opened":
            told = {"recharge": str(recharge_id), "seller_id": seller_id, "deadline": row.deadline, "note": message}
            record("claim.opened", str(row.pk), after=told)
        return outcome, row

    outcome, row = in_transaction(ask)
    if outcome in ("opened", "open_already"):
        if outcome == "opened":
            wake_workers(organization.pk)  # who tell its admins if nobody answers in time
        return Written(row, is_replay=outcome == "open_already")
    raise _refusal(outcome, organization, access)


def answer_claim(
    *,
    organization: Organization,
    claim_id: UUID,
    seller_id: int | None,
    text: str,
    key: str,
    by: str,
    access: Access,
) -> Written[Claim]:
    """Says something about an open claim, which stays open. With ``seller_id``, that seller's people say it; else the
    organization does, and its seller is told. ``key`` is of the form: what it has said before it does not say again.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        OrganizationSuspended: it is.
        InvalidClaim: the text is empty.
        NotFound: there is no such claim, or it is another's.
        ClaimClosed: it is closed.
        TooManyMessages: as much was said about it as there may be.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    _check_active(organization)
    if not text.strip():
        raise InvalidClaim.of_field("text", "blank", "There is nothing in it.")

    def say() -> tuple[str, Claim]:
        arguments = [organization.pk, claim_id, seller_id, text, key, *_who(by, access)]
        outcome, row = _call(organization, "claim_say", arguments)
        if outcome == "said":
            record("claim.replied" if seller_id is not None else "claim.answered", str(claim_id), after={"note": text})
        return outcome, row

    outcome, row = in_transaction(say)
    if outcome in ("said", "replayed"):
        if outcome == "said" and seller_id is None:
            wake_workers(organization.pk)  # there may be a message to send
        return Written(row, is_replay=outcome == "replayed")
    raise _refusal(outcome, organization, access)


def close_claim(
    *,
    organization: Organization,
    claim_id: UUID,
    state: Claim.State,
    text: str = "",
    reference: str = "",
    adjustment_id: UUID | None = None,
    by: str,
    access: Access,
) -> Written[Claim]:
    """Closes a claim for the organization, and tells its seller, with ``text``.

    ``ANSWERED`` needs a text; ``DELIVERED`` needs the operator's proof (``reference``) and a recharge that has
    succeeded; ``REFUNDED`` a recharge that has failed, or (``adjustment_id``) an approved adjustment that gave back
    its amount or a part of it, once. Closed just so before, it is left as it is.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        OrganizationSuspended: it is.
        InvalidClaim: the text or the reference is empty.
        NotFound: there is no such claim.
        ClaimClosed: it is closed otherwise.
        NotDelivered, NotRefunded, RefundedAlready: the recharge says otherwise.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    if state == Claim.State.ANSWERED and not text.strip():
        raise InvalidClaim.of_field("text", "blank", "An answer says something.")
    if state == Claim.State.DELIVERED and not reference.strip():
        raise InvalidClaim.of_field("reference", "blank", "What proves it?")
    return _close(organization, claim_id, None, state, text, reference, adjustment_id, by, access)


def withdraw_claim(
    *, organization: Organization, claim_id: UUID, seller_id: int, by: str, access: Access
) -> Written[Claim]:
    """Closes a claim for its seller, whose customer has it by now. Withdrawn before, it is left as it is.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        OrganizationSuspended: it is.
        NotFound: the seller has no such claim.
        ClaimClosed: it is closed otherwise.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    return _close(organization, claim_id, seller_id, Claim.State.WITHDRAWN, "", "", None, by, access)


def _close(
    organization: Organization,
    claim_id: UUID,
    seller_id: int | None,
    state: Claim.State,
    text: str,
    reference: str,
    adjustment_id: UUID | None,
    by: str,
    access: Access,
) -> Written[Claim]:
    _check_active(organization)

    def close() -> tuple[str, Claim]:
        given = [str(state), text, reference, adjustment_id]
        outcome, row = _call(
            organization, "claim_close", [organization.pk, claim_id, seller_id, *given, *_who(by, access)]
        )
        if outcome == "closed":
            after: dict[str, Any] = {"status": str(state)}
            after |= {"note": text} if text else {}
            after |= {"reference": reference} if reference else {}
            after |= {"adjustment": str(adjustment_id)} if adjustment_id else {}
            record("claim.closed", str(claim_id), before={"status": "open"}, after=after)
        return outcome, row

    outcome, row = in_transaction(close)
    if outcome in ("closed", "replayed"):
        if outcome == "closed":
            wake_workers(organization.pk)  # there may be a message to send
        return Written(row, is_replay=outcome == "replayed")
    raise _refusal(outcome, organization, access)


def note_seen(*, organization: Organization, claim_id: UUID, seller_id: int) -> None:
    """A seller has looked at his claim: what he was told of it is over.

    Raises:
        SellerBusy: too much else was going on for this seller; it stays new.
    """
    call_function(organization.schema_name, "claim_seen", "answer", [organization.pk, claim_id, seller_id])


def _check_active(organization: Organization) -> None:
    if organization.status == Organization.Status.SUSPENDED:
        raise OrganizationSuspended


def _who(by: str, access: Access) -> list[Any]:
    return [by, access.user_id, access.subject, access.epoch]


def _refusal(outcome: str, organization: Organization, access: Access = OF_COMMAND) -> Problem:
    match outcome:
        case "access_over":
            return why_access_is_over(access, organization_id=organization.pk)
        case "too_late":
            return ClaimTooLate(days=settings().claim_days)
        case "still_waiting":
            return StillWaiting()
        case "refunded" | "refunded_twice":
            return RefundedAlready()
        case "closed" | "already_closed":
            return ClaimClosed()
        case "too_many":
            return TooManyMessages()
        case "not_delivered":
            return NotDelivered()
        case "not_refunded":
            return NotRefunded()
        case "not_found":
            return NotFound("There is no such recharge, or no such claim.")
    raise AssertionError(outcome)


def _call(organization: Organization, function: str, arguments: list[Any]) -> tuple[str, Claim]:
    outcome, *values = call_function(organization.schema_name, function, _COLUMNS, arguments)
    return outcome, Claim(**dict(zip(_FIELDS, values, strict=True)))
