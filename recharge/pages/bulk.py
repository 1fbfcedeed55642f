"""Selling many recharges at once, as pages: rows are pasted or uploaded, looked at, and sold a slice at a time.

The batch's key is made when the first form is shown, and each row's idempotency key is made of it and of the row's
line. So whatever is sent again (a slice whose answer was lost, the preview after a reload) goes on where it stopped,
and sells nothing twice.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credit.errors import InsufficientCredit
from recharge.models import Recharge
from recharge.pages import words
from recharge.pages.bulk_files import LARGEST_FILE, Unreadable, Written, text_of
from recharge.pages.bulk_rows import MOST_ROWS, Reading, keys_of, read_items, read_rows, write_items
from recharge.pages.sell import TO_ITS_SELLER, is_key, new_key
from recharge.selling import queries
from recharge.selling.errors import REFUSALS, PossibleDuplicate
from recharge.selling.queries import Sold
from recharge.selling.sale import Item
from recharge.selling.services import refusal_of, sell_recharges
from recharge.terms.queries import added_operators
from shared.console.forms import Form
from shared.console.languages import is_shown_again
from shared.console.messages import message_for
from shared.console.views import FORM, is_fragment, own_seller, page, show, signed_in, status_of_form
from shared.errors import InvalidRequest, Problem
from shared.identity.permissions import Permission
from tenants.exports import BYTE_ORDER_MARK, neutralize_formula
from tenants.routing import organization_of

SLICE = 100
"""Rows that are sold in one transaction: others who sell for the same seller wait for no more than that."""

_OFTEN, _SELDOM = 2, 15  # seconds between two looks at what is in flight: the first ones, and later
_OFTEN_TIMES = 30


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
        widget=forms.FileInput(attrs={"accept": _ACCEPTED}),
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
    """The form for rows, and what they come to."""
    form = RowsForm(request.POST, request.FILES) if request.method == "POST" else RowsForm()
    batch = request.POST.get("batch", "")
    batch = batch if is_key(batch) else new_key()
    if form.is_bound and form.is_valid():
        try:
            written = form.written(request)
            reading = read_rows(written.text, batch, added_operators())
        except Unreadable as error:
            form.add_error("file" if form.cleaned_data["file"] else "text", str(error.message))
        else:
            return _preview(request, written, reading, batch, again=request.POST.get("again") == "on")
    return show(request, "recharge/bulk.html", {"form": form, "batch": batch}, status=status_of_form(form))


def _preview(request: HttpRequest, written: Written, reading: Reading, batch: str, *, again: bool) -> HttpResponse:
    """What the rows come to. What was sold a moment ago by another form is left out unless it is meant (``again``):
    after a lost answer, people begin anew."""
    seller_id, rows, text = own_seller(request), reading.rows, written.text
    given = [(row, replace(row.item, allow_duplicate=again)) for row in rows if row.item]
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
    left = [(row.item, commissions[row.line]) for row in meant if row.item and row.line not in is_sold]
    total, earned = sum(item.amount for item, _ in left), sum(commission for _, commission in left)
    # Each needs its whole amount, of what those before it have left and earned.
    needed = spent = 0
    for item, commission in left:
        needed, spent = max(needed, spent + item.amount), spent + item.amount - commission
    balance = prospects[0].balance if prospects else queries.balance_of(seller_id).balance
    context = {
        # What needs a look comes first.
        "rows": sorted(rows, key=lambda row: (not row.problems, row.same_as is None and not row.remarks, row.line)),
        "notes": written.notes + reading.notes,
        "mended": sum(bool(row.remarks) for row in good),
        "batch": batch,
        "items": write_items(meant),
        "lately": sum(row.sold_lately for row in good),
        "again": again,
        "text": text,
        "sent": {"text": text, "batch": batch},
        "left": len(left),
        "sold": is_sold,
        "wrong": len(rows) - len(good),
        "repeated": sum(row.same_as is not None for row in rows),
        "total": total,
        "balance": balance,
        "earned": earned,
        "balance_after": balance - total + earned,
        "missing": max(0, needed - balance),
        "borne": sum(prospect.outcome == "created" for prospect in prospects),
    }
    return show(request, "recharge/bulk_preview.html", context)


@dataclass(slots=True)
class Result:
    """What became of one row."""

    line: int
    item: Item
    recharge: Sold | Recharge | None
    is_replay: bool = False
    refusal: str = ""
    """The code of why it was not sold."""

    @property
    def message(self) -> str:
        return _refusal(self.refusal)


@dataclass(slots=True)
class Progress:
    """How far a batch has come."""

    total: int
    start: int = 0
    """How many rows were dealt with."""
    created: int = 0
    replayed: int = 0
    refused: int = 0
    doubtful: int = 0
    """How many of the refused are only so since the same was sold a moment ago."""
    in_flight: str = ""
    """The lines whose recharges had not ended, each with its state: see :func:`states`."""
    balance: int | None = None
    problem: str = ""
    results: list[Result] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return self.start >= self.total


@page(Permission.SELL, methods=("POST",))
def sell(request: HttpRequest) -> HttpResponse:
    """Sells what was looked at: for htmx a slice, which asks for the next one; without script all of it."""
    batch, items, allow_duplicate = _read_batch(request)
    progress = Progress(total=len(items))
    if is_fragment(request):
        for name in ("start", "created", "replayed", "refused", "doubtful"):
            setattr(progress, name, _count(request, name))
        progress.in_flight = request.POST.get("in_flight", "")
    if is_shown_again(request):
        _show_results(request, items, progress)
    while not (progress.is_done or progress.problem or is_shown_again(request)):
        _sell_slice(request, batch, items[progress.start : progress.start + SLICE], progress)
        if is_fragment(request):
            break
    context = {
        "progress": progress,
        "batch": batch,
        "items": request.POST["items"],
        "allow_duplicate": allow_duplicate,
        "in_flight": progress.in_flight,
        "waiting": len(progress.in_flight.split()),
        "seconds": _OFTEN,
        "round": 0,
        "is_update": False,
        "is_shown_again": is_shown_again(request),
        "sent": {"refused": [f"{one.line}:{one.refusal}" for one in progress.results if not one.recharge]},
    }
    is_begun = is_fragment(request) and request.headers.get("HX-Target") == "bulk-progress"
    response = show(request, "recharge/bulk_slice.html" if is_begun else "recharge/bulk_results.html", context)
    response["HX-Trigger"] = "balance-changed"
    return response


def _read_batch(request: HttpRequest) -> tuple[str, list[tuple[int, Item]], bool]:
    batch, allow_duplicate = request.POST.get("batch", ""), request.POST.get("allow_duplicate") == "on"
    try:
        if not is_key(batch):
            raise Unreadable(_("This form was not complete. Paste the rows once more."))
        return batch, read_items(request.POST.get("items", ""), batch, allow_duplicate=allow_duplicate), allow_duplicate
    except Unreadable as error:
        raise InvalidRequest.of_field("items", "invalid", str(error.message)) from None


def _count(request: HttpRequest, name: str) -> int:
    written = request.POST.get(name, "0")
    return int(written) if written.isascii() and written.isdigit() and len(written) <= 4 else 0


def _sell_slice(request: HttpRequest, batch: str, part: Sequence[tuple[int, Item]], progress: Progress) -> None:
    try:
        sold = sell_recharges(
            organization=organization_of(request),
            seller_id=own_seller(request),
            items=[item for _line, item in part],
            atomic=False,
            guard=queries.LATELY_SECONDS,
            own_keys=keys_of(batch),
            access=signed_in(request).access,
        )
    except Problem as problem:
        progress.problem = message_for(problem, instead=TO_ITS_SELLER)
        return
    for (line, item), result in zip(part, sold.results, strict=True):
        if isinstance(result, Problem):
            progress.results.append(Result(line, item, None, refusal=result.code))
            progress.refused += 1
            progress.doubtful += isinstance(result, PossibleDuplicate)
        else:
            progress.results.append(Result(line, item, result.row, is_replay=result.is_replay))
            progress.in_flight = f"{progress.in_flight} {_mark(line, result.row)}".strip()
            progress.replayed += result.is_replay
            progress.created += not result.is_replay
    progress.start += len(part)
    progress.balance = sold.balance


def _show_results(request: HttpRequest, items: Sequence[tuple[int, Item]], progress: Progress) -> None:
    """What became of the items, without selling any: for the same page in another language. Those at the end of which
    nothing is known were not reached."""
    refused = _refused(request)
    keys = [item.idempotency_key for _line, item in items]
    sold = queries.recharges_by_key(seller_id=own_seller(request), keys=keys)
    known = [bool(item.idempotency_key in sold or str(line) in refused) for line, item in items]
    progress.start = max((index for index, is_known in enumerate(known, start=1) if is_known), default=0)
    for line, item in items[: progress.start]:
        recharge, refusal = sold.get(item.idempotency_key), refused.get(str(line), "")
        progress.results.append(Result(line, item, recharge, refusal="" if recharge else refusal))
        progress.created += recharge is not None
        progress.refused += recharge is None
        progress.doubtful += recharge is None and refusal == PossibleDuplicate.code
        if recharge:
            progress.in_flight = f"{progress.in_flight} {_mark(line, recharge)}".strip()


def _refused(request: HttpRequest) -> dict[str, str]:
    """Why rows were not sold: codes by line, as the page has them."""
    return dict(written.partition(":")[::2] for written in request.POST.getlist("refused"))


def _mark(line: int, recharge: Sold | Recharge) -> str:
    return "" if recharge.completed_at else f"{line}:{recharge.status}:{str(recharge.id).replace('-', '')}"


@page(Permission.SELL, methods=("POST",))
def states(request: HttpRequest) -> HttpResponse:
    """What became by now of the rows that were in flight, for the part of the page that asks again and again.

    It tells what it knows, a line, state and id each. Only what is otherwise by now is sent.
    """
    batch = request.POST.get("batch", "")
    known = _known_states(request.POST.get("in_flight", "")) if is_key(batch) else {}
    lines = {recharge_id: line for line, (_status, recharge_id) in known.items()}
    own = queries.recharges(seller_id=own_seller(request)).filter(pk__in=list(lines)).order_by("pk")
    rows = {lines[recharge.pk]: recharge for recharge in own}
    in_flight = [_mark(line, recharge) for line, recharge in rows.items() if not recharge.completed_at]
    times = _count(request, "round") + 1
    context = {
        "batch": batch,
        "changed": {line: recharge for line, recharge in rows.items() if recharge.status != known[line][0]},
        "in_flight": " ".join(in_flight),
        "waiting": len(in_flight),
        "round": times,
        "seconds": _OFTEN if times < _OFTEN_TIMES else _SELDOM,
        "is_update": True,
    }
    response = show(request, "recharge/bulk_states.html", context)
    if len(in_flight) < len(rows):
        response["HX-Trigger"] = "balance-changed"
    return response


def _known_states(written: str) -> dict[int, tuple[str, UUID]]:
    found = re.findall(r"(?:^| )([1-9][0-9]{0,6}):(pending|unknown):([0-9a-f]{32})(?= |$)", written)
    return {int(line): (status, UUID(hex=recharge_id)) for line, status, recharge_id in found[:MOST_ROWS]}


@page(Permission.SELL, methods=("POST",))
def results(request: HttpRequest) -> HttpResponse:
    """The results as they are now, as a file for spreadsheets."""
    _batch, items, _allow_duplicate = _read_batch(request)
    sold = queries.recharges_by_key(seller_id=own_seller(request), keys=[item.idempotency_key for _line, item in items])
    refused = _refused(request)
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["row", "phone_number", "operator", "amount", "status", "reason", "id"])
    for line, item in items:
        recharge = sold.get(item.idempotency_key)
        if recharge:
            reason = words.failure_to_sellers(recharge.failure) or (words.SOLD_IN_TRAINING if recharge.training else "")
            outcome = [recharge.status, str(reason), recharge.pk]
        else:
            outcome = ["not_sold", _refusal(refused.get(str(line), "")), ""]
        cells = [line, item.phone_number, item.operator, item.amount, *outcome]
        writer.writerow([neutralize_formula(cell) for cell in cells])
    return HttpResponse(
        BYTE_ORDER_MARK + file.getvalue(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="sales.csv"'},
    )


_OF_A_ROW: dict[type[Problem], str | Promise] = {
    InsufficientCredit: _("Not enough credit. Ask for credit, and send the rows again."),
    PossibleDuplicate: _("The same amount was sold to this number a moment ago."),
}
"""What is said of a row in place of a refusal's own words, which are those of a single sale."""

_REFUSALS = {one.code: _OF_A_ROW.get(one, one.message) for one in REFUSALS}


def _refusal(code: str) -> str:
    """Why a row was not sold; nothing for a code that is none."""
    return str(_REFUSALS.get(code) or "")
