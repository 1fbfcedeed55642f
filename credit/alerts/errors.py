"""What can be refused about alerts."""

from collections.abc import Mapping
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.errors import FIELD_MESSAGES, InvalidRequest, Problem


class InvalidAlertSettings(InvalidRequest):
    """400: the settings of alerts can't be so; ``errors`` says why."""

    field_messages: ClassVar[Mapping[str, str | Promise]] = {
        **FIELD_MESSAGES,
        "invalid": _("This URL can't be called. Write it like https://sms.example.com/send."),
        "not_https": _("This must begin with https://."),
        "private_address": _("This address is inside a private network. Write one that the whole internet reaches."),
        "place_in_host": _("The host's name can't have {to}, {text} or {secret} in it."),
        "place_missing": _("Write {to} and {text} where the number and the text belong: in the URL, or in the body."),
        "not_json": _(
            "With its placeholders filled in, this is not JSON. Write the placeholders inside quotation marks."
        ),
        "body_not_sent": _("A GET has no body. Leave this empty, or choose POST."),
        "invalid_header": _("This header can't carry a secret. Write it like X-API-Key."),
        "invalid_secret": _("Use ASCII characters without spaces for the secret."),
        "header_without_secret": _("Enter the secret for this header."),
        "too_many_recipients": _("Too many. Write ten at most."),
    }


class NoChannel(Problem):
    """409: there is nobody to be told, and no channel to tell by."""

    status, code, title = 409, "no_channel", "No channel"
    message = _("There is nobody to send a test to. First write an email address, or a number and an SMS gateway.")

    def __init__(self) -> None:
        super().__init__("No mail address and no number with an SMS gateway is set up; there is nobody to tell.")
