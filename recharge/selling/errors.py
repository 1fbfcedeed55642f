"""What can be refused about selling, and about settling what became of it."""

from collections.abc import Mapping
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credit.errors import InsufficientCredit
from shared.errors import IdempotencyKeyReused, InvalidRequest, Problem, SellerInactive
from tenants.errors import OrganizationSuspended


class AlreadySettled(Problem):
    """409: the recharge has succeeded or failed for good."""

    status, code, title = 409, "already_settled", "Already settled"
    message = _("This recharge already has its final outcome; nothing was done. See the outcome.")


class RechargeChanged(Problem):
    """409: a recharge is no longer as it was when its form was shown."""

    status, code, title = 409, "recharge_changed", "Recharge changed"
    message = _("This recharge has changed in the meantime; nothing was done. Check it, and decide again.")


class AmountNotSold(Problem):
    """409: the organization does not sell this amount of this operator; nothing was written."""

    status, code, title = 409, "amount_not_sold", "Amount not sold"
    message = _("This amount is not sold for this operator. Choose one that is offered.")

    def __init__(self, operator: str) -> None:
        super().__init__(f"This amount is not sold for {operator}; GET /operators has those that are.")


class OperatorNotSold(Problem):
    """409: no gateway delivers this operator's recharges, and the organization does not train; nothing was written."""

    status, code, title = 409, "operator_not_sold", "Operator not sold"
    message = _(
        "Recharges of this operator are not sold: no gateway is set up to deliver them. Ask an "
        "admin of your organization."
    )

    def __init__(self, operator: str) -> None:
        super().__init__(f"No recharges of {operator} are sold here: no gateway is set up that would deliver them.")


class PossibleDuplicate(Problem):
    """409: the seller sold the same amount to the same number a moment ago; nothing was written."""

    status, code, title = 409, "possible_duplicate", "Possible duplicate"
    message = _("The same amount was sold to this number a moment ago. If that is intended, sell it again.")

    def __init__(self) -> None:
        super().__init__(
            "The same amount was sold to this number a moment ago. "
            'If it is meant, send it again with "allow_duplicate": true.'
        )


class SellerOwes(Problem):
    """409: the seller owes a late charge, and the organization sells nothing to who does; nothing was written."""

    status, code, title = 409, "seller_owes", "Seller owes"
    message = _("You owe for a recharge that was delivered late. Ask for credit: what is owed is paid from it first.")

    def __init__(self) -> None:
        super().__init__("The seller owes a late charge, and sells nothing until it is paid.")


class LimitExceeded(Problem):
    """409: a limit of the seller or of the organization would be passed; nothing was written.

    ``limit`` names it as PUT /limits does; ``allowed`` and ``used`` are in its unit (Tomans, sales, an hour of the
    day); ``resets_at`` is when there is room again, in RFC 3339, or None: never for such a sale.
    """

    status, code, title = 409, "limit_exceeded", "Limit exceeded"
    message: str | Promise = _("This sale would exceed one of your limits. Sell less, or later, or ask an admin.")
    messages: ClassVar[Mapping[str, str | Promise]] = {
        "per_sale": _("One sale may be at most %(allowed)s Tomans. Sell less at once."),
        "per_day": _(
            "Your daily limit is %(allowed)s Tomans, and you have sold %(used)s today. Sell less, or go on tomorrow."
        ),
        "sales_per_day": _("Your daily limit is %(allowed)s sales, and you have made %(used)s today. Go on tomorrow."),
        "per_number_per_day": _(
            "At most %(allowed)s Tomans a day can be sold to one number, and %(used)s were sold to "
            "it today. Sell less, or go on tomorrow."
        ),
        "from_hour": _("Selling begins at %(allowed)s o'clock. Wait until then."),
        "to_hour": _("Selling has ended at %(allowed)s o'clock. Go on tomorrow."),
    }
    """What a person is told, by the limit; of one that a newer release knows, the message of them all."""

    def __init__(self, *, limit: str, allowed: int, used: int, resets_at: str | None) -> None:
        self.message = self.messages.get(limit, type(self).message)
        super().__init__(
            f"This would pass the limit {limit} ({allowed}; used: {used}).",
            limit=limit,
            allowed=allowed,
            used=used,
            resets_at=resets_at,
        )


class NotSold(Problem):
    """424: nothing is wrong with this item of an atomic call, but with another one."""

    status, code, title = 424, "not_sold", "Not sold"
    message = None  # pages sell what can be sold

    def __init__(self) -> None:
        super().__init__("Another item was refused, and all were to be sold or none.")


REFUSALS: tuple[type[Problem], ...] = (
    InsufficientCredit,
    IdempotencyKeyReused,
    InvalidRequest,
    OperatorNotSold,
    AmountNotSold,
    SellerOwes,
    LimitExceeded,
    PossibleDuplicate,
    SellerInactive,
    OrganizationSuspended,
    NotSold,
)
"""What one item of a bulk sale can be refused with."""
