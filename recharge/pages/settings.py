"""What an organization settles, as pages: operators and their amounts, gateways, the guard against slips."""

from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit.adjustments import PolicyChange
from credit.alerts.services import alert_settings
from credit.queries import policy
from recharge.delivery.gateways.kinds import KINDS, Kind, kind_of
from recharge.models import (
    BUILT_IN_GATEWAY,
    LONGEST_CLAIM_DAYS,
    LONGEST_CLAIM_HOURS,
    LONGEST_SEND_WITHIN,
    LONGEST_WINDOW,
    SHORTEST_SEND_WITHIN,
    Settings,
)
from recharge.operators import OPERATOR_CODE, Operator
from recharge.pages import words
from recharge.terms import queries, services
from recharge.terms.errors import OperatorExists
from recharge.terms.services import (
    GATEWAY_NAME,
    KEY_ID,
    LONGEST_TIMEOUT_MS,
    MOST_AMOUNTS,
    SHORTEST_TIMEOUT_MS,
)
from shared.console.danger import Danger, ask
from shared.console.formats import format_number
from shared.console.forms import (
    AS_WRITTEN,
    ChoiceField,
    EditForm,
    Form,
    TextField,
    TextInput,
    TomansFormField,
    WholeNumberFormField,
)
from shared.console.messages import message_for
from shared.console.preferences import zone_names
from shared.console.views import FORM, add_problem, done, not_done, page, show, signed_in, status_of_form
from shared.errors import NotFound, Problem
from shared.identity.permissions import Permission
from shared.money import LARGEST_AMOUNT
from shared.pagination import page_of_rows
from tenants.queries import requires_second_factor
from tenants.routing import organization_of

GATEWAYS_SHOWN = 25
GATEWAYS_TO_CHOOSE_FROM = 200


def _acting(request: HttpRequest) -> dict[str, Any]:
    return {"organization": organization_of(request), "by": signed_in(request).username}


class WindowForm(EditForm):
    duplicate_window = WholeNumberFormField(
        label=_("Seconds"),
        least=0,
        most=LONGEST_WINDOW,
        help_text=_(
            "From 0 (off) to 86,400 (a day). Applies to programs, too. These pages warn for ten minutes in any case."
        ),
    )


class AgeForm(EditForm):
    send_within = WholeNumberFormField(
        label=_("Seconds to send it"),
        least=SHORTEST_SEND_WITHIN,
        most=LONGEST_SEND_WITHIN,
        help_text=_("From 30 to 86,400 (a day). A quarter of an hour is usual: 900."),
    )


class ClaimsForm(EditForm):
    claim_hours = WholeNumberFormField(
        label=_("Hours to answer"), least=1, most=LONGEST_CLAIM_HOURS, help_text=_("The seller is told of this time.")
    )
    claim_days = WholeNumberFormField(label=_("Time to ask after the sale (days)"), least=1, most=LONGEST_CLAIM_DAYS)


NUMBERS_KEPT = {
    0: _("for good"),
    3: _("3 months"),
    6: _("6 months"),
    12: _("a year"),
    24: _("two years"),
    36: _("three years"),
    60: _("five years"),
}
"""What the page offers of ``Settings.numbers_kept_months``; programs may say any number of months."""


def kept_words(months: int) -> str:
    """How long numbers are kept, in words."""
    if months in NUMBERS_KEPT:
        return str(NUMBERS_KEPT[months])
    return gettext("%(months)s months") % {"months": format_number(months)}


