"""What can be refused about credit."""

from django.utils.translation import gettext_lazy as _

from shared.errors import Problem


class InsufficientCredit(Problem):
    """402: the balance does not bear the amount (both in Tomans); nothing was written."""

    status, code, title = 402, "insufficient_credit", "Insufficient credit"
    message = _(
        "Your credit does not suffice: this needs %(required)s Tomans, and you have %(balance)s. "
        "Ask for credit, or sell less."
    )

    def __init__(self, *, balance: int, required: int) -> None:
        super().__init__(f"This needs {required} Tomans; the balance is {balance}.", balance=balance, required=required)


class AlreadyDecided(Problem):
    """409: an admin has decided the opposite before."""

    status, code, title = 409, "already_decided", "Already decided"
    message = _("Somebody has decided otherwise meanwhile: see what. Nothing was done.")


class BalanceLimitExceeded(Problem):
    """409: the balance would pass the largest one there is (2^53 - 1 Tomans); nothing was written."""

    status, code, title = 409, "balance_limit_exceeded", "Balance limit exceeded"
    message = _("The balance would be more than there can be, and nothing was done. Reject it.")
