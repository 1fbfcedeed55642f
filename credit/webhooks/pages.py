"""Webhooks and their delivery log, as pages: a seller manages the seller's own, an admin the organization's, and sees
all. A secret is shown once: on the page that follows making it."""

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credit.models import WebhookEndpoint
from credit.webhooks import services
from credit.webhooks.addresses import LONGEST_URL, UrlRefused, parse_url
from credit.webhooks.errors import WebhookDisabled
from shared.console.danger import Danger, ask
from shared.console.forms import AS_WRITTEN, EditForm, Form, TextField, TextInput
from shared.console.shown_once import show_once, take_shown
from shared.console.views import FORM, add_problem, done, not_done, page, show, signed_in, status_of_form
from shared.errors import Problem
from shared.identity.permissions import Permission
from shared.identity.roles import may, seller_in_view
from shared.pagination import page_of_rows
from tenants.routing import organization_of

ON_A_PAGE = 25
"""Rows of a list."""

EVENTS: dict[str, str | Promise] = {
    WebhookEndpoint.Event.RECHARGE_SUCCEEDED: _("A recharge succeeded"),
    WebhookEndpoint.Event.RECHARGE_FAILED: _("A recharge failed and was refunded"),
    WebhookEndpoint.Event.RECHARGE_REVERSED: _("The operator reversed a recharge"),
    WebhookEndpoint.Event.RECHARGE_CHARGED: _("What was owed for a recharge was collected"),
    WebhookEndpoint.Event.CREDIT_REQUEST_APPROVED: _("A credit request was approved"),
    WebhookEndpoint.Event.CREDIT_REQUEST_REJECTED: _("A credit request was rejected"),
    WebhookEndpoint.Event.TRANSFER_RECEIVED: _("Credit received from the dealer or a sub-seller"),
    WebhookEndpoint.Event.BALANCE_LOW: _("The balance fell below its threshold"),
    WebhookEndpoint.Event.CHAIN_ROOT: _("The ledger was sealed for the day"),
}

_SECRET = "new_webhook_secret"  # noqa: S105 - what a session keeps one as (shown_once.py)


class WebhookForm(Form):
    url = TextField(
        label=_("URL"),
        max_length=LONGEST_URL,
        help_text=_("The address of your own system, such as https://hooks.example.com/recharges."),
        widget=TextInput(attrs=AS_WRITTEN | {"inputmode": "url"}),
    )
    events = forms.MultipleChoiceField(label=_("Events to send"), choices=[], widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, seller_id: int | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(str(event), EVENTS[event]) for event in services.events_for(seller_id)]
        self.fields["events"].choices = choices  # type: ignore[attr-defined]

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            parse_url(url)
        except UrlRefused as error:
            raise ValidationError(str(_URL_MESSAGES[error.code]), code=error.code) from None
        return url


_URL_MESSAGES: dict[str, str | Promise] = {
    "invalid": _(
        "This URL can't be called. Write it like https://hooks.example.com/recharges: with a "
        "host's name, without a user, a password or a fragment (#), and with other than ASCII "
        "characters percent-encoded."
    ),
    "not_https": _("This must begin with https://. Get a certificate for the host first."),
    "private_address": _("This address is inside a private network. Write one that the whole internet reaches."),
}


class ChangedWebhookForm(EditForm, WebhookForm):
    """The same, of a webhook that there is."""


@page(Permission.VIEW_WEBHOOKS)
def webhooks(request: HttpRequest) -> HttpResponse:
    """Who is told what, where."""
    rows = services.webhooks(seller_id=_owner(request)).select_related("seller")
    found = page_of_rows(rows, limit=ON_A_PAGE, cursor=request.GET.get("cursor"))
    return show(request, "credit/webhooks.html", {"page": found})


def _owner(request: HttpRequest) -> int | None:
    """Whose webhooks the account may change: its seller's, or (None) the organization's own."""
    return seller_in_view(signed_in(request))


@page(Permission.MANAGE_WEBHOOKS, methods=FORM, proof=True)
def add(request: HttpRequest) -> HttpResponse:
    """A new webhook."""
    owner = _owner(request)
    form = WebhookForm(request.POST or None, initial={"events": services.events_for(owner)}, seller_id=owner)
    if request.method == "POST" and form.is_valid():
        try:
            endpoint, secret = services.create_webhook(
                organization=organization_of(request), seller_id=owner, once=True, **form.cleaned_data
            )
        except Problem as problem:
            add_problem(form, problem)
        else:
            show_once(request, _SECRET, str(endpoint.pk), secret)
            return done(request, _("The webhook is added."), "webhook", endpoint.pk)
    return show(request, "credit/webhook_form.html", {"form": form}, status=status_of_form(form))


