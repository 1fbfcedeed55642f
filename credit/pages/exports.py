"""Exports of lists that are filtered by the seller, as files of each of ``FORMATS``."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credit.pages.filters import SellerFilters, read_filters
from shared.console.links import address_of
from shared.console.views import signed_in
from shared.console.workbooks import Column, xlsx_response
from shared.identity.roles import sees_all_sellers
from tenants.exports import csv_response, pages_of
from tenants.routing import organization_of

_SELLERS = (Column("seller_id", _("Seller's number"), 14), Column("seller_name", _("Seller"), 28))


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

    def __post_init__(self) -> None:
        in_sheet = {"seller_id", *(column.name for column in self.sheet_columns)}
        assert in_sheet == set(self.columns), "the workbook has other columns than the CSV file"

    def file(self, request: HttpRequest, ending: str) -> HttpResponseBase:
        """A file of the format with this ending."""
        return FORMATS[ending].answer(self, request)

    def links(self) -> list[tuple[Promise, str]]:
        """What each format is called and where it is to be had, for shared/exports.html."""
        return [(one.label, address_of(f"{self.name}_{ending}")) for ending, one in FORMATS.items()]

    def csv(self, request: HttpRequest) -> HttpResponseBase:
        """With the columns of the API's."""
        form, filters = read_filters(request, self.form_class)
        if form.errors:
            return self._back(form)
        return csv_response(
            filename=f"{self.name}.csv",
            columns=self.columns,
            pages=self._pages(request, filters),
            request=request,
            person=signed_in(request).user.pk,
            filters=filters,
            is_for_people=True,
        )

    def xlsx(self, request: HttpRequest) -> HttpResponseBase:
        """For people, in words."""
        form, filters = read_filters(request, self.form_class)
        if form.errors:
            return self._back(form)
        return xlsx_response(
            filename=f"{self.name}.xlsx",
            sheet=self.sheet,
            columns=[*(_SELLERS if sees_all_sellers(signed_in(request)) else ()), *self.sheet_columns],
            pages=self._pages(request, filters),
            request=request,
            person=signed_in(request).user.pk,
            filters=filters,
        )

    def _pages(self, request: HttpRequest, filters: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
        return pages_of(
            organization_of(request),
            lambda **after: self.rows(**filters).filter(**after),
            self.order(filters.get("seller_id")),
        )

    def _back(self, form: SellerFilters) -> HttpResponseBase:
        return redirect(reverse(self.name) + form.query)


@dataclass(frozen=True, slots=True)
class Format:
    """One format of the exports: the link's label, and what answers."""

    label: Promise
    answer: Callable[[Exports, HttpRequest], HttpResponseBase]


FORMATS = {
    "xlsx": Format(_("Export as Excel"), Exports.xlsx),
    "csv": Format(_("Export as CSV"), Exports.csv),
}
"""By the ending of the file's name and of its address, in the order of the links."""
