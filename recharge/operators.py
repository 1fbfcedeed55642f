"""Mobile operators of Iran, and which one a number belongs to. An organization can add others
(recharge.models.OperatorSettings); a number is never found to be theirs, so they are named with each sale."""

from functools import lru_cache
from typing import Self

import phonenumbers
from django.db import models
from phonenumbers import carrier

from shared.texts import folded

OPERATOR_CODE = r"^[a-z][a-z0-9_]{0,19}\Z"
"""How an operator is named in the API, a built-in one or an added one."""


class Operator(models.TextChoices):
    """The operators that every organization has, a row each: the code, which the API takes and returns; the carrier's
    name in the data of phonenumbers ("" where they have none of it); the name in Persian; the name in English.

    recharge_terms_of in sql/recharges.sql lists the codes again (a test compares them)."""

    MCI = "mci", "IR-MCI", "همراه اول", "Hamrah-e Aval (MCI)"
    IRANCELL = "irancell", "Irancell", "ایرانسل", "Irancell (MTN)"
    RIGHTEL = "rightel", "Rightel", "رایتل", "RighTel"
    APTEL = "aptel", "Aptel", "آپتل", "ApTel"
    ESPADAN = "espadan", "MTCE", "اسپادان", "Espadan (MTCE)"
    TELEKISH = "telekish", "TeleKish", "تله‌کیش", "TeleKish"

    carrier: str
    persian: str

    # A row without its last, which is the label. (The defaults are for Operator(code).)
    def __new__(cls, code: str, carrier: str = "", persian: str = "") -> Self:
        operator = str.__new__(cls, code)
        operator._value_ = code
        operator.carrier = carrier
        operator.persian = persian
        return operator


def folded_name(name: str) -> str:
    """An operator's name or code as names are compared: however the letters, digits, case and joiners are written."""
    return folded(name.replace("\u200c", " ")).casefold()


BUILT_IN_NAMES: dict[str, str] = {
    folded_name(name): operator.value
    for operator in Operator
    for name in (operator.value, str(operator.label), operator.persian)
}
"""The codes of the built-in operators by their codes and by their names in English and Persian, as
:func:`folded_name` has them."""

_BY_CARRIER = {operator.carrier: operator for operator in Operator if operator.carrier}

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
