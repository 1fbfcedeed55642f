"""Reports: what was sold by day, operator and seller, and who loses by failures, as tables, as charts and as CSV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from recharge.pages import charts, words
from recharge.periods.queries import closed_until
from recharge.reports.posted import Corrections, PostedReport, PostedSums, corrections_of_closed, posted_report
from recharge.reports.sums import MOST_DAYS, Changes, Report, Sums, report
from shared.console.formats import format_day
from shared.console.forms import DaysForm
from shared.console.spans import Span, last_days
from shared.console.tables import AMOUNT, WIDE
from shared.console.views import page, show, signed_in
from shared.days import days_before, today
from shared.errors import InvalidRequest
from shared.identity.permissions import Permission
from shared.templatetags.console import number, percent, signed
from tenants.exports import Page, csv_response
from tenants.standby import read_from_standby

USUAL_DAYS = 7
SELLERS_SHOWN, MOST_BARS = 100, 10
EVERY_SELLER = 2**31 - 1

_LAST_DAYS = ((_("7 days"), USUAL_DAYS), (_("30 days"), 30), (_("92 days"), MOST_DAYS))
_FIRST_DAY, _LAST_DAY = date(2000, 1, 1), date(2200, 1, 1)


class RangeForm(DaysForm):
    """The days that are reported; the last seven where none are given."""

    def spans(self) -> list[Span]:
        return [*super().spans(), *(last_days(today(), count, name) for name, count in _LAST_DAYS)]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.errors:
            return cleaned
        last = cleaned.get("to_day") or max(cleaned.get("from_day") or today(), today())
        first = cleaned.get("from_day") or days_before(last, USUAL_DAYS - 1)
        if not _FIRST_DAY <= first <= last <= _LAST_DAY:
            self.add_error("to_day", _("There are no reports for these days. Choose others."))
        elif (last - first).days >= MOST_DAYS:
            self.add_error("from_day", _("More than 92 days. Choose a day closer to the last one."))
        return {"from_day": first, "to_day": last}


def _days(request: HttpRequest) -> tuple[RangeForm, date, date]:
    """The form, and the days to show: the usual ones if it is wrong."""
    form = RangeForm(request.GET)
    if form.is_valid():
        return form, form.cleaned_data["from_day"], form.cleaned_data["to_day"]
    return form, days_before(today(), USUAL_DAYS - 1), today()


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the report: how it is headed, its key in the CSV file, how it is drawn, and its rows (each with what
    people read, the values of the key as the API has them, and the sums). ``drawn`` is what the chart is called and the
    sum that it shows, ``drawn_of_closed`` the same of closed days."""

    title: Promise
    head: Promise
    key: tuple[str, ...]
    draw: Callable[[list[charts.Point], str], charts.Chart]
    rows: Callable[[Report | PostedReport], list[tuple[str, tuple[Any, ...], Any]]]
    drawn: tuple[Promise, str] = (_("Tomans delivered"), "delivered_amount")
    drawn_of_closed: tuple[Promise, str] = (_("Net sales"), "net_amount")


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of a table: its heading, the sum that it shows, and the one that it is a share of ("": it is no share).
    ``folds``: a phone has no room for it; there it stands below what its row is of, unless it is nothing."""

    heading: Promise
    name: str
    share_of: str = ""
    folds: bool = False

    @property
    def classes(self) -> str:
        return f"{AMOUNT} {WIDE}" if self.folds else AMOUNT

    def written(self, sums: Any) -> str:
        value: int = getattr(sums, self.name)
        return percent(value, getattr(sums, self.share_of)) if self.share_of else number(value)

    def written_of_change(self, changed: Any) -> str:
        """What became of it after the day; nothing of a share, nor of what no such change adds to."""
        value = None if self.share_of else getattr(changed, self.name, None)
        return "" if value is None else signed(value)


_SALES = (
    Figure(_("Delivered"), "delivered", folds=True),
    Figure(_("Tomans delivered"), "delivered_amount"),
    Figure(_("Commission"), "delivered_commission", folds=True),
    Figure(_("Margins"), "margins", folds=True),
    Figure(_("Failed"), "failed", folds=True),
    Figure(_("Failure rate"), "failed", share_of="ended"),
    Figure(_("Awaiting outcome"), "open", folds=True),
)
_FAILURES = (
    Figure(_("Failed"), "failed"),
    Figure(_("Failure rate"), "failed", share_of="ended"),
    Figure(_("Tomans failed"), "failed_amount"),
)
_POSTED = (
    Figure(_("Sold"), "sold_amount"),
    Figure(_("Refunded"), "given_back_amount", folds=True),
    Figure(_("Charged again"), "charged_late_amount", folds=True),
    Figure(_("Net sales"), "net_amount"),
    Figure(_("Commission"), "commission", folds=True),
    Figure(_("Margins"), "margins", folds=True),
)
_GIVEN_BACK = (
    Figure(_("Refunded"), "given_back"),
    Figure(_("Refund rate"), "sold_refunded", share_of="sold"),
    Figure(_("Tomans refunded"), "given_back_amount"),
)
"""The figures of sales, those of who loses by failures, and both for days that are closed."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is written: of what; each figure; those that stand below its name on a phone; and what changed after
    the day, with what that adds to each figure."""

    label: str
    cells: Sequence[tuple[Figure, str]]
    folded: Sequence[tuple[Figure, str]]
    changed: Changes | None
    changed_cells: Sequence[tuple[Figure, str]]


def _row(label: str, sums: Any, figures: Sequence[Figure]) -> Row:
    changed = getattr(sums, "changed", None) or None
    cells = [(one, one.written(sums)) for one in figures]
    return Row(
        label,
        cells,
        [(one, written) for one, written in cells if one.folds and getattr(sums, one.name)],
        changed,
        [(one, one.written_of_change(changed)) for one in figures] if changed else [],
    )


def _figures_of(by: str, *, is_closed: bool, has_commissions: bool, has_margins: bool) -> list[Figure]:
    if by == "failures":
        return list(_GIVEN_BACK if is_closed else _FAILURES)
    without = set() if has_margins and by != "operator" else {"margins"}  # no margin is of an operator
    if not has_commissions:
        without.add("delivered_commission")
    return [one for one in (_POSTED if is_closed else _SALES) if one.name not in without]


TABLES = {
    "day": Table(
        _("By day"),
        _("Day"),
        ("day",),
        charts.columns,
        lambda found: [(format_day(day), (day.isoformat(),), sums) for day, sums in found.days.items()],
    ),
    "operator": Table(
        _("By operator"),
        _("Operator"),
        ("operator",),
        charts.bars,
        lambda found: [(words.operator_name(code), (code,), sums) for code, sums in found.operators.items()],
    ),
    "seller": Table(
        _("By seller"),
        _("Seller"),
        ("seller_id", "seller"),
        charts.bars,
        lambda found: [(name, (seller_id, name), sums) for seller_id, name, sums in found.sellers],
    ),
    "failures": Table(
        _("Sellers by failures"),
        _("Seller"),
        ("seller_id", "seller"),
        charts.bars,
        lambda found: [(name, (seller_id, name), sums) for seller_id, name, sums in found.losses],
        drawn=(_("Tomans failed"), "failed_amount"),
        drawn_of_closed=(_("Tomans refunded"), "given_back_amount"),
    ),
}
"""By their names in addresses, in the order in which they are shown."""


@page(Permission.VIEW_REPORTS)
def reports(request: HttpRequest) -> HttpResponse:
    """The tables, and the charts beside them."""
    form, first, last = _days(request)
    read = read_from_standby(lambda: _report_and_late(first, last))
    found, late = read.value
    is_closed = isinstance(found, PostedReport)
    has_commissions = isinstance(found, Report) and _has_commissions(found)
    has_margins = any(sums.margins for sums in found.days.values())
    tables = []
    for by, table in TABLES.items():
        figures = _figures_of(by, is_closed=is_closed, has_commissions=has_commissions, has_margins=has_margins)
        rows = [_row(label, sums, figures) for label, _key, sums in table.rows(found)]
        total = _row(str(_("Total of all sellers") if by == "failures" else _("Total")), found.total, figures)
        tables.append((by, table.title, table.head, figures, rows, total, _chart(table, found)))
    written = {"from_day": format_day(first), "to_day": format_day(last)}
    context = {
        "form": form if form.is_bound and form.errors else RangeForm(initial=written),
        "first": first,
        "last": last,
        "report": found,
        "is_closed": is_closed,
        "has_commissions": has_commissions,
        "has_margins": has_margins,
        "late": late,
        "as_of": read.as_of,
        "tables": tables,
        "sellers_shown": SELLERS_SHOWN,
        "cut": [
            by
            for by, sellers in (("seller", found.sellers), ("failures", found.losses))
            if len(sellers) == SELLERS_SHOWN
        ],
        "query": f"from_day={first.isoformat()}&to_day={last.isoformat()}",
    }
    return show(request, "recharge/reports.html", context)


def _chart(table: Table, found: Report | PostedReport) -> charts.Chart:
    """One table's Tomans, drawn: of sellers, those with most."""
    title, name = table.drawn_of_closed if isinstance(found, PostedReport) else table.drawn
    points = [(label, getattr(sums, name)) for label, _key, sums in table.rows(found)]
    return table.draw(points if table.draw is charts.columns else points[:MOST_BARS], str(title))


