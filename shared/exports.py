"""CSV exports: streamed a page at a time, so that ten million rows take no more memory than ten."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import structlog
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django_tenants.utils import tenant_context
from rest_framework.renderers import BaseRenderer

ROWS_AT_A_TIME = 2000

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?[0-9]+")

_log = structlog.get_logger("recharge.exports")


class CSVRenderer(BaseRenderer):
    """Lets a client ask for ``text/csv``; the response streams by itself and is never rendered by this."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        raise NotImplementedError


def neutralize_formula(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, "CSV Injection").

    A sign and digits alone are a number to it and no formula, so amounts and phone numbers stay as they are.
    """
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value


def pages_of(organization: Any, rows: Callable[..., QuerySet[Any]]) -> Iterator[list[dict[str, Any]]]:
    """All rows, newest first, as pages of dicts. ``rows(**conditions)`` gives the rows that meet further conditions.

    Each page is a query of its own in the organization's schema: by the time it is read the request's middleware is
    long done, between two pages the connection belongs to whoever is next on this thread, and no transaction stays
    open for as long as a slow client takes.
    """
    after: dict[str, Any] = {}
    while True:
        with tenant_context(organization):
            page = list(rows(**after).order_by("-pk").values()[:ROWS_AT_A_TIME])
        yield page
        if len(page) < ROWS_AT_A_TIME:
            return
        after = {"pk__lt": page[-1]["id"]}


def csv_response(
    *, filename: str, columns: Sequence[str], pages: Iterator[Iterable[Mapping[str, Any]]], request_id: str
) -> StreamingHttpResponse:
    """A download of all rows of all pages, a line each, below a line of the columns' names.

    The first page is read before anything is sent, so that what fails at once is a problem document. What fails later
    ends the file with a line that says so: the server closes a stream that broke off as if it were whole.
    """
    first = next(pages)

    def lines() -> Iterator[str]:
        writer = csv.writer(_Echo())
        yield writer.writerow(columns)
        try:
            for page in chain([first], pages):
                yield "".join(writer.writerow([_cell(row[name]) for name in columns]) for row in page)
        except Exception:  # noqa: BLE001 - whatever it is, the file must not look complete
            # The request's log line has been written, and what bound its id to the log is gone.
            _log.exception("export_broken_off", request_id=request_id, filename=filename)
            yield writer.writerow([f"This export broke off here: rows are missing. Request id: {request_id}"])

    return StreamingHttpResponse(
        lines(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return neutralize_formula(value)


class _Echo:
    """A file for csv.writer whose write hands the line back, so that writerow returns it."""

    def write(self, line: str) -> str:
        return line
