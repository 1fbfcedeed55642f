"""Filters of lists that have to do with sellers."""

from typing import Any, TypeVar

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from credit import queries
from credit.models import Seller
from credit.pages.words import KINDS, STATES
from shared.console.formats import format_list
from shared.console.forms import ChoiceField, DaysForm, FilterForm, SearchField
from shared.console.views import signed_in
from shared.identity.roles import seller_in_view


class SellerField(SearchField):
    """A seller by id, or by a part of the name that no other's has."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Seller (name or id)"))
        super().__init__(max_length=200, **kwargs)

    def clean(self, value: Any) -> Seller | None:
        written = super().clean(value)
        if not written:
            return None
        found = queries.sellers_like(written)
        if not found:
            raise forms.ValidationError(_("There is no such seller. Write a part of the name, or the id."))
        if len(found) > 1:
            names = format_list(f"{seller.name} ({seller.pk})" for seller in found)
            raise forms.ValidationError(
                _("Several sellers have this name: %(names)s. Write the id of one."), params={"names": names}
            )
        return found[0]


class SellerFilters(FilterForm):
    """Filters with the seller among them for who sees all sellers (``sees_all``); a seller sees own rows anyway."""

    FOR_ALL_SELLERS: tuple[str, ...] = ("seller",)
    """The fields that a seller has no use for."""

    seller = SellerField(required=False)

    def __init__(self, *args: Any, sees_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not sees_all:
            for name in self.FOR_ALL_SELLERS:
                del self.fields[name]

    @property
    def cache_key(self) -> str:
        """By the class: so its fields and choices must be the same for every organization."""
        kind = type(self)
        return "" if self.query or self.errors else f"{kind.__module__}.{kind.__name__} {' '.join(self.fields)}"

    def filters(self) -> dict[str, Any]:
        filters = super().filters()
        if "seller" in filters:
            filters["seller_id"] = filters.pop("seller").pk
        return filters


T = TypeVar("T", bound=SellerFilters)


def read_filters(request: HttpRequest, form_class: type[T]) -> tuple[T, dict[str, Any]]:
    """The form, and what a query takes. A seller gets the own rows alone, whatever the address says."""
    own = seller_in_view(signed_in(request))
    form = form_class(request.GET, sees_all=own is None)
    filters = form.filters()
    return form, filters if own is None else filters | {"seller_id": own}


class EntryFilters(SellerFilters, DaysForm):
    kind = ChoiceField(label=_("Kind"), required=False, choices=[("", _("Any")), *KINDS.items()])
    field_order = ("kind", "from_day", "to_day")


class CreditRequestFilters(SellerFilters, DaysForm):
    status = ChoiceField(label=_("State"), required=False, choices=[("", _("Any")), *STATES.items()])
    field_order = ("status", "from_day", "to_day")
