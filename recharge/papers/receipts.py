"""What a receipt says, as text: to be shared, copied, or sent by SMS to a customer."""

from django.utils import translation
from django.utils.translation import gettext

from recharge.models import Recharge
from recharge.operators import Operator
from recharge.terms.queries import name_of_added_operator
from shared.console.formats import format_moment, format_number, in_digits, is_persian


def _operator(code: str) -> str:
    if code not in Operator:
        return name_of_added_operator(code)
    return Operator(code).persian if is_persian() else str(Operator(code).label)


def _national(phone_number: str) -> str:
    return in_digits("0" + phone_number.removeprefix("+98"))


def receipt_line(recharge: Recharge, *, shop: str, number: str, language: str) -> str:
    """A receipt in a line, for a short message in that language."""
    with translation.override(language):
        return gettext("%(shop)s: %(operator)s, %(amount)s Tomans, for %(phone_number)s. Receipt %(number)s") % {
            "shop": shop,
            "operator": _operator(recharge.operator),
            "amount": format_number(recharge.amount),
            "phone_number": _national(recharge.phone_number),
            "number": in_digits(number),
        }


def receipt_text(recharge: Recharge, *, shop: str, organization: str, number: str, state: str) -> str:
    """A receipt in lines, to be shared, in the reader's language and time zone. ``state`` is in words."""
    _exact, moment = format_moment(recharge.created_at)
    lines = [
        shop,
        gettext("Recharge of %(number)s") % {"number": _national(recharge.phone_number)},
        gettext("%(operator)s, %(amount)s Tomans")
        % {
            "operator": _operator(recharge.operator),
            "amount": format_number(recharge.amount),
        },
        state,
        moment,
        gettext("Receipt number: %(number)s") % {"number": in_digits(number)},
    ]
    if organization != shop:
        lines.append(organization)
    return "\n".join(lines)
