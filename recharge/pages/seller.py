"""One seller's own page for an admin: here and not in credit, since what is in flight is recharges."""

from django.http import HttpRequest, HttpResponse

from credit.pages.tables import last_entries_table
from credit.queries import last_entries, seller_by_id
from credit.tree import numbers_below
from recharge.limits.queries import room_of
from recharge.selling import queries
from shared.console.views import page, show
from shared.identity.permissions import Permission
from shared.identity.queries import seller_usernames
from tenants.routing import organization_of

ENTRIES_SHOWN = 5


@page(Permission.VIEW_SELLERS)
def seller(request: HttpRequest, seller_id: int) -> HttpResponse:
    """A seller with the balance, what is in flight, and the last entries."""
    row = seller_by_id(seller_id)
    usernames = seller_usernames(organization_id=organization_of(request).pk, seller_ids=[seller_id])
    context = {
        "seller": row,
        "username": usernames.get(seller_id, ""),
        "balance": queries.balance_of(seller_id),
        "parent": seller_by_id(row.parent_id) if row.parent_id else None,
        "children": numbers_below([seller_id]).get(seller_id, 0),
        "room": room_of(seller_id),
        "entries": last_entries_table(last_entries(seller_id, limit=ENTRIES_SHOWN)),
    }
    return show(request, "recharge/seller.html", context)
