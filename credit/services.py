"""Writes of sellers and credit requests. They run on the organization's schema (``tenant_context``)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import EllipsisType
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection, transaction

from credit.alerts.services import set_alert_below, threshold_of
from credit.errors import AlreadyDecided, BalanceLimitExceeded, BankReferenceUsed, SwitchedOffByOthers
from credit.models import CreditRequest, Seller
from credit.queries import sellers
from credit.slips.pictures import Picture
from credit.slips.services import put_slip
from credit.tree import leave_requests, lock_tree, place_seller
from shared.audit import record, record_change
from shared.database import call_function, in_transaction, lock_seller
from shared.errors import IdempotencyKeyReused, InvalidApiKey, NotFound, SellerInactive
from shared.identity import keys
from shared.identity.epochs import OF_COMMAND, Access
from shared.identity.new_accounts import prepare_member, save_member
from shared.identity.queries import why_access_is_over
from shared.identity.realm import Realm
from shared.identity.roles import SELLER
from shared.identity.sellers_members import (
    newest_seller_id,
    reopen_member,
    reset_member_password,
    sellers_member_named,
    set_membership_active,
)
from shared.models import ApiKey
from shared.texts import latin_digits, without_invisible
from tenants.errors import OrganizationSuspended
from tenants.models import Organization
from tenants.wakeups import wake_workers

T = TypeVar("T")

REQUEST_FIELDS = (
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
    "bank_reference",
    "first_approved_at",
    "first_approved_by",
    "first_approved_by_id",
    "parent_id",
)
REQUEST_COLUMNS = "outcome, " + ", ".join(f"(request).{name}" for name in REQUEST_FIELDS)


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """A row that a call wrote, or (``is_replay``) that an earlier call with the same content had written."""

    row: T
    is_replay: bool


def create_seller(
    *,
    organization: Organization,
    name: str,
    username: str,
    password: str,
    email: str = "",
    parent_id: int | None = None,
) -> Seller:
    """A seller with an empty account, and the user who signs in as this seller. ``parent_id``: for whom he sells.

    A schema that was put back from a copy may be older than its members, who are in the public schema. Such a member's
    seller comes back, with the old id, when a seller of this username is made; and no other seller gets that id.

    Raises:
        InvalidRequest: the name, the username, the password or the email address won't do; or there is no such parent.
        UsernameTaken: the organization has a user of this name.
        OtherSellerInactive: the parent is switched off.
        NotATree: it would be on a sixth level.
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
        if parent_id is not None:
            lock_tree(organization.pk)
        known = sellers_member_named(organization_id=organization.pk, username=username)
        if known is not None and known.seller_id is not None and not sellers().filter(pk=known.seller_id).exists():
            seller = Seller.objects.create(pk=known.seller_id, name=name)
            _open_account(seller)
            reopen_member(membership=known, password=password, email=email)
        else:
            seller = Seller.objects.create(pk=_free_seller_id(organization), name=name)
            _open_account(seller)
            save_member(member, seller_id=seller.pk)
        if parent_id is not None:
            _place(organization, seller, parent_id, is_new=True)
        _record_seller(seller, username)
    return seller


def _place(organization: Organization, seller: Seller, parent_id: int | None, *, is_new: bool = False) -> None:
    place_seller(
        organization_id=organization.pk,
        schema_name=organization.schema_name,
        seller_id=seller.pk,
        parent_id=parent_id,
        is_new=is_new,
    )
    seller.parent_id = parent_id


def _record_seller(seller: Seller, username: str) -> None:
    placed = {} if seller.parent_id is None else {"parent_id": seller.parent_id}
    record("seller.created", str(seller.pk), after={"name": seller.name, "username": username} | placed)


def _open_account(seller: Seller) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT account_open(%s)", [seller.pk])


