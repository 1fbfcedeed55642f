"""What roles are called for people."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.identity.roles import (
    ACCOUNTANT,
    ADMIN,
    AUDITOR,
    CASHIER,
    PLATFORM_ADMIN,
    PLATFORM_AUDITOR,
    PLATFORM_OPERATOR,
    SELLER,
    SUPPORT,
)

ROLES: dict[str, tuple[str | Promise, str | Promise]] = {
    ADMIN: (_("Admin"), _("everything")),
    ACCOUNTANT: (_("Accountant"), _("credit requests, adjustments, ledger and reports")),
    SUPPORT: (_("Support"), _("sees recharges and records their outcome")),
    AUDITOR: (_("Auditor"), _("sees everything and changes nothing")),
    SELLER: (_("Seller"), _("sells, asks for credit, and sees their own account")),
    CASHIER: (_("Cashier"), _("sells on a seller's account")),
    PLATFORM_ADMIN: (_("Owner"), _("everything")),
    PLATFORM_OPERATOR: (_("Platform operator"), _("provisions, suspends and activates organizations")),
    PLATFORM_AUDITOR: (_("Auditor"), _("sees everything and changes nothing")),
}
"""What a role is called, and what it may do, in a few words."""


def role_name(role: str) -> str:
    """What a role is called in the reader's language."""
    return str(ROLES[role][0]) if role in ROLES else role