@page(Permission.VIEW_REPORTS)
def reports_csv(request: HttpRequest) -> HttpResponseBase:
    """One table, all of it. Days, operators and sellers as the API names them. What changed after the day is a line of
    its own below; what it adds to each sum makes of it what is so now. Of closed days: the sums of their entries."""
    by = _by(request)
    first, last = _valid_days(request)
    read = read_from_standby(lambda: _report(first, last, EVERY_SELLER))
    found = read.value
    table = TABLES[by]
    lines: list[dict[str, Any]] = []
    for _label, values, sums in table.rows(found):
        if isinstance(sums, PostedSums):
            lines.append(
                dict(zip(table.key, values, strict=True))
                | {name: getattr(sums, name) for name in (*_OF_ENTRIES, _MARGINS)}
            )
            continue
        lines.append(dict(zip(table.key, values, strict=True)) | _figures(sums) | {_MARGINS: sums.margins})
        if sums.changed:
            changed = (*values[:-1], f"{values[-1]} (changed after the day)")
            lines.append(dict(zip(table.key, changed, strict=True)) | _figures(sums.changed) | {_MARGINS: 0})
    columns: tuple[str, ...] = _OF_ENTRIES if isinstance(found, PostedReport) else _OF_SALES
    if by == "failures":
        columns = columns if isinstance(found, PostedReport) else _OF_FAILURES
    elif by != "operator":  # of which no margin is
        columns = (*columns, _MARGINS)
    return csv_response(
        filename=f"report-by-{by}.csv",
        columns=[*table.key, *columns],
        pages=iter([Page(lines, read.as_of)]),
        request=request,
        person=signed_in(request).user.pk,
        filters={"from_day": first, "to_day": last},
        is_for_people=True,
    )


