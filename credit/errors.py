"""What can be refused about credit."""

from django.utils.translation import gettext_lazy as _

from shared.errors import InvalidRequest, PermissionDenied, Problem


class InsufficientCredit(Problem):
    """402: the balance does not bear the amount (both in Tomans); nothing was written."""

    status, code, title = 402, "insufficient_credit", "Insufficient credit"
    message = _(
        "Not enough credit: this needs %(required)s Tomans, and you have %(balance)s. Ask for credit, or sell less."
    )

    def __init__(self, *, balance: int, required: int) -> None:
        super().__init__(f"This needs {required} Tomans; the balance is {balance}.", balance=balance, required=required)


class AlreadyDecided(Problem):
    """409: an admin has decided the opposite before."""

    status, code, title = 409, "already_decided", "Already decided"
    message = _("Somebody decided otherwise in the meantime: see the decision. Nothing was done.")


class BalanceLimitExceeded(Problem):
    """409: the balance would pass the largest one there is (2^53 - 1 Tomans); nothing was written."""

    status, code, title = 409, "balance_limit_exceeded", "Balance limit exceeded"
    message = _("The balance would be above the largest possible one, and nothing was done. Reject it.")


class FourEyes(PermissionDenied):
    """403: it needs two people, and whoever asked for it can't be the second; nothing was done."""

    code, title = "four_eyes", "A second person must approve"
    message = _("You requested this yourself: somebody else has to approve it. To withdraw it, reject it.")

    def __init__(self) -> None:
        super().__init__("Whoever asked for it can't approve it; somebody else has to.")


class InvalidPolicy(InvalidRequest):
    """400: what an admin wants to settle can't be so; ``errors`` says why."""

    field_messages = {
        **InvalidRequest.field_messages,
        "unknown_time_zone": _("There is no such time zone. Choose one of the list."),
        "periods_closed": _(
            "Some periods are closed and their reports must not change, so the time zone can't be changed."
        ),
    }


class BankReferenceUsed(Problem):
    """409: another credit request that was not rejected has this bank reference; nothing was done."""

    status, code, title = 409, "bank_reference_used", "Bank reference used"
    message = _("Another credit request already has this bank reference. Check your credit requests, or correct it.")

    def __init__(self) -> None:
        super().__init__("Another credit request, not rejected, has this bank reference.")


class NotATree(Problem):
    """409: the parent is the seller himself or somebody below him, or there would be more levels than there may be."""

    status, code, title = 409, "not_a_tree", "Not a tree"
    message = _(
        "A seller can't be below themselves or below their own sub-sellers, and there are at most %(most)s levels."
    )

    def __init__(self, *, most: int) -> None:
        super().__init__(
            f"Nobody can be below himself, and there are at most {most} levels of sellers; nothing was done.", most=most
        )


class OtherSellerInactive(Problem):
    """403: the other seller whom it is about (not whoever asks) was switched off."""

    status, code, title = 403, "seller_inactive", "Seller inactive"
    message = _("The other seller is deactivated, and nothing was done.")


class GiverOwes(Problem):
    """409: whoever gives owes a late charge, and the organization lets nobody who does spend; nothing was done."""

    status, code, title = 409, "seller_owes", "Seller owes"
    message = _("You owe for a recharge that was delivered late. Ask for credit: what is owed is paid from it first.")

    def __init__(self) -> None:
        super().__init__("The seller owes a late charge, and transfers nothing until it is paid.")


class SwitchedOffByOthers(PermissionDenied):
    """403: it was not this dealer who switched the seller off."""

    message = _("Your organization deactivated this seller: ask an admin to activate them.")

    def __init__(self) -> None:
        super().__init__("Others than you have switched this seller off: an admin of the organization can switch on.")
