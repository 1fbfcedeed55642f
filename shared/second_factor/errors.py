"""What is refused of second factors."""

from collections.abc import Mapping
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.errors import FIELD_MESSAGES, InvalidRequest, NotAuthenticated, PermissionDenied, Problem


class SecondFactorRequired(NotAuthenticated):
    """401: the password is right; a code of the account's second factor is missing."""

    code, title = "second_factor_required", "Second factor required"
    message = None  # pages ask for it

    def __init__(self, detail: str = "This account has a second factor; send a code of it in 'code'.") -> None:
        super().__init__(detail)


class SecondFactorMissing(Problem):
    """403: the organization requires a second factor, and the account has none yet (or this token is from before)."""

    status, code, title = 403, "second_factor_required", "Second factor required"
    message = None  # pages lead to where one is enrolled

    def __init__(self) -> None:
        super().__init__("A second factor is required here: enrol one (POST /second-factor/totp), then sign in anew.")


class WrongCode(InvalidRequest):
    """400: the code is not good, or not any longer."""

    field_messages: ClassVar[Mapping[str, str | Promise]] = {
        **FIELD_MESSAGES,
        "wrong_code": _("Wrong code, or already used. Write the one that the app shows now."),
    }

    @classmethod
    def here(cls) -> "WrongCode":
        return cls.of_field("code", "wrong_code", "This code is not good, or was used before.")


class PasskeyRefused(Problem):
    """400: what a browser answered for a passkey is not good."""

    status, code, title = 400, "passkey_refused", "Passkey refused"
    message = _("This passkey was not accepted here. Try again, or use another way.")


class SecondFactorEnrolled(Problem):
    """409: there is an authenticator app already."""

    status, code, title = 409, "second_factor_enrolled", "Second factor enrolled"
    message = _("You have set up an app already. Remove it before you set up another one.")

    def __init__(self) -> None:
        super().__init__("An authenticator app is enrolled already; remove it first.")


class LastSecondFactor(Problem):
    """409: the last second factor stays where one is required."""

    status, code, title = 409, "last_second_factor", "Last second factor"
    message = _("A second factor is required here, and this is your last one. Set up another one first.")

    def __init__(self) -> None:
        super().__init__("A second factor is required here, and this is the last one.")


class OwnSecondFactor(PermissionDenied):
    """403: an admin takes away what others have lost; the own second factors are removed by whoever shows one."""

    code, title = "own_second_factor", "Own second factor"
    message = _("You can't take away your own second factors here. Remove them on the page Security.")

    def __init__(self) -> None:
        super().__init__("Your own second factors are removed at /second-factor, or on the page Security.")


class TooManyPasskeys(Problem):
    """409: an account has at most so many passkeys."""

    status, code, title = 409, "too_many_passkeys", "Too many passkeys"
    message = _("The number of passkeys is at its limit. Remove one that you no longer use.")
