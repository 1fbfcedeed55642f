"""Selling many recharges at once, as pages: rows are pasted or uploaded, looked at, and sold a slice at a time. What
became of them is in bulk_sales.py.

The batch's key is made when the first form is shown, and each row's idempotency key is made of it and of what the row
sells. So whatever is sent again (a slice whose answer was lost, the preview after a reload) goes on where it stopped,
and sells nothing twice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from recharge.batches.errors import BatchSoldBefore, EqualRows
from recharge.batches.queries import batch_by_key, find_batch, outcomes_of, sold_before
from recharge.batches.rows import BatchRow, digest_of, from_stored, keys_of
from recharge.batches.services import begin_batch, note_refusals
from recharge.models import BulkBatch
from recharge.pages.bulk_files import LARGEST_FILE, TOO_LARGE, Unreadable, Written, text_of
from recharge.pages.bulk_rows import (
    NOT_COMPLETE,
    Reading,
    mark_equals,
    read_items,
    read_rows,
    shown_name,
    text_of_rows,
    write_items,
)
from recharge.pages.sell import TO_ITS_SELLER, SeeOther, is_key, new_key
from recharge.selling import queries
from recharge.selling.services import refusal_of, sell_recharges
from recharge.terms.queries import added_operators
from shared.console.forms import FileInput, Form
from shared.console.languages import is_shown_again
from shared.console.messages import message_for
from shared.console.views import FORM, is_fragment, own_seller, page, show, signed_in, status_of_form
from shared.errors import InvalidRequest, NotFound, Problem
from shared.identity.permissions import Permission
from tenants.routing import organization_of

SLICE = 100
"""Rows that are sold in one transaction: others who sell for the same seller wait for no more than that."""

EQUALS_SHOWN = 10
"""How many groups of equal rows are named whole above the table; its remarks name the others."""

_ACCEPTED = ".xlsx,.csv,.txt,text/csv,text/plain,application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class RowsForm(Form):
    """Rows, pasted or in a file."""

    text = forms.CharField(
        label=_("Rows"),
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={
                "rows": 8,
                "dir": "ltr",
                "spellcheck": "false",
                "placeholder": "09121234567,50000\n09351234567,20000,mci",
            }
        ),
        help_text=_(
            "One sale per line: number, amount in Tomans; then, if you like, operator and a "
            "reference of your own. At most 1,000. Paste them from Excel, or write them."
        ),
    )
    file = forms.FileField(
        label=_("Or an Excel or CSV file"),
        required=False,
        allow_empty_file=True,
        widget=FileInput(accept=_ACCEPTED, most=LARGEST_FILE, too_large=TOO_LARGE),
        help_text=_(
            "Name the columns in the first line, in any order: number, amount, operator, reference. At most 1 MiB."
        ),
    )

    def written(self, request: HttpRequest) -> Written:
        """The text of what was sent.

        Raises:
            Unreadable: there is none, or it can't be read.
            Unavailable: others' workbooks are being read.
        """
        file: UploadedFile[bytes] | None = self.cleaned_data["file"]
        if file:
            organization, person = organization_of(request).slug, signed_in(request).user.pk
            return text_of(file.read(LARGEST_FILE + 1), organization=organization, person=person)
        return Written(self.cleaned_data["text"])


@page(Permission.SELL, methods=FORM)
def bulk(request: HttpRequest) -> HttpResponse:
    """The form for rows, and what they come to; also for rows of a batch that are taken up once more."""
    if request.method == "POST" and "take" in request.POST:
        return _take_up(request)
    form = RowsForm(request.POST, request.FILES) if request.method == "POST" else RowsForm()
    batch = request.POST.get("batch", "")
    batch = batch if is_key(batch) else new_key()
    if form.is_bound and form.is_valid():
        file = form.cleaned_data["file"]
        try:
            written = form.written(request)
            reading = read_rows(written.text, batch, added_operators())
        except Unreadable as error:
            form.add_error("file" if file else "text", str(error.message))
        else:
            name = shown_name(file.name if file else request.POST.get("file_name", ""))
            return _preview(request, written, reading, batch, name, again=request.POST.get("again") == "on")
    return show(request, "recharge/bulk.html", {"form": form, "batch": batch}, status=status_of_form(form))


def _take_up(request: HttpRequest) -> HttpResponse:
    """Rows of a batch that were not delivered, or those with mistakes, as a new batch to be looked at."""
    batch = batch_by_key(_key_of(request, "from"), seller_id=own_seller(request))
    if request.POST["take"] == "mistakes":
        text = batch.left_out
    else:
        text = text_of_rows([one.row for one in outcomes_of(batch) if one.is_failed or one.recharge is None])
    key = new_key()
    try:
        reading = read_rows(text, key, added_operators())
    except Unreadable as error:  # there is none any more
        form = RowsForm({"text": text})
        form.add_error(None, str(error.message))
        return show(request, "recharge/bulk.html", {"form": form, "batch": key}, status=422)
    return _preview(request, Written(text), reading, key, batch.file_name, again=False)


def _key_of(request: HttpRequest, name: str) -> UUID:
    written = request.POST.get(name, "")
    if not is_key(written):
        raise NotFound("There is no such batch.")
    return UUID(hex=written)


def _preview(
    request: HttpRequest, written: Written, reading: Reading, batch: str, file_name: str, *, again: bool
) -> HttpResponse:
    """What the rows come to. What was sold a moment ago by another form is left out unless it is meant (``again``):
    after a lost answer, people begin anew."""
    seller_id, rows, text = own_seller(request), reading.rows, written.text
    given = [(row, replace(row.item, allow_duplicate=again)) for row in rows if row.item]
    digest = digest_of(item for _row, item in given)
    prospects = queries.prospects_of(
        seller_id=seller_id,
        items=[item for _row, item in given],
        guard=queries.LATELY_SECONDS,
        own_keys=keys_of(batch),
    )
    is_sold: set[int] = set()
    commissions: dict[int, int] = {}
    for (row, item), prospect in zip(given, prospects, strict=True):
        commissions[row.line] = prospect.commission
        match prospect.outcome:
            case "replayed" | "key_reused":
                is_sold.add(row.line)
            case "created" | "insufficient_credit" | "possible_duplicate":
                row.sold_lately = prospect.is_repeated
            case _:
                row.problems.append(message_for(refusal_of(prospect.outcome, item, prospect.balance, prospect.passed)))
                row.item = None
    good = [row for row in rows if row.item]
    meant = [row for row in good if again or not row.sold_lately]
    equals = mark_equals(meant)
    left = [(row.item, commissions[row.line]) for row in meant if row.item and row.line not in is_sold]
    total, earned = sum(item.amount for item, _ in left), sum(commission for _, commission in left)
    # Each needs its whole amount, of what those before it have left and earned.
    needed = spent = 0
    for item, commission in left:
        needed, spent = max(needed, spent + item.amount), spent + item.amount - commission
    balance = prospects[0].balance if prospects else queries.balance_of(seller_id).balance
    before = sold_before(seller_id=seller_id, digest=digest, but=UUID(hex=batch)) if good else None
    context = {
        # What needs a look comes first.
        "rows": sorted(rows, key=lambda row: (not row.problems, row.same_as is None and not row.remarks, row.line)),
        "notes": written.notes + reading.notes,
        "mended": sum(bool(row.remarks) for row in good),
        "batch": batch,
        "items": write_items(meant),
        "digest": digest.hex(),
        "file_name": file_name,
        "left_out": reading.left_out,
        "before": before,
        "lately": sum(row.sold_lately for row in good),
        "again": again,
        "text": text,
        "sent": {"text": text, "batch": batch, "file_name": file_name},
        "left": len(left),
        "sold": is_sold,
        "wrong": len(rows) - len(good),
        "equals": equals,
        "equals_shown": equals[:EQUALS_SHOWN],
        "total": total,
        "balance": balance,
        "earned": earned,
        "balance_after": balance - total + earned,
        "missing": max(0, needed - balance),
        "borne": sum(prospect.outcome == "created" for prospect in prospects),
    }
    return show(request, "recharge/bulk_preview.html", context)


@dataclass(slots=True)
class Progress:
    """How far a batch has come."""

    total: int
    start: int = 0
    """How many rows were dealt with."""
    sold: int = 0
    refused: int = 0
    balance: int | None = None
    problem: str = ""

    @property
    def is_done(self) -> bool:
        return self.start >= self.total


@page(Permission.SELL, methods=("POST",))
def sell(request: HttpRequest) -> HttpResponse:
    """Sells what was looked at: for htmx a slice, which asks for the next one; without script all of it. What became of
    it is a page of its own, to which this leads."""
    key, allow_duplicate = request.POST.get("batch", ""), request.POST.get("allow_duplicate") == "on"
    batch, rows = _read_batch(request, key, allow_duplicate=allow_duplicate)
    progress, before, has_equals = Progress(total=len(rows)), None, False
    if is_fragment(request):
        for name in ("start", "sold", "refused"):
            setattr(progress, name, _count(request, name))
    if not is_shown_again(request):
        try:
            if "items" in request.POST:
                batch = _begin(request, UUID(hex=key), rows)
                rows = from_stored(batch.rows, batch.key)
                progress.total = len(rows)
        except BatchSoldBefore as problem:
            progress.problem = message_for(problem)
            before = sold_before(seller_id=own_seller(request), digest=_digest_of(request, rows), but=UUID(hex=key))
        except EqualRows as problem:
            progress.problem, has_equals = message_for(problem), True
        while batch and not (progress.is_done or progress.problem):
            part = rows[progress.start : progress.start + SLICE]
            _sell_slice(request, batch, part, progress, allow_duplicate=allow_duplicate)
            if is_fragment(request):
                break
    if progress.is_done and not progress.problem:
        return _see(request, reverse("bulk_sale", args=[UUID(hex=key)]))
    context = {
        "progress": progress,
        "batch": key,
        # Until it is kept, the form has it.
        "given": [] if batch else [(name, request.POST[name]) for name in _GIVEN if name in request.POST],
        "before": before,
        "has_equals": has_equals,
        "allow_duplicate": allow_duplicate,
        "is_shown_again": is_shown_again(request),
    }
    is_begun = is_fragment(request) and request.headers.get("HX-Target") == "bulk-progress"
    response = show(request, "recharge/bulk_progress.html" if is_begun else "recharge/bulk_selling.html", context)
    response["HX-Trigger"] = "balance-changed"
    return response


_GIVEN = ("items", "digest", "file_name", "left_out", "mistakes", "sold_before", "equal_rows")
"""Fields of the form with which a batch begins."""


def _read_batch(request: HttpRequest, key: str, *, allow_duplicate: bool) -> tuple[BulkBatch | None, list[BatchRow]]:
    """The batch, if it was begun, and its rows: of the form that begins it, or as they were kept."""
    try:
        if not is_key(key):
            raise Unreadable(NOT_COMPLETE)
        batch = find_batch(UUID(hex=key), seller_id=own_seller(request))
        if "items" in request.POST:
            return batch, read_items(request.POST["items"], key, allow_duplicate=allow_duplicate)
        if batch is None:
            raise Unreadable(NOT_COMPLETE)
    except Unreadable as error:
        raise InvalidRequest.of_field("items", "invalid", str(error.message)) from None
    return batch, from_stored(batch.rows, batch.key)


def _begin(request: HttpRequest, key: UUID, rows: Sequence[BatchRow]) -> BulkBatch:
    account = signed_in(request)
    return begin_batch(
        seller_id=own_seller(request),
        key=key,
        rows=rows,
        made_by=account.username,
        user_id=account.user.pk,
        digest=_digest_of(request, rows),
        file_name=shown_name(request.POST.get("file_name", "")),
        left_out=request.POST.get("left_out", "").replace("\0", ""),
        mistakes=_count(request, "mistakes"),
        again=request.POST.get("sold_before") == "on",
        each_of_equals=request.POST.get("equal_rows") == "on",
    )


def _digest_of(request: HttpRequest, rows: Sequence[BatchRow]) -> bytes:
    """Of all rows of the file, as the preview has told it; what is sold now may be a part of them."""
    written = request.POST.get("digest", "")
    if re.fullmatch("[0-9a-f]{64}", written):
        return bytes.fromhex(written)
    return digest_of(row.item for row in rows)


def _count(request: HttpRequest, name: str) -> int:
    written = request.POST.get(name, "0")
    return int(written) if written.isascii() and written.isdigit() and len(written) <= 4 else 0


def _sell_slice(
    request: HttpRequest, batch: BulkBatch, part: Sequence[BatchRow], progress: Progress, *, allow_duplicate: bool
) -> None:
    try:
        sold = sell_recharges(
            organization=organization_of(request),
            seller_id=own_seller(request),
            items=[replace(row.item, allow_duplicate=allow_duplicate or row.item.allow_duplicate) for row in part],
            atomic=False,
            guard=queries.LATELY_SECONDS,
            own_keys=keys_of(batch.key),
            access=signed_in(request).access,
        )
    except Problem as problem:
        progress.problem = message_for(problem, instead=TO_ITS_SELLER)
        return
    results = {row.item.idempotency_key: result for row, result in zip(part, sold.results, strict=True)}
    refused = {key: result.code for key, result in results.items() if isinstance(result, Problem)}
    note_refusals(batch=batch, refused=refused, sold=results.keys() - refused.keys())
    progress.refused += len(refused)
    progress.sold += len(part) - len(refused)
    progress.start += len(part)
    progress.balance = sold.balance


def _see(request: HttpRequest, address: str) -> HttpResponse:
    if is_fragment(request):
        return HttpResponse(status=204, headers={"HX-Redirect": address})
    return SeeOther(address)
