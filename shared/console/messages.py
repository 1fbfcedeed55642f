"""What a person is told of a problem, in their language: what is wrong, and what to do now.

The API's answers are English and made for programs and those who write them. A problem's ``code`` finds its message
here; each app adds its own codes. ``%(name)s`` stands for a member of the problem document (amounts in Tomans, already
formatted for the reader).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.console.formats import format_number

if TYPE_CHECKING:
    from shared.errors import Problem

MESSAGES: dict[str, str | Promise] = {
    "bad_credentials": _("There is no account with this name and password here. Check both and try again."),
    "internal_error": _("Something went wrong on our side. Try again; if it stays, tell your support the request id."),
    "invalid_request": _("Something in what was sent can't be read. Go back, correct it and try again."),
    "method_not_allowed": _("This address can't be opened like this. Start from the home page."),
    "not_found": _("There is nothing at this address, or it is not yours to see."),
    "organization_suspended": _("This organization is suspended. Ask the operator of the platform."),
    "password_changed": _(
        "The password was changed meanwhile, and stays as it is. Reset it again if it must be another."
    ),
    "payload_too_large": _("This is too large to be sent at once. Send it in parts."),
    "permission_denied": _("Your account may not do that, or the page has expired. Load it again and try once more."),
    "seller_busy": _("Too much is going on for this seller at once, and nothing was done. Try again in a moment."),
    "seller_inactive": _("This account was switched off. Ask an admin of your organization."),
    "throttled": _("Too many attempts to sign in. Wait a while and try again."),
    "unavailable": _("This is temporarily unavailable, and nothing was done. Try again in a moment."),
    "username_taken": _("There is a user of this name already. Choose another one."),
}

FIELD_MESSAGES: dict[str, str | Promise] = {
    "required": _("Fill this in."),
    "foreign_phone_number": _("Only Iranian numbers (+98) can be recharged."),
    "invalid_phone_number": _("This is no Iranian mobile number. Write it like 0912 123 4567."),
    "not_a_mobile_number": _("Only mobile numbers can be recharged. Write it like 0912 123 4567."),
    "unknown_operator": _("It is not known which operator this number belongs to. Choose it."),
    "password_too_short": _("This password is too short. Use at least 8 characters."),
    "password_too_common": _("This password is too common. Think of one that nobody guesses."),
    "wrong_password": _("This is not the password that you have now. Write it again."),
    "shortened_number": _(
        "This is no Iranian mobile number: a spreadsheet has shortened it (like 9.89E+11), and its last digits are "
        "lost. Format the column as text there, and enter the numbers again."
    ),
    "unfit_character": _("This has a character that nobody sees, copied from somewhere. Write it anew."),
    "invalid_email": _("This is no email address. Write it like name@example.com."),
}
"""By the ``code`` of one field's error."""


def message_for(problem: "Problem") -> str:
    """What a person is told of this problem."""
    if problem.message is not None:
        return str(problem.message)
    found = MESSAGES.get(problem.code)
    return _filled(found, problem.members) if found else problem.detail or problem.title


def field_message_for(error: Mapping[str, Any]) -> str:
    """What a person is told of one entry of an ``invalid_request``'s ``errors``."""
    return str(FIELD_MESSAGES.get(error["code"], error["detail"]))


def _filled(message: str | Promise, members: Mapping[str, Any]) -> str:
    shown = {
        name: format_number(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in members.items()
    }
    return str(message) % shown if shown else str(message)
