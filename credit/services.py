"""Writes of sellers and credit requests. They run on the organization's schema (``tenant_context``)."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection, transaction

from credit.errors import AlreadyDecided, BalanceLimitExceeded
from credit.models import Account, CreditRequest, Seller
from shared.database import call_function, lock_seller
from shared.errors import NotFound, SellerInactive
from shared.idempotency import IdempotencyKeyReused
from shared.queries import highest_seller_id, seller_id_of_username
from shared.realm import Realm
from shared.services import (
    prepare_member,
    readmit_member,
    reset_member_password,
    save_member,
    set_membership_active,
)
from shared.tokens import SELLER
from shared.wakeups import wake_workers
from tenants.models import Organization
from tenants.routing import OrganizationSuspended

T = TypeVar("T")

_REQUEST_FIELDS = (
    "id",
    "seller_id",
    "idempotency_key",
    "amount",
    "note",
    "status",
    "reason",
    "created_at",
    "decided_at",
    "decided_by",
    "decided_by_id",
)
_REQUEST_COLUMNS = "outcome, " + ", ".join(f"(request).{name}" for name in _REQUEST_FIELDS)


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """A row that a call wrote, or (``is_replay``) that an earlier call with the same content had written."""

    row: T
    is_replay: bool


def create_seller(*, organization: Organization, name: str, username: str, password: str, email: str = "") -> Seller:
    """A seller with an empty account, and the user who signs in as this seller.

    After an organization's schema was restored from a dump, users in the public schema may have sellers that the schema
    has lost. Such a user's name brings the lost seller back under the former id; and no new seller gets an id that a
    lost one's user still has.

    Raises:
        InvalidRequest: the name, the username, the password or the email address won't do.
        UsernameTaken: the organization has a user of this name.
    """
    member = prepare_member(
        organization_id=organization.pk,
        slug=organization.slug,
        role=SELLER,
        username=username,
        password=password,
        email=email,
    )
    with transaction.atomic():
        if lost_id := _lost_seller(organization, username):
            seller = Seller.objects.create(pk=lost_id, name=name)
            Account.objects.create(seller=seller)
            readmit_member(
                organization_id=organization.pk, seller_id=lost_id, username=username, password=password, email=email
            )
            return seller
        seller = Seller.objects.create(pk=_new_seller_id(organization), name=name)
        Account.objects.create(seller=seller)
        save_member(member, seller_id=seller.pk)
    return seller


def _lost_seller(organization: Organization, username: str) -> int | None:
    """The id of the seller whom the user of this name signs in as, if this schema has no such seller."""
    seller_id = seller_id_of_username(organization_id=organization.pk, username=username)
    if seller_id is None or Seller.objects.filter(pk=seller_id).exists():
        return None
    return seller_id


def _new_seller_id(organization: Organization) -> int:
    """The next id, and one that is above those of all sellers whom a user signs in as."""
    taken = highest_seller_id(organization_id=organization.pk)
    with connection.cursor() as cursor:
        # As the table's own trigger does (sql/order.sql), which would come too late for a number that is taken here.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(0, ('credit_seller'::regclass::oid::bigint & 2147483647)::integer)"
        )
        cursor.execute("SELECT nextval(pg_get_serial_sequence('credit_seller', 'id'))")
        seller_id: int = cursor.fetchone()[0]
        if seller_id <= taken:
            seller_id = taken + 1
            cursor.execute("SELECT setval(pg_get_serial_sequence('credit_seller', 'id'), %s)", [seller_id])
    return seller_id


def reset_seller_password(
    *, organization: Organization, seller_id: int, password: str, state: str, address: str = ""
) -> None:
    """A new password for the user who signs in as this seller, whose sessions and refresh tokens all end by that.

    ``state`` is what :func:`shared.services.password_state` said when the admin was asked for it. The same again
    changes nothing. ``address`` is the client's.

    Raises:
        NotFound: there is no such seller.
        PasswordChanged: it was changed meanwhile, to something else; nothing was done.
        InvalidRequest: the password won't do.
        Throttled: it was changed meanwhile, and too often asked whether to this.
    """
    realm = Realm(organization.pk, organization.slug)
    reset_member_password(realm=realm, seller_id=seller_id, password=password, state=state, address=address)


def update_seller(
    *, organization: Organization, seller_id: int, name: str | None = None, is_active: bool | None = None
) -> Seller:
    """Renames a seller, or switches one off or on. What is None stays as it is.

    A seller who is switched off sells nothing from the moment that this commits, and can't sign in.

    Raises:
        NotFound: there is no such seller.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    with transaction.atomic():
        # In line with the seller's sales: one that found the seller active must have committed before this does.
        lock_seller(organization.pk, seller_id)
        # Not FOR UPDATE: the key stays, and rows that refer to it need not wait.
        seller = Seller.objects.select_for_update(no_key=True).filter(pk=seller_id).first()
        if seller is None:
            raise NotFound("There is no such seller.")
        if name is not None:
            seller.name = name
        if is_active is not None:
            seller.is_active = is_active
            set_membership_active(organization_id=organization.pk, seller_id=seller_id, is_active=is_active)
        seller.save(update_fields=["name", "is_active"])
    return seller


