"""Answers with a statement as a file, in each of ``FORMATS``. All rows are in it, read a page at a time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language, get_language_bidi, get_language_from_request, gettext, override
from django.utils.translation import gettext_lazy as _

from recharge.models import Statement
from recharge.papers.printing import print_pdf
from recharge.papers.words import COLUMNS, facts_of, kind_name, title_of, totals_of
from recharge.statements.queries import Row, row_pages
from recharge.statements.services import MOST_ENTRIES
from shared.admission import Admission
from shared.audit import record_export
from shared.console.formats import format_day, is_persian
from shared.console.preferences import zone_of
from shared.console.workbooks import Column, Sheet, xlsx_response
from shared.identity.realm import realm_of
from tenants.exports import csv_response
from tenants.models import Organization

CSV_COLUMNS = (
    "number",
    "created_at",
    "kind",
    "phone_number",
    "debit",
    "credit",
    "commission",
    "balance_after",
    "reference",
)

_papers = Admission(of_group=2, of_one=1)
"""PDFs that a process has under way, as with workbooks. (All together: the threads that saas/gate.py has for them.)"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A file that somebody wants."""

    statement: Statement
    organization: Organization
    request: HttpRequest
    person: int | None
    """The id of the user who asks."""

    def filename(self, ending: str) -> str:
        of = self.statement
        return f"statement-{of.seller_id}-{of.first_day}-{of.last_day}.{ending}"

    @property
    def which(self) -> dict[str, Any]:
        """For the audit table."""
        return {"seller_id": self.statement.seller_id, "statement": str(self.statement.pk)}

    def pages(self) -> Iterator[list[Row]]:
        return row_pages(self.organization, self.statement)


def statement_file(
    ending: str, *, statement: Statement, organization: Organization, request: HttpRequest, person: int | None
) -> HttpResponseBase:
    """A download of a statement in the format with this ending, in the language and (CSV) the time zone of now.

    Raises:
        Unavailable: this process writes as many files for this person or the organization as it may, or a large PDF.
    """
    return FORMATS[ending].answer(Asked(statement, organization, request, person))


def statement_file_in(language: str | None, ending: str, *, statement: Statement, **asked: Any) -> HttpResponseBase:
    """The same in this language (None: the one that the request asks for), and in the statement's time zone."""
    with (
        override(language or get_language_from_request(asked["request"])),
        timezone.override(zone_of(statement.time_zone)),
    ):
        return statement_file(ending, statement=statement, **asked)


# --- CSV --------------------------------------------------------------------------------------------------------------


def _csv(asked: Asked) -> HttpResponseBase:
    zone = timezone.get_current_timezone()  # it is written after the request

    def cells() -> Iterator[list[Mapping[str, Any]]]:
        for page in asked.pages():
            yield [
                {name: getattr(row, name) for name in CSV_COLUMNS} | {"created_at": row.created_at.astimezone(zone)}
                for row in page
            ]

    return csv_response(
        filename=asked.filename("csv"),
        columns=CSV_COLUMNS,
        pages=cells(),
        request=asked.request,
        person=asked.person,
        filters=asked.which,
        is_for_people=True,
    )


# --- XLSX -------------------------------------------------------------------------------------------------------------

_SHEET = (
    Column("number", COLUMNS[0], 10),
    Column("day", _("Day"), 12),
    Column("created_at", COLUMNS[1], 20),
    Column("kind", COLUMNS[2], 18, kind_name),
    Column("phone_number", COLUMNS[3], 16),
    Column("debit", COLUMNS[4], 18),
    Column("credit", COLUMNS[5], 18),
    Column("commission", COLUMNS[6], 16),
    Column("balance_after", COLUMNS[7], 20),
    Column("reference", COLUMNS[8], 38),
)


def _xlsx(asked: Asked) -> HttpResponseBase:
    statement = asked.statement

    def rows() -> Iterator[list[Mapping[str, Any]]]:
        for page in asked.pages():
            yield [_cells(row) for row in page]

    summary: list[tuple[str, Any]] = [
        *facts_of(statement, asked.organization),
        (gettext("Opening balance"), statement.opening_balance),
        *((one.label, one.credit - one.debit) for one in totals_of(statement)[:-1]),
        (gettext("Commission"), totals_of(statement)[-1].commission),
        (gettext("Closing balance"), statement.closing_balance),
        ("SHA-256", bytes(statement.digest).hex()),
    ]
    return xlsx_response(
        filename=asked.filename("xlsx"),
        sheet=_("Statement"),
        columns=_SHEET,
        pages=rows(),
        request=asked.request,
        person=asked.person,
        filters=asked.which,
        most=MOST_ENTRIES,
        more=Sheet(gettext("Summary"), summary),
    )


def _cells(row: Row) -> Mapping[str, Any]:
    return {
        "number": row.number,
        "day": format_day(timezone.localtime(row.created_at).date()),
        "created_at": row.created_at,
        "kind": row.kind,
        "phone_number": row.phone_number or None,
        "debit": row.debit or None,
        "credit": row.credit or None,
        "commission": row.commission or None,
        "balance_after": row.balance_after,
        "reference": str(row.reference),
    }


# --- PDF --------------------------------------------------------------------------------------------------------------


def _pdf(asked: Asked) -> HttpResponseBase:
    admitted = realm_of(asked.request).slug, asked.person
    _papers.enter(*admitted)
    try:
        file = print_pdf(_heading(asked), asked.pages())
        record_export(asked.filename("pdf"), asked.which)
    finally:
        _papers.leave(*admitted)
    return FileResponse(file, as_attachment=True, filename=asked.filename("pdf"), content_type="application/pdf")


def _heading(asked: Asked) -> dict[str, Any]:
    statement = asked.statement
    totals = totals_of(statement)
    return {
        "language": get_language(),
        "is_rtl": get_language_bidi(),
        "is_persian": is_persian(),
        "time_zone": statement.time_zone,
        "title": title_of(statement),
        "organization": asked.organization.name,
        "facts": facts_of(statement, asked.organization),
        "columns": [str(title) for title in COLUMNS],
        "kinds": {one.kind: one.label for one in totals if one.kind},
        "entries": statement.entries,
        "opening": gettext("Opening balance"),
        "opening_balance": statement.opening_balance,
        "totals": [[one.label, _figures(one.debit, one.credit, one.commission)] for one in totals],
        "closing": gettext("Closing balance"),
        "closing_balance": statement.closing_balance,
        "digest": bytes(statement.digest).hex(),
        "page": gettext("Page %(page)s of %(pages)s"),
    }


def _figures(*values: int) -> dict[str, int]:
    """By the number of their columns (debit, credit, commission); without those that are 0."""
    return {str(column): value for column, value in enumerate(values, start=4) if value}


@dataclass(frozen=True, slots=True)
class Format:
    """One format: the link's label, and what answers."""

    label: Promise
    answer: Callable[[Asked], HttpResponseBase]


FORMATS: Mapping[str, Format] = {
    "pdf": Format(_("PDF file"), _pdf),
    "xlsx": Format(_("Excel"), _xlsx),
    "csv": Format(_("CSV file"), _csv),
}
"""By the ending of the file's name and of its address, in the order of the links."""
