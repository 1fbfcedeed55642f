"""Filters of lists that have to do with sellers."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from credit import queries
from credit.names import KINDS, STATES
from shared.fields import LARGEST_ID
from shared.forms import DayField, Form

SELLERS_TO_CHOOSE_FROM = 200
"""The newest; of more, a list is filtered by following the link on the seller's own page."""


class SellerFilters(Form):
    """A form of filters with the seller among them for an admin (``of_all``); a seller sees own rows anyway."""

    def __init__(self, *args: Any, of_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if of_all:
            field = forms.TypedChoiceField(
                label=_("Seller"), required=False, coerce=int, empty_value=None, choices=self._sellers()
            )
            field.widget.attrs["class"] = "form-select"
            self.fields["seller"] = field

    def _sellers(self) -> list[tuple[str, Any]]:
        sellers = queries.sellers_to_choose(self._chosen(), limit=SELLERS_TO_CHOOSE_FROM)
        return [("", _("All sellers")), *((str(seller.pk), seller.name) for seller in sellers)]

    def _chosen(self) -> int | None:
        """The seller that was chosen, who may be none of the newest."""
        written = str(self.data.get("seller", ""))
        if not (written.isascii() and written.isdigit() and len(written) <= 19 and int(written) <= LARGEST_ID):
            return None
        return int(written)

    def filters(self) -> dict[str, Any]:
        """What was chosen, as a query takes it, or nothing where something can't be read: its field says so."""
        if not self.is_valid():
            return {}
        filters = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        if "seller" in filters:
            filters["seller_id"] = filters.pop("seller")
        return filters


class EntryFilters(SellerFilters):
    kind = forms.ChoiceField(label=_("Kind"), required=False, choices=[("", _("All kinds")), *KINDS.items()])
    from_day = DayField(label=_("From day"), required=False)
    to_day = DayField(label=_("To day"), required=False)


class CreditRequestFilters(SellerFilters):
    status = forms.ChoiceField(label=_("State"), required=False, choices=[("", _("All states")), *STATES.items()])