def _free_seller_id(organization: Organization) -> int:
    """The sequence's next number that is nobody's: after a restore it may be behind the members and the sellers."""
    with connection.cursor() as cursor:
        # As the table's own trigger does (sql/order.sql), which would come too late for a number that is taken here.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(0, ('credit_seller'::regclass::oid::bigint & 2147483647)::integer)"
        )
        newest = newest_seller_id(organization_id=organization.pk)
        # Alone: beside a table a cluster would ask its node for the number, where there is no such sequence.
        cursor.execute("SELECT nextval(pg_get_serial_sequence('credit_seller', 'id'))")
        (seller_id,) = cursor.fetchone()
        cursor.execute("SELECT coalesce(max(id), 0) FROM credit_seller")
        newest = max(newest, cursor.fetchone()[0])
        if seller_id <= newest:
            seller_id = newest + 1
            cursor.execute("SELECT setval(pg_get_serial_sequence('credit_seller', 'id'), %s)", [seller_id])
    return int(seller_id)


def reset_seller_password(
    *, organization: Organization, seller_id: int, password: str, state: str, address: str = ""
) -> None:
    """A new password for the user who signs in as this seller, whose sessions and refresh tokens all end by that.

    ``state`` is what :func:`shared.identity.password_changes.password_state` said when the admin was asked for it. The
    same again changes nothing. ``address`` is the client's.

    Raises:
        NotFound: there is no such seller.
        PasswordChanged: it was changed meanwhile, to something else; nothing was done.
        InvalidRequest: the password won't do.
        Throttled: it was changed meanwhile, and too often asked whether to this.
    """
    realm = Realm(organization.pk, organization.slug)
    reset_member_password(realm=realm, seller_id=seller_id, password=password, state=state, address=address)


