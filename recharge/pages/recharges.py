"""Recharges that were sold, as pages: the list with filters and exports, and one recharge with all there is of it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from credit.errors import BalanceLimitExceeded
from credit.pages.exports import Exports
from credit.pages.filters import SellerFilters, read_filters
from credit.pages.tables import entries_of_recharge_table
from recharge.claims.queries import claims_of, refunded_twice
from recharge.delivery import settlement
from recharge.models import LAST_DIGITS, Claim, Recharge
from recharge.pages import words
from recharge.pages.tables import RECHARGES_SHEET, recharges_table
from recharge.selling import queries
from recharge.selling.errors import RechargeChanged
from recharge.selling.queries import ANY_LATE, RECHARGE_COLUMNS
from shared.console.danger import Danger, ask
from shared.console.forms import AS_WRITTEN, ChoiceField, DaysForm, Form, PhoneNumberFormField, TextField, TextInput
from shared.console.lists import SIZES, chosen_columns, listing_of, remember
from shared.console.views import FORM, add_problem, done, is_fragment, not_done, page, show, signed_in
from shared.errors import NotFound, Problem
from shared.idempotency import LONGEST_KEY, is_idempotency_key
from shared.identity.permissions import Permission
from shared.identity.queries import name_of_actor
from shared.identity.roles import may, sees_all_sellers, seller_in_view
from shared.phones import part_of_number
from tenants.routing import organization_of

ROWS = SIZES[0]
SORTS = {"amount": "amount"}
"""What the list can be sorted by besides the time, and the field."""

_ANY: list[tuple[str, Any]] = [("", _("Any"))]


class KeyFilter(TextField):
    """An idempotency key, to the letter."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Idempotency key"),
            required=False,
            max_length=LONGEST_KEY,
            strip=False,
            widget=TextInput(attrs=AS_WRITTEN),
        )

    def clean(self, value: Any) -> str:
        key: str = super().clean(value)
        if key and not is_idempotency_key(key):
            raise forms.ValidationError(
                _("Use Latin letters, digits and signs only, without a space at the beginning or the end.")
            )
        return key


class NumberFilter(PhoneNumberFormField):
    """A number, as E.164; or the last digits of one, as they are."""

    def to_python(self, value: Any) -> str | None:
        part = part_of_number(str(value)) if value not in self.empty_values else None
        if part is None:
            return super().to_python(value)
        if not part.is_whole and len(part.digits) < LAST_DIGITS:
            raise forms.ValidationError(_("Write the whole number, or at least its last four digits."), code="short")
        return part.beginning if part.is_whole else part.digits


class RechargeFilters(SellerFilters, DaysForm):
    """The filters of the list and of its exports."""

    FOR_ALL_SELLERS = ("seller", "idempotency_key")

    status = ChoiceField(label=_("State"), required=False, choices=[*_ANY, *words.STATUSES.items()])
    operator = ChoiceField(label=_("Operator"), required=False)
    phone_number = NumberFilter(label=_("Number or last digits"), required=False)
    late = ChoiceField(
        label=_("Late result"),
        required=False,
        choices=[("", _("Any")), (ANY_LATE, _("Any late result")), *words.LATE.items()],
    )
    idempotency_key = KeyFilter()
    field_order = ("status", "operator", "phone_number", "late", "from_day", "to_day", "seller", "idempotency_key")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [*_ANY, *words.operators_to_choose_from()]
        self.fields["operator"].choices = choices  # type: ignore[attr-defined]

    def filters(self) -> dict[str, Any]:
        filters = super().filters()
        if not filters.get("phone_number", "+").startswith("+"):
            filters["ending"] = filters.pop("phone_number")
        return filters

    @property
    def cache_key(self) -> str:
        """With the operators, which are not the same for every organization."""
        usual = super().cache_key
        return usual and f"{usual} {self.fields['operator'].choices}"  # type: ignore[attr-defined]


@page(Permission.VIEW_RECHARGES)
def recharges(request: HttpRequest) -> HttpResponse:
    """All recharges; a seller's own history."""
    form, filters = read_filters(request, RechargeFilters)
    listing = listing_of(request, "recharges", SORTS)
    rows, sees_all = queries.recharges(**filters), sees_all_sellers(signed_in(request))
    rows = rows.none() if form.errors else rows  # all rows would be taken for those that were asked for
    shown = listing.page(rows.select_related("seller") if sees_all else rows)
    table = recharges_table(shown.rows, sees_all=sees_all, listing=listing)
    if chosen := chosen_columns(listing, table):
        return chosen
    context = {
        "form": form,
        "page": shown,
        "table": table.added_up(rows, page=shown),
        "listing": listing,
        "exports": _EXPORTS.links(),
    }
    return remember(listing, show(request, "recharge/recharges.html", context))


_EXPORTS = Exports(
    name="recharges",
    form_class=RechargeFilters,
    rows=lambda **filters: queries.recharges(**filters).annotate(seller_name=F("seller__name")),
    columns=RECHARGE_COLUMNS,
    sheet=_("Recharges"),
    sheet_columns=RECHARGES_SHEET,
    sorts=SORTS,
)


@page(Permission.VIEW_RECHARGES, methods=FORM)
def recharges_file(request: HttpRequest, ending: str) -> HttpResponseBase:
    """The same rows as a file of one of FORMATS, or those that were chosen."""
    return _EXPORTS.file(request, ending)


