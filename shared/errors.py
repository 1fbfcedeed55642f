"""What a request may be refused with, as problem documents (RFC 9457).

A service raises a subclass of :class:`Problem` that names what went wrong in the business. The API answers its document
as it is; a page shows its words (see shared/console/messages.py). What the web frameworks raise becomes one of these in
shared/handlers.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Problem(Exception):
    """Something a client is told about, as an RFC 9457 problem document.

    ``status``, ``code``, ``title`` and ``message`` belong to the class; ``detail`` says what happened this time and
    what to do, in English, for programs and those who write them; ``members`` are further members of the document
    (amounts in Tomans); ``headers`` go onto the response.
    """

    status: int
    code: str
    title: str
    message: str | Promise | None = None
    """What a person is told, in their language: what is wrong, and what to do now. ``%(name)s`` stands for a member
    (an amount is formatted for the reader). None where programs alone meet it: a person would be told the detail."""
    home: str | None = "/"
    """Where a person can go on; None: nowhere on this host."""
    more: Sequence[str | Promise] = ()
    """What a person is told besides, a paragraph each: as whom they are signed in, and who may help."""

    def __init__(self, detail: str = "", *, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members
        self.headers = headers or {}

    def document(self, request_id: str = "") -> dict[str, Any]:
        """The problem document; ``request_id`` is left out where there is none."""
        document = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail or self.title,
        }
        if request_id:
            document["request_id"] = request_id
        return document | self.members


class InternalError(Problem):
    """500: a defect of ours; the request id finds it in the log."""

    status, code, title = 500, "internal_error", "Internal error"
    message = _("Something went wrong on our side. Try again; if it stays, tell your support the request ID.")


FIELD_MESSAGES: Mapping[str, str | Promise] = {
    "required": _("Fill this in."),
    "foreign_phone_number": _("Only Iranian numbers (+98) can be recharged."),
    "invalid_phone_number": _("Enter an 11-digit Iranian mobile number, like 0912 123 4567."),
    "not_a_mobile_number": _("Only mobile numbers can be recharged. Write it like 0912 123 4567."),
    "unknown_operator": _("The operator of this number is not detected. Choose it."),
    "password_too_short": _("This password is too short. Use at least 8 characters."),
    "password_too_common": _("This password is too common. Think of one that nobody guesses."),
    "wrong_password": _("This is not your current password. Write it again."),
    "shortened_number": _(
        "Not an Iranian mobile number: a spreadsheet has shortened it (like 9.89E+11), and its "
        "last digits are lost. Format the column as text there, and enter the numbers again."
    ),
    "unfit_character": _("This has an invisible character, copied from somewhere. Type it again."),
    "invalid_email": _("This is not an email address. Write it like name@example.com."),
    "no_such_seller": _("There is no such seller."),
}
"""What a person is told of one field, by the ``code`` of its error: of fields that are at home in many places. For
those of one place, see the subclasses of :class:`InvalidRequest`."""


class InvalidRequest(Problem):
    """400: the body, a parameter or a header is wrong; ``errors`` says which."""

    status, code, title = 400, "invalid_request", "Invalid request"
    message = _("Part of what was sent can't be read. Go back, correct it and try again.")
    field_messages: ClassVar[Mapping[str, str | Promise]] = FIELD_MESSAGES
    """What a person is told of a field, by the ``code`` of its error; a code that is not here: the error's detail."""

    @classmethod
    def of_field(cls, field: str, code: str, detail: str) -> Self:
        """One field (or parameter, or header) is wrong."""
        return cls(f"{field}: {detail}", errors=[{"field": field, "code": code, "detail": detail}])


class InvalidApiKey(InvalidRequest):
    """400: an API key can't be so; ``errors`` says why."""

    field_messages = {
        **FIELD_MESSAGES,
        "organization_reads": _("An organization's key can only read. For more, enter the seller it belongs to."),
        "invalid_address": _(
            "One of these is not an IP address or a network. Write them like 203.0.113.7 or 203.0.113.0/24."
        ),
        "too_many": _("Too many addresses. Write networks, like 203.0.113.0/24."),
        "not_in_future": _("This day is past. Write a later one."),
    }


