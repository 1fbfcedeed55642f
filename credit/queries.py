"""Reads of sellers, entries and credit requests. They run on the organization's schema (``tenant_context``)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from credit.models import CreditRequest, Entry, Seller
from shared.errors import NotFound
from shared.times import from_moment, until_moment


def sellers() -> QuerySet[Seller]:
    """All sellers."""
    return Seller.objects.all()


def seller_by_id(seller_id: int) -> Seller:
    """Raises :class:`NotFound` where there is none."""
    seller = Seller.objects.filter(pk=seller_id).first()
    if seller is None:
        raise NotFound("There is no such seller.")
    return seller


def seller_is_active(seller_id: int) -> bool:
    """Whether there is such a seller and nobody switched it off."""
    return Seller.objects.filter(pk=seller_id, is_active=True).exists()


def entries(
    *,
    seller_id: int | None = None,
    kind: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> QuerySet[Entry]:
    """Entries of one seller or of all; ``created_from`` ≤ time < ``created_to``."""
    return filtered(Entry.objects.all(), created_from, created_to, seller_id=seller_id, kind=kind)


def credit_requests(*, seller_id: int | None = None, status: str | None = None) -> QuerySet[CreditRequest]:
    """Credit requests of one seller or of all."""
    return filtered(CreditRequest.objects.all(), None, None, seller_id=seller_id, status=status)


def credit_request_by_id(request_id: UUID, *, seller_id: int | None) -> CreditRequest:
    """One request; with ``seller_id``, only if it is that seller's.

    Raises:
        NotFound: there is none, or it is another's; which of the two is not told.
    """
    request = credit_requests(seller_id=seller_id).filter(pk=request_id).first()
    if request is None:
        raise NotFound("There is no such credit request.")
    return request


def filtered(
    rows: QuerySet[Any], created_from: datetime | None, created_to: datetime | None, **equal: Any
) -> QuerySet[Any]:
    """The rows with these values (None: any) in this range of time."""
    rows = rows.filter(**{name: value for name, value in equal.items() if value is not None})
    if created_from is not None:
        rows = rows.filter(**from_moment(created_from))
    if created_to is not None:
        rows = rows.filter(**until_moment(created_to))
    return rows