@page(Permission.VIEW_WEBHOOKS)
def webhook(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """One webhook and its delivery log."""
    endpoint = services.webhook_by_id(webhook_id, seller_id=_owner(request))
    found = page_of_rows(services.deliveries(endpoint.pk), limit=ON_A_PAGE, cursor=request.GET.get("cursor"))
    context: dict[str, Any] = {
        "endpoint": endpoint,
        "events": [(event, EVENTS[event]) for event in EVENTS if event in endpoint.events],
        "page": found,
        "deliveries": [(message, EVENTS[message.event]) for message in found.rows],
        "may_change": may(signed_in(request), Permission.MANAGE_WEBHOOKS) and endpoint.seller_id == _owner(request),
        "secret": take_shown(request, _SECRET, str(endpoint.pk)),
    }
    return show(request, "credit/webhook.html", context)


@page(Permission.MANAGE_WEBHOOKS, methods=FORM, proof=True)
def change(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """Another URL, other events."""
    owner = _owner(request)
    endpoint = services.webhook_by_id(webhook_id, seller_id=owner)
    initial = {"url": endpoint.url, "events": endpoint.events}
    form = ChangedWebhookForm(request.POST or None, initial=initial, seller_id=owner)
    if request.method == "POST" and form.is_valid():
        services.update_webhook(webhook_id=webhook_id, seller_id=owner, **form.edits())
        return done(request, _("Saved."), "webhook", webhook_id)
    context = {"form": form, "endpoint": endpoint}
    return show(request, "credit/webhook_form.html", context, status=status_of_form(form))


@page(Permission.MANAGE_WEBHOOKS, methods=("POST",))
def enable(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """Calls it again, whatever had disabled it."""
    services.update_webhook(webhook_id=webhook_id, seller_id=_owner(request), is_active=True)
    return done(request, _("The webhook is enabled: it receives events from now on."), "webhook", webhook_id)


@page(Permission.MANAGE_WEBHOOKS, methods=FORM)
def disable(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """Asks for confirmation, stops calling it, and gives up what waits."""
    if request.method != "POST":
        danger = Danger(
            question=_("Disable this webhook?"),
            meaning=[_("Messages waiting to be sent are dropped, and events while it is disabled are never sent.")],
            act=_("Disable"),
            back=_address_of(request, webhook_id),
        )
        return ask(request, danger)
    services.update_webhook(webhook_id=webhook_id, seller_id=_owner(request), is_active=False)
    return done(request, _("The webhook is disabled: nothing is sent to it."), "webhook", webhook_id)


def _address_of(request: HttpRequest, webhook_id: UUID) -> str:
    """Of the page of one's own webhook."""
    return reverse("webhook", args=[services.webhook_by_id(webhook_id, seller_id=_owner(request)).pk])


@page(Permission.MANAGE_WEBHOOKS, methods=FORM, proof=True)
def rotate_secret(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """Asks for confirmation, and makes a new secret."""
    if request.method != "POST":
        danger = Danger(
            question=_("Create a new secret?"),
            meaning=[_("For 24 hours calls are signed with the old secret as well. Update your system by then.")],
            act=_("Create a new secret"),
            back=_address_of(request, webhook_id),
            looks="primary",
        )
        return ask(request, danger)
    endpoint, secret = services.rotate_secret(webhook_id=webhook_id, seller_id=_owner(request))
    show_once(request, _SECRET, str(endpoint.pk), secret)
    told = (
        _("The secret was created a moment ago; here it is again.")
        if endpoint.is_replay
        else _("A new secret was created.")
    )
    return done(request, told, "webhook", webhook_id)


@page(Permission.MANAGE_WEBHOOKS, methods=FORM)
def delete(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """Asks for confirmation, and deletes it, with its delivery log."""
    if request.method != "POST":
        danger = Danger(
            question=_("Delete this webhook?"),
            meaning=[
                _(
                    "Its delivery log is deleted, too, and messages waiting to be sent are never sent. This can't be "
                    "undone."
                )
            ],
            act=_("Delete"),
            back=_address_of(request, webhook_id),
        )
        return ask(request, danger)
    services.delete_webhook(webhook_id=webhook_id, seller_id=_owner(request))
    return done(request, _("The webhook is deleted."), "webhooks")


@page(Permission.MANAGE_WEBHOOKS, methods=("POST",))
def resend(request: HttpRequest, webhook_id: UUID, delivery_id: UUID) -> HttpResponse:
    """Sends a message once more, now."""
    try:
        services.resend_message(
            organization=organization_of(request),
            webhook_id=webhook_id,
            seller_id=_owner(request),
            message_id=delivery_id,
        )
    except WebhookDisabled as problem:
        return not_done(request, problem, "webhook", webhook_id)
    return done(
        request, _("It is being sent again. Reload the page in a moment to see the answer."), "webhook", webhook_id
    )