_OF_SALES = ("succeeded", "amount", "failed", "open", "commission")
_OF_FAILURES = ("failed", "failed_amount", "succeeded", "amount")
_OF_ENTRIES = (
    "sold",
    "sold_amount",
    "given_back",
    "given_back_amount",
    "charged_late",
    "charged_late_amount",
    "net_amount",
    "commission",
    "earlier",
    "earlier_amount",
)
_MARGINS = "margins"
"""Columns of the CSV file."""


def _report(first: date, last: date, most_sellers: int) -> Report | PostedReport:
    """By the day of the entry as soon as one of the days is closed."""
    closed = closed_until()
    if closed is not None and first <= closed:
        return posted_report(first=first, last=last, most_sellers=most_sellers)
    return report(first=first, last=last, most_sellers=most_sellers)


def _report_and_late(first: date, last: date) -> tuple[Report | PostedReport, Corrections | None]:
    """What is shown; of days that are not closed also what came for closed ones."""
    found = _report(first, last, SELLERS_SHOWN)
    return found, None if isinstance(found, PostedReport) else corrections_of_closed(first=first, last=last)


def _has_commissions(found: Report) -> bool:
    return any(sums.delivered_commission or sums.changed.delivered_commission for sums in found.days.values())


def _figures(sums: Sums | Changes) -> dict[str, int]:
    return {
        "succeeded": sums.delivered,
        "amount": sums.delivered_amount,
        "failed": sums.failed,
        "open": sums.open,
        "commission": sums.delivered_commission,
        "failed_amount": sums.failed_amount,
    }


def _by(request: HttpRequest) -> str:
    by = request.GET.get("by", "day")
    if by not in TABLES:
        *others, last = TABLES
        raise InvalidRequest.of_field("by", "invalid", f"This must be {', '.join(others)} or {last}.")
    return by


def _valid_days(request: HttpRequest) -> tuple[date, date]:
    form, first, last = _days(request)
    if not form.is_valid():
        raise InvalidRequest("The days are wrong.")
    return first, last
