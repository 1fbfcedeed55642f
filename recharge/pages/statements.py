"""Statements, as pages: those that were made, making one, and one to read, print, prove and download."""

from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit.pages.filters import SellerField, SellerFilters, read_filters
from credit.queries import policy
from recharge.models import Statement
from recharge.pages.tables import statement_rows_table, statements_table
from recharge.papers.files import FORMATS, statement_file
from recharge.papers.words import facts_of, title_of, totals_of
from recharge.statements import digests, queries, services
from shared.console.forms import ChoiceField, DayField, DaysForm, Form
from shared.console.links import address_of
from shared.console.months import Month, month_of, months_between
from shared.console.spans import MONTHS
from shared.console.views import FORM, add_problem, done, page, show, signed_in, status_of_form
from shared.days import days_before, today
from shared.errors import NotFound, Problem
from shared.identity.permissions import Permission
from shared.identity.roles import seller_in_view
from shared.pagination import page_of_rows
from tenants.routing import organization_of

ROWS_ON_A_PAGE = 25
ENTRIES_ON_A_PAGE = 100


class StatementFilters(SellerFilters, DaysForm):
    """The seller, and the days on which they were made."""

    field_order = ("seller", "from_day", "to_day")


@page(Permission.VIEW_ENTRIES)
def statements(request: HttpRequest) -> HttpResponse:
    """Those that were made, newest first."""
    form, filters = read_filters(request, StatementFilters)
    rows = queries.statements(**filters)
    rows = rows.none() if form.errors else rows
    shown = page_of_rows(rows, limit=ROWS_ON_A_PAGE, cursor=request.GET.get("cursor"))
    table = statements_table(shown.rows, sees_all=seller_in_view(signed_in(request)) is None)
    return show(request, "recharge/statements.html", {"page": shown, "table": table, "form": form})


class StatementForm(Form):
    seller = SellerField()
    month = ChoiceField(label=_("Month"), required=False)
    from_day = DayField(label=_("Or from day"), required=False)
    to_day = DayField(label=_("To day"), required=False, help_text=_("At most 366 days. Today counts up to now."))

    def __init__(self, *args: Any, sees_all: bool, today: date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not sees_all:
            del self.fields["seller"]
        self.today = today
        months = [*months_between(days_before(today, 30 * (MONTHS - 1)), today)][::-1]
        self._months = {month.code: month for month in months}
        self.fields["month"].choices = [  # type: ignore[attr-defined]
            ("", _("Days of your choice")),
            *((month.code, str(month)) for month in months),
        ]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        first, last = cleaned.get("from_day"), cleaned.get("to_day")
        month: Month | None = self._months.get(cleaned.get("month") or "")
        if first is None and last is None and month:
            cleaned["from_day"], cleaned["to_day"] = month.first_day, min(month.last_day, self.today)
        elif month and not self.errors:
            self.add_error("month", _("Choose a month or a range of days, not both."))
        elif not self.errors:
            for name in ("from_day", "to_day"):
                if cleaned.get(name) is None:
                    self.add_error(name, _("Choose a month, or enter both days."))
        return cleaned


@page(Permission.MAKE_STATEMENTS, methods=FORM)
def new_statement(request: HttpRequest) -> HttpResponse:
    """Makes one; the same again leads to the same."""
    own = seller_in_view(signed_in(request))
    with timezone.override(ZoneInfo(policy().time_zone)):
        now = today()
    initial = {"seller": request.GET.get("seller", ""), "month": month_of(now).code}
    form = StatementForm(request.POST or None, initial=initial, sees_all=own is None, today=now)
    if request.method == "POST" and form.is_valid():
        given, account = form.cleaned_data, signed_in(request)
        try:
            written = services.make_statement(
                organization=organization_of(request),
                seller_id=given["seller"].pk if own is None else own,
                first_day=given["from_day"],
                last_day=given["to_day"],
                made_by=account.username,
                made_by_id=account.user.pk,
            )
        except Problem as problem:
            add_problem(form, problem, fields={"from": "from_day", "to": "to_day"})
        else:
            said = (
                gettext("This statement was already created; there are no new entries since.")
                if written.is_replay
                else ""
            )
            return done(request, said or gettext("The statement is created."), "statement", written.row.pk)
    context = {"form": form, "time_zone": policy().time_zone}
    return show(request, "recharge/new_statement.html", context, status=status_of_form(form))


@page(Permission.VIEW_ENTRIES)
def statement(request: HttpRequest, statement_id: UUID) -> HttpResponse:
    """One statement: what is above it, its totals, and its rows, some at a time."""
    return show(request, "recharge/statement.html", _context(request, _found(request, statement_id)))


@page(Permission.VIEW_ENTRIES)
def statement_proof(request: HttpRequest, statement_id: UUID) -> HttpResponse:
    """Makes its digest again, and says whether it is the same."""
    row = _found(request, statement_id)
    context = {"statement": row, "title": title_of(row), "proof": digests.prove(organization_of(request), row)}
    return show(request, "recharge/statement_proof.html", context)


@page(Permission.VIEW_ENTRIES)
def statement_as_file(request: HttpRequest, statement_id: UUID, ending: str) -> HttpResponseBase:
    """All of it, as a file of the format with this ending."""
    return statement_file(
        ending,
        statement=_found(request, statement_id),
        organization=organization_of(request),
        request=request,
        person=signed_in(request).user.pk,
    )


def _found(request: HttpRequest, statement_id: UUID) -> Statement:
    return queries.statement_by_id(statement_id, seller_id=seller_in_view(signed_in(request)))


def _context(request: HttpRequest, row: Statement) -> dict[str, Any]:
    first = _first_number(request, row)
    last = min(first + ENTRIES_ON_A_PAGE - 1, row.last_number)
    is_whole = (first, last) == (row.first_number, row.last_number)
    # As all its files have it: the days are meant in this zone.
    with timezone.override(ZoneInfo(row.time_zone)):
        table = statement_rows_table(queries.rows_between(row.seller_id, first, last), is_whole=is_whole)
        facts, rows = facts_of(row, organization_of(request)), str(table) if table else ""
    return {
        "statement": row,
        "title": title_of(row),
        "facts": facts,
        "totals": totals_of(row),
        "digest": bytes(row.digest).hex(),
        "rows": rows,
        "before": max(row.first_number, first - ENTRIES_ON_A_PAGE) if first > row.first_number else None,
        "after": last + 1 if last < row.last_number else None,
        "is_whole": is_whole,
        "files": [(one.label, address_of(f"statement_{ending}", row.pk)) for ending, one in FORMATS.items()],
    }


def _first_number(request: HttpRequest, row: Statement) -> int:
    """The first row to be shown, as the address has it."""
    written = request.GET.get("entry", "")
    if not written:
        return row.first_number
    if written.isascii() and written.isdigit() and len(written) < 19:
        number = int(written)
        if row.first_number <= number <= row.last_number:
            return number
    raise NotFound("There is no such entry in this statement.")