class InvalidMember(InvalidRequest):
    """400: a member can't be so; ``errors`` says why."""

    field_messages = {
        **FIELD_MESSAGES,
        "seller_missing": _("On whose account does the cashier sell? Enter the username of the seller."),
        "seller_not_allowed": _("Only a cashier sells on a seller's account. Leave this empty."),
        "password_or_email": _("Write a password, or an email address to send an invitation to."),
        "is_seller": _("This is a seller's own account. Change it on the seller's page."),
    }


class NotInvited(Problem):
    """409: there is no invitation that could be sent again."""

    status, code, title = 409, "not_invited", "Not invited"
    message = _("There is no invitation to send again: a password is set, or the member is deactivated.")

    def __init__(self) -> None:
        super().__init__("This member waits for no invitation: a password is set, or the member is switched off.")


class SamePassword(InvalidRequest):
    """400: the password must be changed, and this is the one of now."""

    field_messages: ClassVar[Mapping[str, str | Promise]] = {
        **FIELD_MESSAGES,
        "same_password": _("Choose another one: the person who set this password knows it."),
    }


class NotAuthenticated(Problem):
    """401: the request carries no bearer token."""

    status, code, title = 401, "not_authenticated", "Authentication required"
    message: str | Promise | None = None  # pages send whoever is not signed in to the form for it

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class TokenInvalid(NotAuthenticated):
    """401: the token is malformed, not signed by us, of the wrong type, spent or revoked."""

    code, title = "token_invalid", "Invalid token"
    message: str | Promise | None = _("Your session has ended; nothing was done. Sign in again.")


class TokenExpired(NotAuthenticated):
    """401: the token was good once; refresh it."""

    code, title = "token_expired", "Token expired"
    message = _("Your access has just changed; nothing was done. Try again.")


class TokenWrongOrganization(NotAuthenticated):
    """401: the token was issued for another host."""

    code, title = "token_wrong_organization", "Token of another organization"
    message = None  # pages know no tokens


class BadCredentials(NotAuthenticated):
    """401: no such user here, or not this password; which of the two is not told."""

    code, title = "bad_credentials", "Bad credentials"
    message = _("Wrong username or password. Check both and try again.")


class KeyRefused(NotAuthenticated):
    """401: the API key's secret is right, but it is not let in: from this address, or any longer."""

    code, title = "key_refused", "API key refused"
    message = None  # programs alone have keys


class PermissionDenied(Problem):
    """403: signed in, but not for this. Where the reason is another one, a class of its own tells it to people."""

    status, code, title = 403, "permission_denied", "Permission denied"
    message = _("Your role does not include this. Ask an admin.")


class FormExpired(PermissionDenied):
    """403: the form is of another session than the one that it was sent with."""

    message = _("This page has expired, and nothing was done. Load it again and send it once more.")

    def __init__(self) -> None:
        super().__init__("The form has expired; load the page again.")


class AccountInactive(PermissionDenied):
    """403: an admin switched this account off, or it is gone."""

    message = _("This account is deactivated. Ask an admin to activate it.")


class AccessChanged(PermissionDenied):
    """403: what this account may do was changed while it did this; nothing was done."""

    message = _("Your access was changed in the meantime, and nothing was done. Ask an admin.")

    def __init__(self) -> None:
        super().__init__("This account may not do that any longer.")


class SentFromElsewhere(PermissionDenied):
    """403: a page of another site has sent this form."""

    message = _("This was sent by a page of another site, so nothing was done. Open the page here and send it again.")

    def __init__(self) -> None:
        super().__init__("The form has expired; load the page again.")


class SellerInactive(PermissionDenied):
    """403: an admin of the organization switched this seller off."""

    code, title = "seller_inactive", "Seller inactive"
    message = _("This account is deactivated. Ask an admin of your organization.")

    def __init__(self, detail: str = "This seller was switched off by an admin of the organization.") -> None:
        super().__init__(detail)