def create_credit_request(
    *, organization: Organization, seller_id: int, idempotency_key: str, amount: int, note: str
) -> Written[CreditRequest]:
    """Asks for ``amount`` Tomans; once per key.

    Raises:
        SellerInactive: the seller was switched off.
        IdempotencyKeyReused: the key was used for another amount or note.
        OrganizationSuspended: it is, and the key was not used before.
        SellerBusy: too much else was going on for this seller.
    """
    if organization.status == Organization.Status.SUSPENDED:
        return _asked_before(organization, seller_id, idempotency_key, amount, note)
    outcome, request = _call(
        organization,
        "credit_request_create",
        [organization.pk, seller_id, idempotency_key, amount, note],
    )
    match outcome:
        case "created" | "replayed":
            return Written(request, is_replay=outcome == "replayed")
        case "key_reused":
            raise IdempotencyKeyReused
        case "seller_inactive":
            raise SellerInactive
    raise AssertionError(outcome)


def _asked_before(
    organization: Organization, seller_id: int, idempotency_key: str, amount: int, note: str
) -> Written[CreditRequest]:
    with transaction.atomic():
        lock_seller(organization.pk, seller_id)  # one that was let in before the suspension has ended
        request = CreditRequest.objects.filter(idempotency_key=idempotency_key, seller_id=seller_id).first()
    if request is None:
        raise OrganizationSuspended
    if (request.amount, request.note) != (amount, note):
        raise IdempotencyKeyReused
    return Written(request, is_replay=True)


def approve_credit_request(
    *, organization: Organization, request_id: UUID, decided_by: str, decided_by_id: int
) -> Written[CreditRequest]:
    """Approves a request and puts its amount on the seller's balance, in one transaction; once, however often called.

    Raises:
        NotFound: there is no such request.
        AlreadyDecided: it was rejected.
        OrganizationSuspended: it is, and this was not decided before.
        BalanceLimitExceeded: the balance would pass the largest one.
        SellerBusy: too much else was going on for this seller.
    """
    return _decide(organization, request_id, CreditRequest.Status.APPROVED, "", decided_by, decided_by_id)


def reject_credit_request(
    *, organization: Organization, request_id: UUID, reason: str, decided_by: str, decided_by_id: int
) -> Written[CreditRequest]:
    """Rejects a request; once, however often called (the first reason stays).

    Raises:
        NotFound: there is no such request.
        AlreadyDecided: it was approved.
        OrganizationSuspended: it is, and this was not decided before.
        SellerBusy: too much else was going on for this seller.
    """
    return _decide(organization, request_id, CreditRequest.Status.REJECTED, reason, decided_by, decided_by_id)


def _decide(
    organization: Organization,
    request_id: UUID,
    status: CreditRequest.Status,
    reason: str,
    decided_by: str,
    decided_by_id: int,
) -> Written[CreditRequest]:
    if organization.status == Organization.Status.SUSPENDED:
        before = CreditRequest.objects.filter(pk=request_id, status=status).first()
        if before is None:
            raise OrganizationSuspended
        return Written(before, is_replay=True)
    outcome, request = _call(
        organization,
        "credit_request_decide",
        [organization.pk, request_id, str(status), reason, decided_by, decided_by_id],
    )
    match outcome:
        case "decided" | "replayed":
            if outcome == "decided":
                wake_workers(organization.pk)  # there may be webhooks to call
            return Written(request, is_replay=outcome == "replayed")
        case "already_decided":
            raise AlreadyDecided(f"This request was {request.status} on {request.decided_at:%Y-%m-%d}.")
        case "over_limit":
            raise BalanceLimitExceeded("The balance would pass 9007199254740991 Tomans; nothing was done.")
        case "not_found":
            raise NotFound("There is no such credit request.")
    raise AssertionError(outcome)


def _call(organization: Organization, function: str, arguments: list[Any]) -> tuple[str, CreditRequest]:
    outcome, *values = call_function(organization.schema_name, function, _REQUEST_COLUMNS, arguments)
    return outcome, CreditRequest(**dict(zip(_REQUEST_FIELDS, values, strict=True)))
