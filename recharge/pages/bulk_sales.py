"""What was sold at once, as pages: the batches of a seller, and what became of the rows of one, live until all of them
have their outcome."""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import gettext_lazy as _

from credit.pages.exports import FORMATS, Download
from recharge.batches.queries import (
    Counts,
    Outcome,
    Sums,
    batch_by_key,
    batches,
    counts_of,
    outcomes_of,
    reckoning_of,
)
from recharge.models import BulkBatch, Recharge
from recharge.pages import words
from recharge.pages.bulk_rows import MOST_ROWS
from recharge.pages.sell import is_key
from recharge.pages.tables import bulk_sales_table
from recharge.selling.errors import PossibleDuplicate
from shared.console.links import address_of
from shared.console.views import own_seller, page, show
from shared.console.workbooks import Column
from shared.identity.permissions import Permission
from shared.pagination import page_of_rows

ROWS_ON_A_PAGE = 25
_OFTEN, _SELDOM = 2, 15  # seconds between two looks at what is in flight: the first ones, and later
_OFTEN_TIMES = 30


@page(Permission.SELL)
def bulk_sales(request: HttpRequest) -> HttpResponse:
    """The seller's batches, newest first."""
    found = page_of_rows(batches(seller_id=own_seller(request)), limit=ROWS_ON_A_PAGE, cursor=request.GET.get("cursor"))
    table = bulk_sales_table(found.rows, counts_of(found.rows))
    return show(request, "recharge/bulk_sales.html", {"page": found, "table": table})


@page(Permission.SELL)
def bulk_sale(request: HttpRequest, key: UUID) -> HttpResponse:
    """What became of the rows of one batch."""
    batch = batch_by_key(key, seller_id=own_seller(request))
    files = [(one.label_of_results, address_of(f"bulk_sale_{ending}", batch.key)) for ending, one in FORMATS.items()]
    return show(request, "recharge/bulk_sale.html", _context(batch, outcomes_of(batch)) | {"files": files})