class NotFound(Problem):
    """404: not there, or not yours; which of the two is not told."""

    status, code, title = 404, "not_found", "Not found"
    message = _("Page not found, or no access.")


class MethodNotAllowed(Problem):
    """405: this address does not take this method."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"
    message = _("This address can't be opened like this. Start from the home page.")


class NotAcceptable(Problem):
    """406: the answer can't be given in a type that ``Accept`` allows."""

    status, code, title = 406, "not_acceptable", "Not acceptable"
    message = None  # pages take any


class UsernameTaken(Problem):
    """409: the organization (or the platform) already has a user of this name."""

    status, code, title = 409, "username_taken", "Username taken"
    message = _("This username is taken. Choose another one.")


class LastAdmin(Problem):
    """409: nobody who is active could manage members any longer."""

    status, code, title = 409, "last_admin", "Last admin"
    message = _("This is the last active admin. Make somebody else an admin first.")

    def __init__(self, detail: str = "This is the last active admin, who stays; make another one first.") -> None:
        super().__init__(detail)


class TooManyApiKeys(Problem):
    """409: there are as many API keys as the owner (a seller, or the organization) may have."""

    status, code, title = 409, "too_many_api_keys", "Too many API keys"
    message = _("The number of API keys is at its limit. First revoke one that is no longer used.")

    def __init__(self, *, most: int) -> None:
        super().__init__(f"There are {most} API keys, which is the most; end one first.")


class ApiKeyEnded(Problem):
    """409: nothing is changed of a key that has ended."""

    status, code, title = 409, "api_key_ended", "API key ended"
    message = _("This API key is revoked. Create a new one.")

    def __init__(self) -> None:
        super().__init__("This API key has ended; make a new one.")


class PasswordChanged(Problem):
    """409: the password that was to be replaced has been replaced already."""

    status, code, title = 409, "password_changed", "Password changed"
    message = _("The password was changed in the meantime and is kept. Reset it again if you need another.")


class PayloadTooLarge(Problem):
    """413: the body has more bytes than this path takes."""

    status, code, title = 413, "payload_too_large", "Payload too large"
    message = _("Too large to be sent at once. Go back, and send a smaller file or fewer rows.")


class UnsupportedMediaType(Problem):
    """415: the body is of a type that this path does not take."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"
    message = None  # browsers send forms


class IdempotencyKeyMissing(Problem):
    """400: a POST that moves money must name itself, so that it can be sent again safely."""

    status, code, title = 400, "idempotency_key_missing", "Idempotency-Key missing"
    message = None  # forms carry their keys


class IdempotencyKeyReused(Problem):
    """422: the key was used before for something else."""

    status, code, title = 422, "idempotency_key_reused", "Idempotency-Key reused"
    message = _("This was already sent with other content. Start again.")

    def __init__(self, detail: str = "This Idempotency-Key was used before with other content; use a new one.") -> None:
        super().__init__(detail)


class Throttled(Problem):
    """429: too many attempts; ``Retry-After`` (seconds) says when to try again."""

    status, code, title = 429, "throttled", "Too many attempts"
    message = _("Too many attempts to sign in. Wait a while and try again.")

    def __init__(self, detail: str = "", *, retry_after: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Unavailable(Problem):
    """503: the database can't be reached or refused the work; try again after ``Retry-After`` (seconds)."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"
    message = _("This is temporarily unavailable, and nothing was done. Try again in a moment.")

    def __init__(self, detail: str = "The service is temporarily unavailable; try again.") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class SellerBusy(Problem):
    """503: the seller's lock was not granted in time; nothing was done. ``Retry-After`` is in seconds."""

    status, code, title = 503, "seller_busy", "Seller busy"
    message = _("Too many actions of this seller at once, and nothing was done. Try again in a moment.")

    def __init__(self) -> None:
        super().__init__(
            "Other requests for this seller are still running; nothing was done, try again.",
            headers={"Retry-After": "1"},
        )