# --- One recharge -----------------------------------------------------------------------------------------------------

_YOUNG = timedelta(minutes=2)


class ResolutionForm(Form):
    """Why an admin settles a recharge by hand, and what was known of it when the form was shown."""

    status = ChoiceField(
        choices=[(Recharge.Status.SUCCEEDED.value, ""), (Recharge.Status.FAILED.value, "")], widget=forms.HiddenInput
    )
    seen = TextField(max_length=50, required=False, widget=forms.HiddenInput)
    reason = TextField(
        label=_("Reason"),
        max_length=200,
        widget=TextInput(attrs={"autocomplete": "off"}),
        help_text=_("What the operator said, and who said it. For a failure, the seller sees it."),
    )


@page(Permission.VIEW_RECHARGES)
def recharge(request: HttpRequest, recharge_id: UUID) -> HttpResponse:
    """All fields of one recharge, its entries and (for who may see it) what was done to get it delivered.

    Until it has ended, the page asks for this part of itself again and again: 204 while nothing has changed, so that
    nothing moves under the reader's eyes.
    """
    account = signed_in(request)
    row = queries.recharge_by_id(recharge_id, seller_id=seller_in_view(account))
    attempts = queries.attempts_of(row.pk) if may(account, Permission.VIEW_DELIVERY) else []
    version = _version(row) + (f".{len(attempts)}.{attempts[-1].outcome}" if attempts else "")
    if is_fragment(request) and request.GET.get("seen") == version:
        return HttpResponse(status=204)
    is_open = row.status in (Recharge.Status.PENDING, Recharge.Status.UNKNOWN)
    context: dict[str, Any] = {
        "recharge": row,
        "sold_by": name_of_actor(organization_id=organization_of(request).pk, user_id=row.user_id, key_id=row.key_id),
        "attempts": attempts,
        "entries": entries_of_recharge_table(queries.entries_of_recharge(row.pk)),
        "version": version,
        "has_changed": is_fragment(request),
        # What stays open for long is not asked about every two seconds for hours.
        "seconds": (2 if timezone.now() - row.created_at < _YOUNG else 15) if is_open else None,
    }
    if is_fragment(request):
        return show(request, "recharge/recharge_now.html", context)
    if sees_all_sellers(account):
        context["seller"] = queries.seller_of(row)
        context["twice"] = refunded_twice(row)
    if may(account, Permission.VIEW_CLAIMS):
        context["claims"] = claims = claims_of(row.pk)
        context["open_claim"] = next((one for one in claims if one.state == Claim.State.OPEN), None)
    if may(account, Permission.RESOLVE_RECHARGES):
        context["resolutions"] = words.resolutions_of(row)
    return show(request, "recharge/recharge.html", context)


def _version(row: Recharge) -> str:
    return f"{row.status}.{row.late}"


@page(Permission.RESOLVE_RECHARGES, methods=FORM)
def resolve(request: HttpRequest, recharge_id: UUID) -> HttpResponse:
    """Settles a recharge by hand, after it was said what that means for the money."""
    row = queries.recharge_by_id(recharge_id, seller_id=None)
    status = request.POST.get("status") or request.GET.get("status")
    resolution = next((one for one in words.resolutions_of(row) if one.status == status), None)
    if request.method != "POST":
        if resolution is None:
            raise NotFound("There is nothing to be resolved so.")
        form = ResolutionForm(initial={"status": status, "seen": _version(row)})
        return _ask_to_resolve(request, row, resolution, form)
    form = ResolutionForm(request.POST)
    if not form.is_valid():
        if resolution is None:
            return redirect("recharge", recharge_id)
        return _ask_to_resolve(request, row, resolution, form)
    status = Recharge.Status(form.cleaned_data["status"])
    seen_status, _dot, seen_late = form.cleaned_data["seen"].partition(".")
    try:
        settled = settlement.resolve_recharge(
            organization=organization_of(request),
            recharge_id=recharge_id,
            status=status,
            reason=form.cleaned_data["reason"],
            by=signed_in(request).username,
            expected=(seen_status, seen_late),
            access=signed_in(request).access,
        )
    except RechargeChanged as problem:
        return not_done(request, problem, "recharge", recharge_id)
    except Problem as problem:
        if resolution is None:
            return not_done(request, problem, "recharge", recharge_id)
        if isinstance(problem, BalanceLimitExceeded):
            form.add_error(
                None, _("The balance would be above the largest possible one; nothing was done. Try again later.")
            )
        else:
            add_problem(form, problem)
        return _ask_to_resolve(request, row, resolution, form)
    return done(request, words.SETTLEMENTS[settled.settlement], "recharge", recharge_id)


def _ask_to_resolve(
    request: HttpRequest, row: Recharge, resolution: words.Resolution, form: ResolutionForm
) -> HttpResponse:
    meaning = [resolution.meaning]
    if resolution.status == Recharge.Status.FAILED and any(one.adjustment_id for one in claims_of(row.pk)):
        meaning.append(_("An adjustment has already refunded this amount: the seller would get it twice."))
    danger = Danger(
        question=resolution.label,
        meaning=meaning,
        act=resolution.label,
        back=reverse("recharge", args=[row.pk]),
        details="recharge/resolve_details.html",
        form=form,
        looks=resolution.looks,
    )
    return ask(request, danger, {"recharge": row})
