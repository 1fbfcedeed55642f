"""A batch of a dealer's margins, as a page."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse

from recharge.margins import queries
from recharge.pages.tables import margins_table
from shared.console.views import page, show, signed_in
from shared.identity.permissions import Permission
from shared.identity.roles import may, seller_in_view
from shared.pagination import page_of_rows

ROWS = 25


@page(Permission.VIEW_ENTRIES)
def margin_batch(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """For which recharges it was posted or taken back, and how much for each; a dealer sees the own."""
    account = signed_in(request)
    seller_id = seller_in_view(account)
    batch = queries.margin_batch_by_id(batch_id, seller_id=seller_id)
    shown = page_of_rows(queries.margins_of(batch), limit=ROWS, cursor=request.GET.get("cursor") or None)
    is_linked = seller_id is None and may(account, Permission.VIEW_RECHARGES)  # a dealer sees no other's recharges
    context = {
        "batch": batch,
        "page": shown,
        "table": margins_table(shown.rows, is_linked=is_linked, is_whole=not (shown.newer or shown.older)),
    }
    return show(request, "recharge/margin_batch.html", context)
