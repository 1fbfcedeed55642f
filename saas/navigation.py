"""The menus of the consoles: the pages that somebody who is signed in may open."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from recharge.selling import queries
from shared.console.links import address_of
from shared.identity.realm import realm_of
from shared.identity.services import Account
from shared.identity.sessions import account_of
from shared.identity.tokens import ADMIN, PLATFORM_ADMIN, SELLER


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a menu: the name of its page's URL, and what it is called."""

    url_name: str
    label: Promise


MENUS: dict[str, tuple[Item, ...]] = {
    PLATFORM_ADMIN: (
        Item("organizations", _("Organizations")),
        Item("provision", _("Provision")),
        Item("audit", _("Audit log")),
        Item("admin:index", _("Admin site")),
    ),
    ADMIN: (
        Item("home", _("Today")),
        Item("credit_requests", _("Credit requests")),
        Item("sellers", _("Sellers")),
        Item("recharges", _("Recharges")),
        Item("entries", _("Ledger")),
        Item("reports", _("Reports")),
        Item("webhooks", _("Webhooks")),
        Item("settings", _("Settings")),
    ),
    SELLER: (
        Item("sell", _("Sell")),
        Item("bulk", _("Sell many")),
        Item("recharges", _("History")),
        Item("entries", _("Statement")),
        Item("credit_requests", _("Credit requests")),
        Item("webhooks", _("Webhooks")),
        Item("api_access", _("API access")),
    ),
}


def console(request: HttpRequest) -> dict[str, Any]:
    """A context processor: the menu, who is signed in, and (of a seller) the balance."""
    account = account_of(request)
    organization = getattr(request, "tenant", None)
    return {
        "account": account,
        "organization": organization,
        "is_platform": realm_of(request).is_platform,
        **_menu(request, account),
        "languages": settings.LANGUAGES,
        "account_bar": "recharge/balance_now.html" if account and account.seller_id is not None else None,
        "balance_now": (balance := SimpleLazyObject(lambda: _balance(account))),
        "is_training": lambda: _is_training(account, balance),
    }


def _menu(request: HttpRequest, account: Account | None) -> dict[str, Any]:
    """The lines of the menu, and the address of the one that the page belongs to."""
    lines = [(address_of(item.url_name), item.label) for item in (MENUS[account.role] if account else ())]
    path = request.path
    here = next((address for address, _label in lines if path == address or path.startswith(address + "/")), "")
    return {"menu": lines, "here": here}


def _is_training(account: Account | None, balance: Any) -> bool:
    """Whether the page is of an organization that trains. A seller's comes with the balance; an admin's is a query."""
    if account is None or account.role == PLATFORM_ADMIN:
        return False
    return bool(balance.training if account.seller_id is not None else queries.settings().training)


def _balance(account: Account | None) -> queries.Balance | None:
    return queries.balance_of(account.seller_id) if account and account.seller_id is not None else None
