"""Downloads of rows as files of each of ``FORMATS``, and the exports of lists that are filtered by the seller."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credit.pages.filters import SellerFilters, read_filters
from shared.console.links import address_of
from shared.console.lists import NOTHING_CHOSEN, chosen_ids, listing_of
from shared.console.views import signed_in
from shared.console.workbooks import Column, Row, xlsx_response
from shared.identity.roles import sees_all_sellers
from tenants.csv_lines import Lines
from tenants.exports import cells_of, csv_response, lines_of, sorted_cells_of, sorted_lines_of
from tenants.routing import organization_of

_SELLERS = (Column("seller_id", _("Seller's number"), 14), Column("seller_name", _("Seller"), 28))


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """Rows that somebody has asked for, which each format writes in its way."""

    name: str
    """The file's, without its ending."""
    request: HttpRequest
    filters: Mapping[str, Any]
    """Which rows these are, for the audit table."""
    for_sheet: Iterator[Iterable[Row]]
    for_csv: Iterator[Lines | Iterable[Mapping[str, Any]]]
    """The same rows. Of the two, one is read."""
    columns: Sequence[str]
    """For programs: the keys of the rows."""
    sheet: Promise
    """What people call the rows."""
    sheet_columns: Sequence[Column]
    """For people."""


def _xlsx(download: Download) -> HttpResponseBase:
    return xlsx_response(
        filename=f"{download.name}.xlsx",
        sheet=download.sheet,
        columns=download.sheet_columns,
        pages=download.for_sheet,
        request=download.request,
        person=signed_in(download.request).user.pk,
        filters=download.filters,
    )


def _csv(download: Download) -> HttpResponseBase:
    return csv_response(
        filename=f"{download.name}.csv",
        columns=download.columns,
        pages=download.for_csv,
        request=download.request,
        person=signed_in(download.request).user.pk,
        filters=download.filters,
        is_for_people=True,
    )


@dataclass(frozen=True, slots=True)
class Format:
    """One format: what its link says below a list, and below what became of a bulk sale; and what answers."""

    label: Promise
    label_of_results: Promise
    answer: Callable[[Download], HttpResponseBase]


FORMATS = {
    "xlsx": Format(_("Export as Excel"), _("Results as Excel"), _xlsx),
    "csv": Format(_("Export as CSV"), _("Results as CSV"), _csv),
}
"""By the ending of the file's name and of its address, in the order of the links."""


@dataclass(frozen=True, slots=True)
class Exports:
    """All rows of a list, with the filters of its page. Where a filter can't be read, back to the page: it says so."""

    name: str
    """The page's name among the URLs, and the file's."""
    form_class: type[SellerFilters]
    rows: Callable[..., QuerySet[Any]]
    """Takes the filters; each row has its seller's name as ``seller_name``."""
    columns: Sequence[str]
    """Of the CSV file, as the API has them."""
    sheet: Promise
    sheet_columns: Sequence[Column]
    """The columns of the workbook. Somebody who sees all sellers gets the seller's columns before them."""
    order: Callable[[int | None], str] = lambda seller_id: "pk"
    """What the rows of this seller (None: of all) are ordered by."""
    sorts: Mapping[str, str] = field(default_factory=dict)
    """What the list can be sorted by besides the time, and the fields."""

    def __post_init__(self) -> None:
        in_sheet = {"seller_id", *(column.name for column in self.sheet_columns)}
        assert in_sheet == set(self.columns), "the workbook has other columns than the CSV file"

    def file(self, request: HttpRequest, ending: str) -> HttpResponseBase:
        """A file of the format with this ending: of the filters, in the order of the list; of those that were chosen,
        where a form of the list was sent.

        Raises:
            InvalidRequest: the list can't be sorted so; or what was chosen are no rows, or too many.
        """
        if request.method == "POST" and not request.POST.getlist("ids"):
            messages.error(request, str(NOTHING_CHOSEN))
            return redirect(self.name)
        form, filters = self._read(request)
        if form.errors:
            return redirect(reverse(self.name) + form.query)
        sheet_columns = [*(_SELLERS if sees_all_sellers(signed_in(request)) else ()), *self.sheet_columns]
        cells, lines = self._pages(request, filters, [column.name for column in sheet_columns])
        download = Download(
            name=self.name,
            request=request,
            filters=filters,
            for_sheet=cells,
            for_csv=lines,
            columns=self.columns,
            sheet=self.sheet,
            sheet_columns=sheet_columns,
        )
        return FORMATS[ending].answer(download)

    def links(self) -> list[tuple[Promise, str]]:
        """What each format is called and where it is to be had, for shared/exports.html."""
        return [(one.label, address_of(f"{self.name}_{ending}")) for ending, one in FORMATS.items()]

    def _pages(
        self, request: HttpRequest, filters: Mapping[str, Any], in_sheet: Sequence[str]
    ) -> tuple[Iterator[list[list[Any]]], Iterator[Lines]]:
        """The rows in the order of the list, for each of the two kinds of formats. Neither is read yet."""
        by, own = self.order(filters.get("seller_id")), dict(filters)
        chosen = own.pop("ids", None)
        listing, organization = listing_of(request, self.name, self.sorts), organization_of(request)

        def rows(**after: Any) -> QuerySet[Any]:
            found = self.rows(**own).filter(**after)
            return found if chosen is None else found.filter(pk__in=chosen)

        if listing.is_by_time:
            return (
                cells_of(organization, rows, in_sheet, by, descending=listing.descending),
                lines_of(organization, rows, self.columns, by, descending=listing.descending),
            )
        field = self.sorts[listing.by]
        return (
            sorted_cells_of(organization, rows, in_sheet, by=by, field=field, descending=listing.descending),
            sorted_lines_of(organization, rows, self.columns, by=by, field=field, descending=listing.descending),
        )

    def _read(self, request: HttpRequest) -> tuple[SellerFilters, dict[str, Any]]:
        """The form, and what says which rows: the filters, and which were chosen (``ids``)."""
        form, filters = read_filters(request, self.form_class)
        return form, filters | {"ids": chosen_ids(request.POST)} if request.method == "POST" else filters