class NumbersForm(EditForm):
    numbers_kept_months = ChoiceField(label=_("Keep phone numbers"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = sorted({*NUMBERS_KEPT, int(self.initial["numbers_kept_months"])})
        self.fields["numbers_kept_months"].choices = [(str(one), kept_words(one)) for one in offered]  # type: ignore[attr-defined]


class FourEyesForm(EditForm):
    four_eyes_from = TomansFormField(
        label=_("From this amount (Tomans)"), required=False, help_text=_("Empty: one approval is always enough.")
    )


class TimeZoneForm(EditForm):
    time_zone = ChoiceField(label=_("Time zone"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = zone_names()
        if self.initial["time_zone"] not in names:
            names = [self.initial["time_zone"], *names]
        self.fields["time_zone"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]


class OwingForm(EditForm):
    SELLS, SELLS_NOTHING = "sells", "sells nothing"

    owing = ChoiceField(
        label=_("A seller who owes"),
        choices=[(SELLS, _("sells on")), (SELLS_NOTHING, _("can't sell or transfer credit until it is paid"))],
        widget=forms.RadioSelect,
    )

    @classmethod
    def shown(cls, *, refuses_owing: bool) -> dict[str, str]:
        """What it begins with."""
        return {"owing": cls.SELLS_NOTHING if refuses_owing else cls.SELLS}


@page(Permission.VIEW_SETTINGS)
def settings(request: HttpRequest) -> HttpResponse:
    """All that is settled, each with the way to change it."""
    return _show_settings(request)


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def duplicate_window(request: HttpRequest) -> HttpResponse:
    """Changes the guard against slips."""
    form = WindowForm(request.POST or None, initial={"duplicate_window": queries.settings().duplicate_window})
    if request.method == "POST" and form.is_valid():
        services.change_settings(**_acting(request), **form.edits())
        return done(request, _("Saved. Applies from the next sale."), "settings")
    return _show_settings(request, form=form, status=status_of_form(form))


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def send_within(request: HttpRequest) -> HttpResponse:
    """Changes how old a recharge may be to be sent."""
    form = AgeForm(request.POST or None, initial={"send_within": queries.settings().send_within})
    if request.method == "POST" and form.is_valid():
        services.change_settings(**_acting(request), **form.edits())
        return done(request, _("Saved."), "settings")
    return _show_settings(request, age_form=form, status=status_of_form(form))


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def four_eyes(request: HttpRequest) -> HttpResponse:
    """Changes from which amount on two people have to approve."""
    form = FourEyesForm(request.POST or None, initial={"four_eyes_from": policy().four_eyes_from})
    if request.method == "POST" and form.is_valid():
        if edits := form.edits():
            change = PolicyChange(four_eyes_from=edits["four_eyes_from"])
            services.change_settings(**_acting(request), policy=change)
        return done(request, _("Saved."), "settings")
    return _show_settings(request, four_eyes_form=form, status=status_of_form(form))


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def claim_settings(request: HttpRequest) -> HttpResponse:
    """Changes within which time questions about recharges that were not received are answered."""
    form = ClaimsForm(request.POST or None, initial=_claims_settled(queries.settings()))
    if request.method == "POST" and form.is_valid():
        services.change_settings(**_acting(request), **form.edits())
        return done(request, _("Saved. Applies to new questions."), "settings")
    return _show_settings(request, claims_form=form, status=status_of_form(form))


def _claims_settled(settled: Settings) -> dict[str, int]:
    return {"claim_hours": settled.claim_hours, "claim_days": settled.claim_days}


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def numbers_kept(request: HttpRequest) -> HttpResponse:
    """Changes after how long phone numbers are masked; asks first, since there is no way back."""
    form = NumbersForm(
        request.POST or None, initial={"numbers_kept_months": str(queries.settings().numbers_kept_months)}
    )
    if request.method == "POST" and form.is_valid():
        if edits := form.edits():
            services.change_settings(**_acting(request), numbers_kept_months=int(edits["numbers_kept_months"]))
        return done(request, _("Saved."), "settings")
    danger = Danger(
        question=_("How long are phone numbers kept?"),
        meaning=[
            _(
                "Older recharges keep only the last four digits of their number, on all pages, in files and on "
                "receipts. Bulk-sale files, webhook messages and sending attempts of that age are deleted."
            ),
            _("Begins within the hour. Masked numbers can't be brought back. Amounts and balances stay as they are."),
        ],
        act=_("Save"),
        back=reverse("settings"),
        form=form,
    )
    return ask(request, danger)


@page(Permission.MANAGE_SETTINGS, methods=("POST",))
def receipts_by_sms(request: HttpRequest) -> HttpResponse:
    """Lets who sells send receipts by SMS, or no longer. What is sent names the state that is wanted."""
    wanted = request.POST.get("receipts_by_sms")
    if wanted in ("on", "off"):
        services.change_settings(**_acting(request), receipts_by_sms=wanted == "on")
        on, off = _("Sellers may send receipts by SMS."), _("Receipts are no longer sent by SMS.")
        return done(request, on if wanted == "on" else off, "settings")
    return redirect("settings")


@page(Permission.MANAGE_SETTINGS, methods=("POST",))
def requests_to_parent(request: HttpRequest) -> HttpResponse:
    """Has sellers who have a parent ask that one for credit, or no longer. What is sent names the state that is wanted,
    so that sent twice it does the same."""
    wanted = request.POST.get("requests_go_to_parent")
    if wanted in ("on", "off"):
        services.change_settings(**_acting(request), policy={"requests_go_to_parent": wanted == "on"})
        on, off = (
            _("Sub-sellers now ask their dealer for credit."),
            _("Sub-sellers now ask the organization for credit."),
        )
        return done(request, on if wanted == "on" else off, "settings")
    return redirect("settings")


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def time_zone(request: HttpRequest) -> HttpResponse:
    """Changes where the organization's days begin."""
    form = TimeZoneForm(request.POST or None, initial={"time_zone": policy().time_zone})
    if request.method == "POST" and form.is_valid():
        try:
            if edits := form.edits():
                services.change_settings(**_acting(request), policy=PolicyChange(time_zone=edits["time_zone"]))
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Saved. Applies from the next sale."), "settings")
    return _show_settings(request, time_zone_form=form, status=status_of_form(form))


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def owing(request: HttpRequest) -> HttpResponse:
    """Changes whether a seller who owes may sell."""
    initial = OwingForm.shown(refuses_owing=queries.settings().refuses_owing)
    form = OwingForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        if edits := form.edits():
            services.change_settings(**_acting(request), refuses_owing=edits["owing"] == OwingForm.SELLS_NOTHING)
        return done(request, _("Saved. Applies from the next sale."), "settings")
    return _show_settings(request, owing_form=form, status=status_of_form(form))


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def training(request: HttpRequest) -> HttpResponse:
    """Ends training or begins it; asked for, it says what that means. What is sent names the state that is wanted, so
    that sent twice it does the same."""
    if request.method == "POST" and request.POST.get("training") in ("on", "off"):
        trains = request.POST["training"] == "on"
        services.change_settings(**_acting(request), training=trains)
        message = (
            _("From the next sale your organization is in training.")
            if trains
            else _("Your organization now sells for real.")
        )
        return done(request, message, "settings")
    not_sold = [words.operator_name(one.operator) for one in queries.terms_of_operators() if not one.has_gateway]
    return show(request, "recharge/training.html", {"settings": queries.settings(), "not_sold": not_sold})


@page(Permission.MANAGE_SETTINGS, methods=FORM, proof=True)
def require_second_factor(request: HttpRequest) -> HttpResponse:
    """Has all members sign in with a second factor, or no longer. What is sent names the state that is wanted."""
    if request.method == "POST" and request.POST.get("required") in ("on", "off"):
        is_required = request.POST["required"] == "on"
        services.change_settings(**_acting(request), requires_second_factor=is_required)
        on, off = _("A second factor is required from now on."), _("A second factor is no longer required.")
        return done(request, on if is_required else off, "settings")
    context = {"is_required": requires_second_factor(organization_of(request).pk)}
    return show(request, "recharge/require_second_factor.html", context)


def _show_settings(
    request: HttpRequest,
    *,
    form: WindowForm | None = None,
    age_form: AgeForm | None = None,
    four_eyes_form: FourEyesForm | None = None,
    time_zone_form: TimeZoneForm | None = None,
    owing_form: OwingForm | None = None,
    claims_form: ClaimsForm | None = None,
    status: int = 200,
) -> HttpResponse:
    settled = queries.settings()
    demanded = policy()
    four_eyes_from = demanded.four_eyes_from
    context = {
        "requests_go_to_parent": demanded.requests_go_to_parent,
        "time_zone": demanded.time_zone,
        "time_zone_form": time_zone_form or TimeZoneForm(initial={"time_zone": demanded.time_zone}),
        "owing_form": owing_form or OwingForm(initial=OwingForm.shown(refuses_owing=settled.refuses_owing)),
        "settings": settled,
        "claims_form": claims_form or ClaimsForm(initial=_claims_settled(settled)),
        "numbers_kept": kept_words(settled.numbers_kept_months),
        "lacks_sms_gateway": settled.receipts_by_sms and not alert_settings().sms_url,
        "requires_second_factor": requires_second_factor(organization_of(request).pk),
        "delivers_nothing": [] if settled.training else queries.gateways_that_deliver_nothing(),
        "four_eyes_from": four_eyes_from,
        "four_eyes_form": four_eyes_form or FourEyesForm(initial={"four_eyes_from": four_eyes_from}),
        "age_form": age_form or AgeForm(initial={"send_within": settled.send_within}),
        "operators": queries.terms_of_operators(),
        "largest": LARGEST_AMOUNT,
        "page": page_of_rows(queries.gateways(), limit=GATEWAYS_SHOWN, cursor=request.GET.get("cursor") or None),
        "built_in": BUILT_IN_GATEWAY,
        "form": form or WindowForm(initial={"duplicate_window": settled.duplicate_window}),
    }
    return show(request, "recharge/settings.html", context, status=status)


# --- Gateways ---------------------------------------------------------------------------------------------------------


USUAL_KIND = "http"
"""The kind that is offered first."""


class GatewayOptionsForm(Form):
    """The settings that a gateway can have; one of a kind has those of its kind. The service checks the address."""

    url = TextField(
        label=_("Address"),
        max_length=2000,
        widget=TextInput(attrs=AS_WRITTEN | {"inputmode": "url"}),
        help_text=_("It begins with https:// and has no user, password, query or fragment in it."),
    )
    key_id = TextField(
        label=_("Key id"),
        max_length=100,
        validators=[RegexValidator(KEY_ID, _("Use letters, digits and signs of ASCII, without blanks."))],
        widget=TextInput(attrs=AS_WRITTEN),
        help_text=_("Sent with each request, so that the operator knows who signed it."),
    )
    secret = forms.CharField(
        label=_("Secret"),
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "dir": "ltr"}),
        help_text=_("Requests are signed with it. It is kept encrypted and never shown again."),
    )
    connect_timeout_ms = WholeNumberFormField(
        label=_("Time to connect (ms)"), least=SHORTEST_TIMEOUT_MS, most=LONGEST_TIMEOUT_MS, initial=3000
    )
    read_timeout_ms = WholeNumberFormField(
        label=_("Time to answer (ms)"),
        least=SHORTEST_TIMEOUT_MS,
        most=LONGEST_TIMEOUT_MS,
        initial=10_000,
        help_text=_("After this time the outcome is unknown, and the gateway is asked again later."),
    )

    def __init__(self, *args: Any, kind: Kind, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in GatewayOptionsForm.base_fields:
            if kind.has(name):
                self.fields[name].required = name in kind.needs
            else:
                del self.fields[name]


class GatewayForm(EditForm, GatewayOptionsForm):
    """The same, of a gateway that there is."""


class NewGatewayForm(GatewayOptionsForm):
    name = TextField(
        label=_("Name"),
        max_length=50,
        validators=[RegexValidator(GATEWAY_NAME, _("Use lower-case letters, digits, hyphens and underscores alone."))],
        widget=TextInput(attrs=AS_WRITTEN),
        help_text=_("It can't be changed later, since recharges refer to it. For example: mci-direct"),
    )
    field_order = ("name",)


@page(Permission.MANAGE_SETTINGS, methods=FORM, proof=True)
def new_gateway(request: HttpRequest) -> HttpResponse:
    """Sets up a gateway; what it needs goes by its kind, which the address says."""
    kind = KINDS.get(request.GET.get("kind", USUAL_KIND))
    if kind is None:
        raise NotFound("There is no such kind of gateway.")
    form = NewGatewayForm(request.POST or None, kind=kind)
    if request.method == "POST" and form.is_valid():
        try:
            services.create_gateway(**_acting(request), kind=kind.name, **form.cleaned_data)
        except Problem as problem:
            add_problem(form, problem)
        else:
            message = _("The gateway is set up. Assign it to an operator to use it.")
            return done(request, message, "settings")
    context = {"form": form, "kind": kind.name, "kinds": list(KINDS)}
    return show(request, "recharge/new_gateway.html", context, status=status_of_form(form))


@page(Permission.MANAGE_SETTINGS, methods=FORM, proof=True)
def gateway(request: HttpRequest, name: str) -> HttpResponse:
    """One gateway: what may be changed of it, and its end."""
    row = queries.gateway_by_name(name)
    context: dict[str, Any] = {"gateway": row}
    kind = kind_of(row)
    if kind is None or not (kind.needs or kind.may_have):
        return show(request, "recharge/gateway.html", context)
    initial = {name: getattr(row, name) for name in GatewayOptionsForm.base_fields if name != "secret"}
    form = GatewayForm(request.POST or None, initial=initial, kind=kind)
    if secret := form.fields.get("secret"):
        secret.required = False
        secret.help_text = str(_("Leave it empty to keep the current one, which is never shown."))
    if request.method == "POST" and form.is_valid():
        changes = form.edits()
        if secret:
            changes["secret"] = form.cleaned_data["secret"] or None
        try:
            services.change_gateway(**_acting(request), name=name, **changes)
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Saved. Within seconds it applies to recharges in progress, too."), "gateway", name)
    return show(request, "recharge/gateway.html", context | {"form": form}, status=status_of_form(form))


@page(Permission.MANAGE_SETTINGS, methods=FORM, proof=True)
def delete_gateway(request: HttpRequest, name: str) -> HttpResponse:
    """Deletes a gateway that nothing needs any longer; asked for, it asks whether that is meant."""
    if request.method != "POST":
        meaning = gettext(
            "The gateway %(name)s and its secret are deleted for good. The recharges that went through it stay."
        )
        danger = Danger(
            question=_("Delete this gateway?"),
            meaning=[meaning % {"name": queries.gateway_by_name(name).name}],
            act=_("Delete"),
            back=reverse("gateway", args=[name]),
        )
        return ask(request, danger)
    try:
        services.delete_gateway(**_acting(request), name=name)
    except NotFound:
        pass  # gone: that is what was asked for
    except Problem as problem:
        return not_done(request, problem, "gateway", name)
    return done(request, _("The gateway is deleted."), "settings")


# --- Operators --------------------------------------------------------------------------------------------------------


class AmountsField(forms.Field):
    """Amounts of Tomans, one a line, in any digits and grouping."""

    widget = forms.Textarea(attrs={"rows": 6, "dir": "ltr", "inputmode": "text", "autocomplete": "off"})

    def to_python(self, value: Any) -> list[int]:
        lines = [line for line in str(value or "")[:10_000].splitlines() if line.strip()]
        if len(lines) > MOST_AMOUNTS:
            raise forms.ValidationError(_("More than 100 amounts. Write fewer."), code="max_length")
        one = TomansFormField()
        return [one.clean(line) for line in lines]


class OperatorForm(EditForm):
    """Its name (of one that the organization has added), through which gateway, and which amounts."""

    ANY, LIST = "range", "list"
    together = ("sold", "least_amount", "most_amount", "amounts")

    name = TextField(label=_("Name"), max_length=50, help_text=_("The name your sellers see."))
    gateway = ChoiceField(label=_("Delivered through"))
    sold = ChoiceField(
        label=_("Amounts for sale"),
        choices=[(ANY, _("Range")), (LIST, _("Fixed amounts only"))],
        widget=forms.RadioSelect,
    )
    least_amount = TomansFormField(label=_("Minimum (Tomans)"), required=False)
    most_amount = TomansFormField(label=_("Maximum (Tomans)"), required=False)
    amounts = AmountsField(label=_("Fixed amounts (Tomans)"), required=False, help_text=_("One per line, at most 100."))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("sold") == self.LIST and "amounts" in cleaned and not cleaned["amounts"]:
            self.add_error("amounts", _("Write the amounts that are sold, one a line."))
        return cleaned

    def changes(self) -> dict[str, Any]:
        """What the service takes. An end of the range that is left empty is open."""
        edits = self.edits()
        changes: dict[str, Any] = {name: edits[name] for name in ("name", "gateway") if name in edits}
        if "sold" not in edits:
            return changes
        if edits["sold"] == self.LIST:
            return changes | {"amounts": edits["amounts"]}
        return changes | {
            "least_amount": edits["least_amount"] or 1,
            "most_amount": edits["most_amount"] or LARGEST_AMOUNT,
        }


class NewOperatorForm(Form):
    """One that this software doesn't know: a number never tells that it is this one's, so sales name it."""

    operator = TextField(
        label=_("Code"),
        max_length=20,
        validators=[
            RegexValidator(OPERATOR_CODE, _("Use lower-case letters, digits and underscores, a letter first."))
        ],
        widget=TextInput(attrs=AS_WRITTEN),
        help_text=_("It can't be changed later: programs and files name the operator by it. For example: shatel"),
    )
    name = TextField(label=_("Name"), max_length=50, help_text=_("The name your sellers see."))


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def new_operator(request: HttpRequest) -> HttpResponse:
    """Adds an operator of the organization's own."""
    form = NewOperatorForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            terms = services.add_operator(**_acting(request), **form.cleaned_data)
        except OperatorExists as problem:
            form.add_error("operator", message_for(problem))
        except Problem as problem:
            add_problem(form, problem)
        else:
            message = _("The operator is added. Choose its gateway, and the amounts to sell.")
            return done(request, message, "operator", terms.operator)
    return show(request, "recharge/new_operator.html", {"form": form}, status=status_of_form(form))


@page(Permission.MANAGE_SETTINGS, methods=FORM)
def operator(request: HttpRequest, operator: str) -> HttpResponse:
    """What is settled for one operator."""
    terms = queries.terms_of_operator(operator)
    names = {terms.gateway or BUILT_IN_GATEWAY, *queries.gateway_names(most=GATEWAYS_TO_CHOOSE_FROM)}
    names -= {BUILT_IN_GATEWAY}
    form = OperatorForm(request.POST or None, initial={"name": terms.name} | _initial(terms))
    if operator in Operator:
        del form.fields["name"]
    choices = [
        (BUILT_IN_GATEWAY, BUILT_IN_GATEWAY if queries.settings().training else _("No gateway: not sold")),
        *((name, name) for name in sorted(names)),
    ]
    form.fields["gateway"].choices = choices  # type: ignore[attr-defined]
    if request.method == "POST" and form.is_valid():
        try:
            services.change_operator(**_acting(request), operator=operator, **form.changes())
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Saved. Applies from the next sale."), "settings")
    return show(request, "recharge/operator.html", {"form": form, "terms": terms}, status=status_of_form(form))


def _initial(terms: queries.OperatorTerms) -> dict[str, Any]:
    if terms.amounts:
        written = "\n".join(format_number(amount) for amount in terms.amounts)
        return {"gateway": terms.gateway or BUILT_IN_GATEWAY, "sold": OperatorForm.LIST, "amounts": written}
    return {
        "gateway": terms.gateway or BUILT_IN_GATEWAY,
        "sold": OperatorForm.ANY,
        "least_amount": format_number(terms.least_amount) if terms.least_amount > 1 else "",
        "most_amount": format_number(terms.most_amount) if terms.most_amount < LARGEST_AMOUNT else "",
    }
