"""Mobile operators of Iran, and which one a number belongs to. An organization can add others
(recharge.models.OperatorSettings); a number is never found to be theirs, so they are named with each sale."""

from functools import lru_cache

import phonenumbers
from django.db import models
from phonenumbers import carrier

from shared.texts import folded

OPERATOR_CODE = r"^[a-z][a-z0-9_]{0,19}\Z"
"""How an operator is named in the API, a built-in one or an added one."""


class Operator(models.TextChoices):
    """The operators that every organization has; the values are what the API takes and returns."""

    MCI = "mci", "Hamrah-e Aval (MCI)"
    IRANCELL = "irancell", "Irancell (MTN)"
    RIGHTEL = "rightel", "RighTel"
    APTEL = "aptel", "ApTel"
    ESPADAN = "espadan", "Espadan (MTCE)"
    TELEKISH = "telekish", "TeleKish"


def folded_name(name: str) -> str:
    """An operator's name or code as names are compared: however the letters, digits, case and joiners are written."""
    return folded(name.replace("\u200c", " ")).casefold()


BUILT_IN_NAMES: dict[str, str] = {
    folded_name(name): operator.value
    for operator, persian in (
        (Operator.MCI, "همراه اول"),
        (Operator.IRANCELL, "ایرانسل"),
        (Operator.RIGHTEL, "رایتل"),
        (Operator.APTEL, "آپتل"),
        (Operator.ESPADAN, "اسپادان"),
        (Operator.TELEKISH, "تله‌کیش"),
    )
    for name in (operator.value, str(operator.label), operator.name, persian)
}
"""The codes of the built-in operators by their codes and by their names in English and Persian, as
:func:`folded_name` has them."""

_BY_CARRIER = {
    "IR-MCI": Operator.MCI,
    "Irancell": Operator.IRANCELL,
    "Rightel": Operator.RIGHTEL,
    "Aptel": Operator.APTEL,
    "MTCE": Operator.ESPADAN,
    "TeleKish": Operator.TELEKISH,
}

# The package's data tell Iranian operators apart by at most this much of the E.164 number (a test checks it), so the
# answer for a prefix is the answer for every number that begins with it.
_PREFIX = len("+989999")

# These blocks are given out in small parts, also to operators that the data don't know, and the data give some of them
# to a large one as a whole. Who sells there names the operator.
_SHARED = ("+98998", "+98999")


def operator_of(phone_number: str) -> Operator | None:
    """The operator whose block an E.164 number is from; None where that is not certain. A ported number is with
    another operator by now, which only its owner can say."""
    return None if phone_number.startswith(_SHARED) else _operator_of_block(phone_number[:_PREFIX])


@lru_cache(maxsize=1000)
def _operator_of_block(prefix: str) -> Operator | None:
    number = phonenumbers.parse(prefix.ljust(len("+989121234567"), "0"))
    return _BY_CARRIER.get(carrier.name_for_number(number, "en"))
