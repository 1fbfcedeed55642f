"""Sends receipts, and says what they have in common with printed ones. They run on the organization's schema."""

from typing import Any
from uuid import UUID

from django.db import transaction

from credit.alerts.services import alert_settings
from credit.models import AlertMessage, Seller
from credit.queries import seller_by_id
from credit.services import Written
from recharge.models import Recharge, SentReceipt
from recharge.papers.receipts import receipt_line
from recharge.receipts.errors import ReceiptNotSent, ReceiptNumberMasked, ReceiptsNotAllowed
from recharge.selling.queries import recharge_by_id
from recharge.selling.short_numbers import short_number
from recharge.terms.queries import settings
from shared.audit import record, record_change
from shared.database import call_function, in_transaction, lock_seller
from shared.errors import NotFound
from shared.identity.epochs import Access
from shared.identity.queries import why_access_is_over
from shared.phones import is_masked
from tenants.errors import OrganizationSuspended
from tenants.models import Organization
from tenants.wakeups import wake_workers

_FIELDS = tuple(field.attname for field in SentReceipt._meta.concrete_fields)
_COLUMNS = "outcome, " + ", ".join(f"(receipt).{name}" for name in _FIELDS)

LONGEST_SHOP_NAME = 60
"""Characters: a line or two of a narrow receipt."""


def shop_name_of(seller_id: int) -> str:
    """What customers read on a seller's receipts.

    Raises:
        NotFound: there is no such seller.
    """
    seller = seller_by_id(seller_id)
    return seller.shop_name or seller.name


def named_shop(seller_id: int) -> str:
    """What the seller has called the shop; empty: nothing.

    Raises:
        NotFound: there is no such seller.
    """
    return seller_by_id(seller_id).shop_name


def name_shop(*, organization: Organization, seller_id: int, shop_name: str) -> None:
    """Sets what customers read on a seller's receipts; empty: the seller's name.

    Raises:
        NotFound: there is no such seller.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    with transaction.atomic():
        lock_seller(organization.pk, seller_id)
        seller = Seller.objects.select_for_update(no_key=True).filter(pk=seller_id).first()
        if seller is None:
            raise NotFound("There is no such seller.")
        before = {"shop_name": seller.shop_name}
        seller.shop_name = shop_name
        seller.save(update_fields=["shop_name"])
        record_change("seller.changed", str(seller_id), before=before, after={"shop_name": shop_name})


def may_send(recharge: Recharge) -> bool:
    """Whether a receipt of it can be sent by SMS: it was delivered, and the organization lets its sellers do so."""
    return (
        recharge.status == Recharge.Status.SUCCEEDED
        and not recharge.training
        and not is_masked(recharge.phone_number)
        and settings().receipts_by_sms
        and bool(alert_settings().sms_url)
    )


def sent_receipt(recharge_id: UUID) -> tuple[SentReceipt, AlertMessage | None] | None:
    """The receipt that was sent of a recharge, and its message; None: none was."""
    row = SentReceipt.objects.filter(pk=recharge_id).first()
    return None if row is None else (row, AlertMessage.objects.filter(pk=row.message_id).first())


def send_receipt(
    *, organization: Organization, recharge_id: UUID, seller_id: int, by: str, access: Access
) -> Written[SentReceipt]:
    """Sends a receipt to the number that was recharged, by the organization's SMS gateway: once, however often called.
    ``by`` is the username of whoever sends it, and ``access`` theirs.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py).
        OrganizationSuspended: it is.
        NotFound: the seller has no such recharge.
        ReceiptNotSent: it was not delivered.
        ReceiptNumberMasked: nobody knows its number any more.
        ReceiptsNotAllowed: the organization has not allowed it, or has no SMS gateway.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    if organization.status == Organization.Status.SUSPENDED:
        raise OrganizationSuspended
    recharge = recharge_by_id(recharge_id, seller_id=seller_id)
    text = receipt_line(
        recharge,
        shop=shop_name_of(seller_id),
        number=short_number(recharge_id, seller_id=seller_id),
        language=alert_settings().language,
    )

    def send() -> tuple[str, SentReceipt]:
        arguments: list[Any] = [organization.pk, recharge_id, seller_id, text, by, access.user_id]
        arguments += [access.subject, access.epoch]
        outcome, *values = call_function(organization.schema_name, "receipt_send", _COLUMNS, arguments)
        if outcome == "sent":
            record("receipt.sent", str(recharge_id))
        return outcome, SentReceipt(**dict(zip(_FIELDS, values, strict=True)))

    outcome, row = in_transaction(send)
    match outcome:
        case "sent" | "replayed":
            wake_workers(organization.pk)
            return Written(row, is_replay=outcome == "replayed")
        case "access_over":
            raise why_access_is_over(access, organization_id=organization.pk)
        case "not_found":
            raise NotFound("There is no such recharge.")
        case "masked":
            raise ReceiptNumberMasked
        case "not_delivered":
            raise ReceiptNotSent
        case "not_allowed" | "no_gateway":
            raise ReceiptsNotAllowed
    raise AssertionError(outcome)
