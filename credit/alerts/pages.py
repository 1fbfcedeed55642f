"""Alerts, as pages: a seller's own, with the threshold; for who sees all sellers the organization's, and channels."""

import re
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from credit import queries
from credit.alerts import services
from credit.alerts.errors import NoChannel
from credit.alerts.settings import LIMITS
from credit.alerts.templates import FORM as FORM_TYPE
from credit.alerts.templates import JSON
from credit.alerts.words import KINDS, TEST, said
from credit.services import update_seller
from shared.console.forms import (
    AS_WRITTEN,
    ChoiceField,
    EditForm,
    PhoneNumberFormField,
    TextField,
    TextInput,
    TomansFormField,
    WholeNumberFormField,
)
from shared.console.views import (
    FORM,
    add_problem,
    done,
    not_done,
    own_seller,
    page,
    show,
    signed_in,
    status_of_form,
)
from shared.errors import Problem
from shared.identity.permissions import Permission
from shared.identity.roles import seller_in_view
from shared.pagination import page_of_rows
from shared.phones import InvalidPhoneNumber, national, normalize_phone_number
from tenants.routing import organization_of

ON_A_PAGE = 25
MESSAGES_SHOWN = 10


@page(Permission.VIEW_ALERTS)
def alerts(request: HttpRequest) -> HttpResponse:
    """All of them, newest first; above them, of a seller, the threshold."""
    seller_id = seller_in_view(signed_in(request))
    found = page_of_rows(services.alerts(seller_id=seller_id), limit=ON_A_PAGE, cursor=request.GET.get("cursor"))
    context: dict[str, Any] = {
        "page": found,
        "alerts": [(alert, KINDS.get(alert.kind, alert.kind), said(alert.kind, alert.data)) for alert in found.rows],
        "threshold": services.threshold_of(seller_id) if seller_id is not None else None,
    }
    return show(request, "credit/alerts.html", context)


@page(Permission.MANAGE_ALERTS, methods=("POST",))
def read(request: HttpRequest, alert_id: UUID) -> HttpResponse:
    """Marks an alert as read: no page shows it as a line any more."""
    account = signed_in(request)
    services.read_alert(alert_id=alert_id, seller_id=seller_in_view(account), by=account.username)
    return done(request, _("From now on it is shown only here."), "alerts")


# --- A seller's threshold ---------------------------------------------------------------------------------------------


class SellerThresholdForm(EditForm):
    alert_below = TomansFormField(
        label=_("Alert below (Tomans)"),
        required=False,
        help_text=_("The seller is alerted once each time the balance falls below it. Empty: never."),
    )


class ThresholdForm(SellerThresholdForm):
    by_mail = forms.BooleanField(label=_("Also by email, to the address of this account"), required=False)
    phone_number = PhoneNumberFormField(
        label=_("Mobile number for SMS"),
        required=False,
        help_text=_("Sent if your organization has an SMS gateway."),
    )

    def clean_phone_number(self) -> str:
        return self.cleaned_data["phone_number"] or ""


@page(Permission.MANAGE_OWN_THRESHOLD, methods=FORM)
def threshold(request: HttpRequest) -> HttpResponse:
    """Changes below which balance a seller is told, and how."""
    seller_id = own_seller(request)
    now = services.threshold_of(seller_id)
    initial = {"alert_below": now.alert_below, "by_mail": now.by_mail, "phone_number": now.phone_number}
    form = ThresholdForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            if edits := form.edits():
                given = {"alert_below": now.alert_below} | edits
                services.change_threshold(organization=organization_of(request), seller_id=seller_id, **given)
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Saved."), "alerts")
    return show(request, "credit/threshold.html", {"form": form}, status=status_of_form(form))


@page(Permission.MANAGE_SELLERS, methods=FORM)
def seller_threshold(request: HttpRequest, seller_id: int) -> HttpResponse:
    """The same for a seller, by an admin."""
    seller = queries.seller_by_id(seller_id)
    form = SellerThresholdForm(
        request.POST or None, initial={"alert_below": services.threshold_of(seller_id).alert_below}
    )
    if request.method == "POST" and form.is_valid():
        try:
            if edits := form.edits():
                update_seller(organization=organization_of(request), seller_id=seller_id, **edits)
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Saved."), "seller", seller_id)
    return show(request, "credit/threshold.html", {"form": form, "seller": seller}, status=status_of_form(form))


# --- The organization's settings --------------------------------------------------------------------------------------


