"""Sellers who sell for others, and what they earn, without the API."""

from django.db import connection
from django_tenants.utils import tenant_context

from credit.models import Seller
from tenants.models import Organization
from tests.support.world import make_seller


def place(row: Organization, seller_id: int, parent_id: int | None) -> None:
    """Puts a seller, and all who are below, below another; None: below nobody."""
    with tenant_context(row):
        ancestors = [parent_id, *(Seller.objects.get(pk=parent_id).ancestors or [])] if parent_id else None
        Seller.objects.filter(pk=seller_id).update(parent_id=parent_id, ancestors=ancestors)
        children = list(Seller.objects.filter(parent_id=seller_id).values_list("pk", flat=True))
    for child_id in children:
        place(row, child_id, seller_id)


def make_path(row: Organization, *names: str, credit: int = 0) -> list[int]:
    """Sellers, each below the one before; their ids. The last has the credit."""
    made: list[int] = []
    for name in names:
        made.append(make_seller(row, name, credit if name == names[-1] else 0).pk)
        place(row, made[-1], made[-2] if len(made) > 1 else None)
    return made


def set_rate(
    row: Organization,
    seller_id: int | None,
    basis_points: int | None,
    *,
    operator: str = "",
    fixed: int | None = None,
) -> None:
    """A commission's rate from now on; both None: it ends."""
    with tenant_context(row), connection.cursor() as cursor:
        cursor.execute("SELECT commission_set(%s, %s, %s, %s, 'owner')", [seller_id, operator, basis_points, fixed])