def _context(batch: BulkBatch, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    places = list(enumerate(outcomes, start=1))
    in_flight = [_mark(place, one.recharge) for place, one in places if one.recharge and one.is_waiting]
    return {
        "batch": batch,
        "key": batch.key.hex,
        # What needs a look comes first.
        "outcomes": sorted(places, key=lambda placed: (_rank(placed[1]), placed[0])),
        "counts": _counts_in(outcomes),
        "reckoning": reckoning_of(batch),
        "in_flight": " ".join(in_flight),
        "waiting": len(in_flight),
        "failed_since": 0,
        "round": 0,
        "seconds": _OFTEN,
        "again": sum(one.is_failed or one.recharge is None for one in outcomes),
        "unreached": sum(one.is_unreached for one in outcomes),
        "doubtful": sum(one.refusal == PossibleDuplicate.code for one in outcomes),
    }


def _rank(outcome: Outcome) -> int:
    if outcome.is_failed or outcome.recharge is None:
        return 0
    return 1 if outcome.is_waiting else 2


def _counts_in(outcomes: Sequence[Outcome]) -> Counts:
    """Of the very rows that are shown."""
    counts = Counts(Sums(), Sums(), Sums(), Sums())
    for one in outcomes:
        sold = one.recharge
        if sold is None:
            counts.not_sold.add(1, one.row.item.amount, 0)
        else:
            of = counts.failed if one.is_failed else counts.waiting if one.is_waiting else counts.delivered
            of.add(1, sold.amount, sold.commission)
    return counts


def _mark(place: int, recharge: Recharge) -> str:
    return f"{place}:{recharge.status}:{recharge.pk.hex}"


@page(Permission.SELL, methods=("POST",))
def states(request: HttpRequest) -> HttpResponse:
    """What became by now of the rows that were in flight, for the part of the page that asks again and again.

    It tells what it knows, a place, state and id each. Only what is otherwise by now is sent; and all of it, in its
    order, once the last has its outcome. Rows stay where they are until then, since somebody may be reading them or
    about to touch one: what has failed since the page was loaded is counted, with a link to the page in its new order.
    """
    key = request.POST.get("batch", "")
    known = _known_states(request.POST.get("in_flight", "")) if is_key(key) else {}
    times = _count_of(request.POST.get("round", "")) + 1
    failed_since = _count_of(request.POST.get("failed_since", ""))
    context: dict[str, Any] = {"key": key, "in_flight": "", "waiting": 0, "is_update": True}
    if known:
        batch = batch_by_key(UUID(hex=key), seller_id=own_seller(request))
        outcomes = outcomes_of(batch)
        rows = {place: one.recharge for place, one in enumerate(outcomes, start=1) if place in known and one.recharge}
        waiting = {place: recharge for place, recharge in rows.items() if recharge.completed_at is None}
        changed = {place: recharge for place, recharge in rows.items() if recharge.status != known[place]}
        context |= {
            "batch": batch,
            "in_flight": " ".join(_mark(place, recharge) for place, recharge in waiting.items()),
            "waiting": len(waiting),
            "changed": changed,
        }
        failed_since += sum(recharge.status == Recharge.Status.FAILED for recharge in changed.values())
        if changed:
            whole = _context(batch, outcomes)
            context = whole | context | {"is_over": not whole["waiting"]}
    context |= {"failed_since": failed_since, "round": times, "seconds": _OFTEN if times < _OFTEN_TIMES else _SELDOM}
    response = show(request, "recharge/bulk_states.html", context)
    if context.get("changed"):
        response["HX-Trigger"] = "balance-changed"
    return response


def _known_states(written: str) -> dict[int, str]:
    found = re.findall(r"(?:^| )([1-9][0-9]{0,3}):(pending|unknown):[0-9a-f]{32}(?= |$)", written)
    return {int(place): status for place, status in found[:MOST_ROWS]}


def _count_of(written: str) -> int:
    return int(written) if written.isascii() and written.isdigit() and len(written) <= 4 else 0


# --- Files ------------------------------------------------------------------------------------------------------------

_COLUMNS = (
    Column("row", _("Row"), 8),
    Column("phone_number", _("Number"), 16),
    Column("operator", _("Operator"), 20, words.operator_name),
    Column("amount", _("Amount (Tomans)"), 18),
    Column("reference", _("Reference"), 24),
    Column("status", _("Result"), 22, lambda status: _status(status)),
    Column("reason", _("Reason"), 60),
    Column("commission", _("Commission (Tomans)"), 20),
    Column("id", _("Id"), 38),
)


@page(Permission.SELL)
def bulk_sale_as_file(request: HttpRequest, key: UUID, ending: str) -> HttpResponseBase:
    """The rows and what became of each, for spreadsheets. Their columns are read, too, where such a file comes back."""
    batch = batch_by_key(key, seller_id=own_seller(request))
    download = Download(
        name="sales",
        request=request,
        filters={"batch": batch.key.hex},
        for_sheet=_pages(batch),
        for_csv=_pages(batch),
        columns=[column.name for column in _COLUMNS],
        sheet=_("Bulk sale"),
        sheet_columns=_COLUMNS,
    )
    return FORMATS[ending].answer(download)


def _pages(batch: BulkBatch) -> Iterator[list[dict[str, Any]]]:
    yield [_record(one) for one in outcomes_of(batch)]


def _record(outcome: Outcome) -> dict[str, Any]:
    row, recharge = outcome.row, outcome.recharge
    reason = words.refusal_words(outcome.refusal)
    if recharge:
        reason = str(
            words.failure_to_sellers(recharge.failure) or (words.SOLD_IN_TRAINING if recharge.training else "")
        )
    return {
        "row": row.line,
        "phone_number": row.item.phone_number,
        "operator": row.item.operator,
        "amount": row.item.amount,
        "reference": row.reference,
        "status": recharge.status if recharge else _NOT_SOLD,
        "reason": reason,
        "commission": recharge.commission if recharge and not outcome.is_failed else 0,
        "id": str(recharge.pk) if recharge else "",
    }


_NOT_SOLD = "not_sold"


def _status(status: str) -> str:
    return str(_("Not sold")) if status == _NOT_SOLD else words.status_words(status)