class _ListField(TextField):
    """Several values, with commas between them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, max_length=3000, widget=TextInput(attrs=AS_WRITTEN), **options)

    def clean(self, value: Any) -> Any:
        return list(dict.fromkeys(filter(None, re.split(r"[\s,;،؛]+", super().clean(value)))))


class _NumbersField(_ListField):
    def clean(self, value: Any) -> Any:
        text = TextField.clean(self, value)
        written = [one.strip() for one in re.split(r"[,;،؛]", text) if one.strip()]
        try:
            return list(dict.fromkeys(normalize_phone_number(one) for one in written))
        except InvalidPhoneNumber:
            raise forms.ValidationError(_("One of these is not an Iranian mobile number."), code="invalid") from None


def _number(name: str, label: Any) -> WholeNumberFormField:
    least, most, _what = LIMITS[name]
    return WholeNumberFormField(label=label, least=least, most=most)


class AlertSettingsForm(EditForm):
    mail_to = _ListField(label=_("Email addresses"), help_text=_("Up to ten, with commas between."))
    sms_to = _NumbersField(label=_("Mobile numbers"), help_text=_("Up to ten, with commas between."))
    language = ChoiceField(label=_("Language of the messages"), choices=[("fa", "فارسی"), ("en", "English")])
    unknown_after = _number("unknown_after", _("Longest time without an outcome (minutes)"))
    requests_after = _number("requests_after", _("Longest wait of a credit request (minutes)"))
    failing_percent = _number("failing_percent", _("Percent of an operator's recharges that fail, at least"))
    failing_least = _number("failing_least", _("Minimum number of failures"))
    failing_window = _number("failing_window", _("Time window for failures (minutes)"))
    sms_url = TextField(
        label=_("SMS gateway: URL"),
        required=False,
        max_length=2000,
        help_text=_(
            "The URL of your SMS provider. Write {to}, {text} and {secret} where they belong. Empty: no messages."
        ),
        widget=TextInput(attrs=AS_WRITTEN | {"inputmode": "url"}),
    )
    sms_method = ChoiceField(label=_("Method"), choices=[("POST", "POST"), ("GET", "GET")])
    sms_content_type = ChoiceField(label=_("Format of the body"), choices=[(JSON, "JSON"), (FORM_TYPE, "Form")])
    sms_body = TextField(
        label=_("Body"),
        required=False,
        max_length=2000,
        help_text=_("The body of a POST, as your provider wants it, with the same placeholders."),
        widget=TextInput(attrs=AS_WRITTEN),
    )
    sms_header = TextField(
        label=_("Header with the secret"),
        required=False,
        max_length=60,
        help_text=_("Like X-API-Key, where your provider wants the secret in a header."),
        widget=TextInput(attrs=AS_WRITTEN),
    )
    sms_secret = forms.CharField(
        label=_("Secret"),
        required=False,
        max_length=500,
        help_text=_("Never shown. Leave it empty to keep it."),
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "dir": "ltr"}),
    )


@page(Permission.MANAGE_SETTINGS, methods=FORM, proof=True)
def alert_settings(request: HttpRequest) -> HttpResponse:
    """Who is told, of what, and on which channels."""
    row = services.alert_settings()
    initial: dict[str, Any] = {
        name: getattr(row, name) for name in AlertSettingsForm.base_fields if name != "sms_secret"
    }
    initial |= {"mail_to": ", ".join(row.mail_to), "sms_to": ", ".join(map(national, row.sms_to))}
    form = AlertSettingsForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        edits = form.edits()
        if not edits.get("sms_secret"):
            edits.pop("sms_secret", None)
        try:
            if edits:
                services.change_alert_settings(organization=organization_of(request), **edits)
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Saved."), "alert_settings")
    context = {
        "form": form,
        "has_channel": bool(row.mail_to or (row.sms_to and row.sms_url)),
        "messages_sent": [
            (message, said(message.alert.kind, message.alert.data) if message.alert else said(TEST, {}))
            for message in services.last_messages(limit=MESSAGES_SHOWN)
        ],
    }
    return show(request, "credit/alert_settings.html", context, status=status_of_form(form))


@page(Permission.MANAGE_SETTINGS, methods=("POST",))
def send_test(request: HttpRequest) -> HttpResponse:
    """A test to every address."""
    try:
        services.send_test(organization=organization_of(request))
    except NoChannel as problem:
        return not_done(request, problem, "alert_settings")
    return done(request, _("It is being sent. Reload the page in a moment to see the result."), "alert_settings")
