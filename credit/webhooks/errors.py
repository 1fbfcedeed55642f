"""What can be refused about webhooks."""

from django.utils.translation import gettext_lazy as _

from shared.errors import FIELD_MESSAGES, InvalidRequest, PermissionDenied, Problem


class InvalidWebhook(InvalidRequest):
    """400: a webhook can't be so; ``errors`` says why."""

    field_messages = {
        **FIELD_MESSAGES,
        "organization_only": _("Only the organization's own webhooks are told when the ledger is sealed."),
    }


class TooManyWebhooks(Problem):
    """409: there are as many endpoints as one owner may have."""

    status, code, title = 409, "too_many_webhooks", "Too many webhooks"
    message = _("The number of webhooks is at its limit. Delete one first.")

    def __init__(self, *, most: int) -> None:
        super().__init__(f"There are {most} webhooks, which is the most; delete one first.")


class SellersWebhook(PermissionDenied):
    """403: the organization's admin asks, and it is a seller's."""

    message = _("This webhook belongs to a seller, and only the seller can change it.")

    def __init__(self) -> None:
        super().__init__("This is a seller's webhook; only the seller may change it.")


class WebhookDisabled(Problem):
    """409: nothing is sent to an endpoint that is disabled."""

    status, code, title = 409, "webhook_disabled", "Webhook disabled"
    message = _("This webhook is disabled, so nothing is sent to it. Enable it first.")

    def __init__(self) -> None:
        super().__init__('This webhook is disabled; enable it first, with "is_active": true.')
