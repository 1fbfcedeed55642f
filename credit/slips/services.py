"""Slips of credit requests: reads and writes. They run on the organization's schema (``tenant_context``)."""

from uuid import UUID

from django.db.models import Q
from psycopg2 import Binary

from credit.errors import AlreadyDecided
from credit.models import CreditRequestSlip
from credit.slips.pictures import Picture
from shared.audit import record
from shared.database import call_function, in_transaction
from shared.errors import NotFound
from shared.identity.acting import acting
from shared.identity.epochs import OF_COMMAND, Access
from shared.identity.queries import name_of_actor, why_access_is_over
from tenants.errors import OrganizationSuspended
from tenants.models import Organization


def slip_in_view(request_id: UUID, *, seller_id: int | None) -> CreditRequestSlip:
    """The slip of a credit request; with ``seller_id``, only if that seller asks for it, or is asked.

    Raises:
        NotFound: there is none, or it is another's; which of the two is not told.
    """
    slips = CreditRequestSlip.objects.filter(pk=request_id)
    if seller_id is not None:
        slips = slips.filter(Q(request__seller=seller_id) | Q(request__parent=seller_id))
    slip = slips.first()
    if slip is None:
        raise NotFound("This credit request has no slip.")
    return slip


def has_slip(request_id: UUID) -> bool:
    """Whether a credit request has one; its bytes stay where they are."""
    return CreditRequestSlip.objects.filter(pk=request_id).exists()


def put_slip(
    *,
    organization: Organization,
    seller_id: int,
    request_id: UUID,
    picture: Picture,
    access: Access = OF_COMMAND,
) -> bool:
    """Keeps the picture with this seller's credit request while that waits, in place of the one that it has. Gives
    whether it had none before; the same again changes nothing. ``access``: of whoever puts it.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        NotFound: the seller has no such request.
        AlreadyDecided: it was decided; its slip stays as it is.
        OrganizationSuspended: it is.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    if organization.status == Organization.Status.SUSPENDED:
        raise OrganizationSuspended

    actor = acting()
    by = actor.name or name_of_actor(organization_id=organization.pk, user_id=actor.user_id, key_id=actor.key_id)

    def put() -> str:
        arguments = [
            organization.pk,
            seller_id,
            request_id,
            Binary(picture.content),
            picture.content_type,
            picture.width,
            picture.height,
            by or "",
            access.subject,
            access.epoch,
        ]
        outcome, before = call_function(
            organization.schema_name, "credit_slip_put", "outcome, encode(sha256_before, 'hex')", arguments
        )
        if outcome in ("put", "replaced"):
            record(
                "credit_request.slip_added" if outcome == "put" else "credit_request.slip_replaced",
                str(request_id),
                before={"sha256": before} if before else None,
                after={"sha256": picture.sha256, "bytes": len(picture.content)},
            )
        return str(outcome)

    outcome = in_transaction(put)
    match outcome:
        case "put" | "replaced" | "same":
            return outcome == "put"
        case "access_over":
            raise why_access_is_over(access, organization_id=organization.pk)
        case "already_decided":
            raise AlreadyDecided("This credit request was decided; its slip stays as it is.")
        case "not_found":
            raise NotFound("There is no such credit request.")
    raise AssertionError(outcome)
