"""Exports of lists that are filtered by the seller, as files of each of ``FORMATS``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from shared.console.workbooks import Column, xlsx_response
from shared.identity.roles import sees_all_sellers
from tenants.exports import csv_response, pages_of, sorted_pages_of
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
        return FORMATS[ending].answer(self, request)

    def links(self) -> list[tuple[Promise, str]]:
        """What each format is called and where it is to be had, for shared/exports.html."""
        return [(one.label, address_of(f"{self.name}_{ending}")) for ending, one in FORMATS.items()]

    def csv(self, request: HttpRequest) -> HttpResponseBase:
        """With the columns of the API's."""
        form, filters = self._read(request)
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
        form, filters = self._read(request)
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
        by, own = self.order(filters.get("seller_id")), dict(filters)
        chosen = own.pop("ids", None)
        listing = listing_of(request, self.name, self.sorts)

        def rows(**after: Any) -> QuerySet[Any]:
            found = self.rows(**own).filter(**after)
            return found if chosen is None else found.filter(pk__in=chosen)

        if listing.is_by_time:
            return pages_of(organization_of(request), rows, by, descending=listing.descending)
        return sorted_pages_of(
            organization_of(request), rows, by=by, field=self.sorts[listing.by], descending=listing.descending
        )

    def _read(self, request: HttpRequest) -> tuple[SellerFilters, dict[str, Any]]:
        """The form, and what says which rows: the filters, and which were chosen (``ids``)."""
        form, filters = read_filters(request, self.form_class)
        return form, filters | {"ids": chosen_ids(request.POST)} if request.method == "POST" else filters

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