def create_api_key(
    *,
    organization: Organization,
    seller_id: int | None,
    name: str,
    scopes: Sequence[str],
    created_by: str,
    allowed_addresses: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A key for a program of a seller, or (without ``seller_id``) one of the organization, which reads alone; and its
    secret, which is told this once.

    Raises:
        InvalidApiKey: there is no such seller; or what :func:`shared.identity.keys.create_key` says.
        TooManyApiKeys, SellerBusy: as for that.
    """
    if seller_id is not None and not sellers().filter(pk=seller_id).exists():  # sellers are never deleted
        raise InvalidApiKey.of_field("seller_id", "no_such_seller", "There is no such seller.")
    return keys.create_key(
        organization_id=organization.pk,
        seller_id=seller_id,
        name=name,
        scopes=scopes,
        created_by=created_by,
        allowed_addresses=allowed_addresses,
        expires_at=expires_at,
    )


def update_seller(
    *,
    organization: Organization,
    seller_id: int,
    name: str | None = None,
    is_active: bool | None = None,
    parent_id: int | EllipsisType | None = ...,
    alert_below: int | EllipsisType | None = ...,
) -> Seller:
    """Renames a seller, switches one off or on, or places one below another (``parent_id`` None: below nobody). What
    is None stays as it is, and so does the place where it is not given. ``alert_below`` is the balance (Tomans) below
    which the seller is told; None: never.

    A seller who is switched off sells nothing from the moment that this commits, and can't sign in. Those below him go
    on: they sell on credit of their own.

    Raises:
        NotFound: there is no such seller.
        InvalidRequest: there is no such parent.
        OtherSellerInactive: the parent is switched off.
        NotATree: the parent is the seller or below him, or there would be a sixth level.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    with transaction.atomic():
        if parent_id is not ...:
            lock_tree(organization.pk)
        # In line with the seller's sales: one that found the seller active must have committed before this does.
        lock_seller(organization.pk, seller_id)
        # Not FOR UPDATE: the key stays, and rows that refer to it need not wait.
        seller = Seller.objects.select_for_update(no_key=True).filter(pk=seller_id).first()
        if seller is None:
            raise NotFound("There is no such seller.")
        before: dict[str, Any] = {"name": seller.name, "is_active": seller.is_active}
        if name is not None:
            seller.name = name
        if is_active is not None:
            _switch(organization, seller, is_active=is_active, by_dealer=None)
        seller.save(update_fields=["name", "is_active", "switched_off_by"])
        after: dict[str, Any] = {"name": seller.name, "is_active": seller.is_active}
        if not isinstance(alert_below, EllipsisType):
            before["alert_below"] = threshold_of(seller_id).alert_below
            after["alert_below"] = alert_below
            set_alert_below(seller_id, alert_below)
        record_change("seller.changed", str(seller_id), before=before, after=after)
        if parent_id is not ...:
            _place(organization, seller, parent_id)
    if is_active is False or parent_id is not ...:
        wake_workers(organization.pk)  # what a dealer was asked for may be the organization's to decide now
    return seller


def _switch(organization: Organization, seller: Seller, *, is_active: bool, by_dealer: int | None) -> None:
    seller.is_active = is_active
    seller.switched_off_by = None if is_active else by_dealer
    if not is_active:
        leave_requests(schema_name=organization.schema_name, dealer_id=seller.pk)
    set_membership_active(organization_id=organization.pk, seller_id=seller.pk, is_active=is_active)


def switch_child(*, organization: Organization, dealer_id: int, seller_id: int, is_active: bool) -> Seller:
    """A dealer switches a child of his off, or on again whom he has switched off himself. The same again changes
    nothing.

    Raises:
        NotFound: there is no such child.
        SwitchedOffByOthers: the organization has switched him off (or a dealer before this one), and it alone switches
            him on.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    with transaction.atomic():
        lock_seller(organization.pk, seller_id)  # as in update_seller
        seller = Seller.objects.select_for_update(no_key=True).filter(pk=seller_id, parent=dealer_id).first()
        if seller is None:
            raise NotFound("There is no such seller among your own.")
        if seller.is_active == is_active:
            return seller
        if is_active and seller.switched_off_by != dealer_id:
            raise SwitchedOffByOthers
        _switch(organization, seller, is_active=is_active, by_dealer=dealer_id)
        seller.save(update_fields=["is_active", "switched_off_by"])
        record("seller.changed", str(seller_id), before={"is_active": not is_active}, after={"is_active": is_active})
    if not is_active:
        wake_workers(organization.pk)  # as in update_seller
    return seller


def create_credit_request(
    *,
    organization: Organization,
    seller_id: int,
    idempotency_key: str,
    amount: int,
    note: str,
    bank_reference: str = "",
    access: Access = OF_COMMAND,
    slip: Picture | None = None,
) -> Written[CreditRequest]:
    """Asks for ``amount`` Tomans; once per key, and once per ``bank_reference`` (of the payment that it is asked for;
    "": none is given). ``access``: of whoever asks; ``slip``: the picture of a slip, kept with a request that is new.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        SellerInactive: the seller was switched off.
        IdempotencyKeyReused: the key was used for another amount, note or bank reference.
        BankReferenceUsed: another request, of any seller, has it, and was not rejected.
        OrganizationSuspended: it is, and the key was not used before.
        SellerBusy: too much else was going on for this seller.
    """
    bank_reference = normalized_bank_reference(bank_reference)
    if organization.status == Organization.Status.SUSPENDED:
        return _asked_before(organization, seller_id, idempotency_key, amount, note, bank_reference)

    def ask() -> tuple[str, CreditRequest]:
        outcome, request = _call(
            organization,
            "credit_request_create",
            [organization.pk, seller_id, idempotency_key, amount, note, access.subject, access.epoch, bank_reference],
        )
        if outcome == "created":
            told: dict[str, Any] = {"seller_id": seller_id, "amount": amount}
            if bank_reference:
                told["bank_reference"] = bank_reference
            record("credit_request.created", str(request.pk), after=told)
            if slip is not None:
                put_slip(
                    organization=organization,
                    seller_id=seller_id,
                    request_id=request.pk,
                    picture=slip,
                    access=access,
                )
        return outcome, request

    outcome, request = in_transaction(ask)
    match outcome:
        case "access_over":
            raise why_access_is_over(access, organization_id=organization.pk)
        case "created" | "replayed":
            wake_workers(organization.pk)  # who tell its admins if it waits for long
            return Written(request, is_replay=outcome == "replayed")
        case "key_reused":
            raise IdempotencyKeyReused
        case "seller_inactive":
            raise SellerInactive
        case "bank_reference_used":
            raise BankReferenceUsed
    raise AssertionError(outcome)


def normalized_bank_reference(written: str) -> str:
    """A bank reference as it is kept and compared: digits of any kind as ASCII's, no blank between two digits and one
    between words, nothing invisible. So what is copied from a bank's message with its digits in groups is the same
    reference, and one that looks the same is no other."""
    return _BETWEEN_DIGITS.sub("", " ".join(latin_digits(without_invisible(written)).split()))


_BETWEEN_DIGITS = re.compile(r"(?<=[0-9]) (?=[0-9])")


def _asked_before(
    organization: Organization, seller_id: int, idempotency_key: str, amount: int, note: str, bank_reference: str
) -> Written[CreditRequest]:
    with transaction.atomic():
        lock_seller(organization.pk, seller_id)  # one that was let in before the suspension has ended
        request = CreditRequest.objects.filter(idempotency_key=idempotency_key, seller_id=seller_id).first()
    if request is None:
        raise OrganizationSuspended
    if (request.amount, request.note, request.bank_reference) != (amount, note, bank_reference):
        raise IdempotencyKeyReused
    return Written(request, is_replay=True)


def approve_credit_request(
    *,
    organization: Organization,
    request_id: UUID,
    decided_by: str,
    decided_by_id: int,
    access: Access = OF_COMMAND,
) -> Written[CreditRequest]:
    """Approves a request and puts its amount on the seller's balance, in one transaction; once, however often called.
    ``access``: of whoever decides.

    Where the amount needs two people, the first approval leaves it pending (``approvals`` is 1), and the second, by
    somebody else, approves it.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        NotFound: there is no such request.
        AlreadyDecided: it was rejected.
        OrganizationSuspended: it is, and this was not decided before.
        BalanceLimitExceeded: the balance would pass the largest one.
        SellerBusy: too much else was going on for this seller.
    """
    return _decide(organization, request_id, CreditRequest.Status.APPROVED, "", decided_by, decided_by_id, access)


def reject_credit_request(
    *,
    organization: Organization,
    request_id: UUID,
    reason: str,
    decided_by: str,
    decided_by_id: int,
    access: Access = OF_COMMAND,
) -> Written[CreditRequest]:
    """Rejects a request; once, however often called (the first reason stays). ``access``: of whoever decides.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        NotFound: there is no such request.
        AlreadyDecided: it was approved.
        OrganizationSuspended: it is, and this was not decided before.
        SellerBusy: too much else was going on for this seller.
    """
    return _decide(organization, request_id, CreditRequest.Status.REJECTED, reason, decided_by, decided_by_id, access)


def _decide(
    organization: Organization,
    request_id: UUID,
    status: CreditRequest.Status,
    reason: str,
    decided_by: str,
    decided_by_id: int,
    access: Access,
) -> Written[CreditRequest]:
    if organization.status == Organization.Status.SUSPENDED:
        before = CreditRequest.objects.filter(pk=request_id, status=status).first()
        if before is None:
            raise OrganizationSuspended
        return Written(before, is_replay=True)

    def decide() -> tuple[str, CreditRequest]:
        outcome, request = _call(
            organization,
            "credit_request_decide",
            [
                organization.pk,
                request_id,
                str(status),
                reason,
                decided_by,
                decided_by_id,
                access.subject,
                access.epoch,
            ],
        )
        if outcome == "decided":
            after = {"status": status, "seller_id": request.seller_id, "amount": request.amount}
            after |= {"reason": reason} if reason else {}
            record(f"credit_request.{status}", str(request_id), before={"status": "pending"}, after=after)
        elif outcome == "first_approved":
            told = {"seller_id": request.seller_id, "amount": request.amount}
            record("credit_request.first_approved", str(request_id), after=told)
        return outcome, request

    outcome, request = in_transaction(decide)
    match outcome:
        case "access_over":
            raise why_access_is_over(access, organization_id=organization.pk)
        case "decided" | "first_approved" | "replayed":
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
    outcome, *values = call_function(organization.schema_name, function, REQUEST_COLUMNS, arguments)
    return outcome, CreditRequest(**dict(zip(REQUEST_FIELDS, values, strict=True)))
