"""The menus of the consoles: the pages that somebody who is signed in may open."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from recharge.pages.live import badges_of
from recharge.selling import queries
from recharge.terms import queries as terms
from shared.console.links import address_of
from shared.identity.accounts import Account
from shared.identity.permissions import Permission
from shared.identity.realm import realm_of
from shared.identity.roles import Role, Scope, may, own_seller_of, role_named, sees_all_sellers
from shared.identity.sessions import account_of


class Place(Enum):
    """Where a seller is in the tree of sellers."""

    ABOVE = "somebody sells for him"
    IN_TREE = "somebody sells for him, or he for somebody"


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a menu: the name of its page's URL, what it is called, and the permission that the page needs.

    ``scope``: only for who sees that much. None: for everybody.
    """

    url_name: str
    label: Promise
    permission: Permission
    scope: Scope | None = None
    place: Place | None = None
    """A line for sellers may be for those alone who have such a place in the tree of sellers. None: for everybody."""


MENU = (
    Item("organizations", _("Organizations"), Permission.VIEW_ORGANIZATIONS),
    Item("provision", _("Provision"), Permission.MANAGE_ORGANIZATIONS),
    Item("audit", _("Audit log"), Permission.VIEW_AUDIT_LOG, Scope.PLATFORM),
    Item("admin:index", _("Admin site"), Permission.USE_ADMIN_SITE),
    Item("home", _("Today"), Permission.VIEW_TODAY),
    Item("sell", _("Sell"), Permission.SELL),
    Item("bulk", _("Sell many"), Permission.SELL),
    # Who decides looks at them every day, a seller now and then. So the line stands in two places.
    Item("credit_requests", _("Credit requests"), Permission.VIEW_CREDIT_REQUESTS, Scope.ALL_SELLERS),
    Item("adjustments", _("Adjustments"), Permission.VIEW_ADJUSTMENTS),
    Item("sellers", _("Sellers"), Permission.VIEW_SELLERS),
    Item("recharges", _("Recharges"), Permission.VIEW_RECHARGES, Scope.ALL_SELLERS),
    Item("claims", _("Not received by customers"), Permission.VIEW_CLAIMS, Scope.ALL_SELLERS),
    Item("entries", _("Ledger"), Permission.VIEW_ENTRIES, Scope.ALL_SELLERS),
    Item("recharges", _("History"), Permission.VIEW_RECHARGES, Scope.OWN_SELLER),
    Item("claims", _("Not received by customers"), Permission.VIEW_CLAIMS, Scope.OWN_SELLER),
    Item("entries", _("Statement"), Permission.VIEW_ENTRIES, Scope.OWN_SELLER),
    Item("statements", _("Period statements"), Permission.VIEW_ENTRIES),
    Item("credit_requests", _("Credit requests"), Permission.VIEW_CREDIT_REQUESTS, Scope.OWN_SELLER),
    Item("earnings", _("Earnings"), Permission.VIEW_OWN_EARNINGS),
    Item("commissions", _("Commissions"), Permission.VIEW_COMMISSIONS),
    Item("transfers", _("Transfers"), Permission.VIEW_TRANSFERS, Scope.ALL_SELLERS),
    Item("branch", _("My sellers"), Permission.VIEW_BRANCH, Scope.OWN_SELLER, Place.ABOVE),
    Item("transfers", _("Transfers"), Permission.VIEW_TRANSFERS, Scope.OWN_SELLER, Place.IN_TREE),
    Item("reports", _("Reports"), Permission.VIEW_REPORTS),
    Item("alerts", _("Alerts"), Permission.VIEW_ALERTS),
    Item("webhooks", _("Webhooks"), Permission.VIEW_WEBHOOKS),
    Item("api_keys", _("API keys"), Permission.VIEW_API_KEYS),
    Item("members", _("Members"), Permission.VIEW_MEMBERS),
    Item("audit_log", _("Audit log"), Permission.VIEW_AUDIT_LOG, Scope.ALL_SELLERS),
    Item("settings", _("Settings"), Permission.VIEW_SETTINGS),
)
"""All lines of all menus, in their order."""


def menu_of(role: Role) -> list[Item]:
    """The lines of the pages that a role may see."""
    return [item for item in MENU if item.permission in role.permissions and item.scope in (None, role.scope)]


def console(request: HttpRequest) -> dict[str, Any]:
    """A context processor: the menu, who is signed in and what they may do, and (of a seller) the balance.

    ``may`` has a permission by its value, as in ``{% if may.sell %}``.
    """
    account = account_of(request)
    role = role_named(account.role) if account else None
    # Nothing else may be done before: see page of shared/console/views.py.
    in_menu = None if account and account.user.must_change_password else role
    organization = getattr(request, "tenant", None)
    return {
        "account": account,
        "may": dict.fromkeys(role.permissions, True) if role else {},
        "sees_all_sellers": account is not None and sees_all_sellers(account),
        "organization": organization,
        "is_platform": realm_of(request).is_platform,
        "languages": settings.LANGUAGES,
        "account_bar": "recharge/balance_now.html"
        if account and in_menu and may(account, Permission.VIEW_OWN_BALANCE)
        else None,
        "is_live": bool(account and in_menu and badges_of(account)),
        "balance_now": (balance := SimpleLazyObject(lambda: _balance(account))),
        "menu": SimpleLazyObject(lambda: _menu(request, account, in_menu, balance)),
        "is_training": lambda: _is_training(account, balance),
    }


@dataclass(frozen=True, slots=True)
class Menu:
    """The lines of a menu: addresses and labels."""

    lines: list[tuple[str, Promise]]
    key: str
    """Under what a menu that was drawn is kept. People of one role may have different ones."""
    here: str
    """The address of the line that the page belongs to."""


def _menu(request: HttpRequest, account: Account | None, role: Role | None, balance: Any) -> Menu:
    """The menu of a page; ``balance`` is the seller's own, where somebody works for one."""
    items = menu_of(role) if role else []
    if account and any(item.place for item in items):
        is_above, is_below = balance.has_children, balance.has_parent
        shown = {None: True, Place.ABOVE: is_above, Place.IN_TREE: is_above or is_below}
        items = [item for item in items if shown[item.place]]
    lines = [(address_of(item.url_name), item.label) for item in items]
    path = request.path
    around = [address for address, _label in lines if path == address or path.startswith(address + "/")]
    here = max(around, key=len, default="")  # a line may lead to an address below another's
    return Menu(lines, " ".join(item.url_name for item in items), here)


def _is_training(account: Account | None, balance: Any) -> bool:
    """Whether the page is of an organization that trains. It comes with the balance; without one, it is a query."""
    if account is None or role_named(account.role).scope is Scope.PLATFORM:
        return False
    return bool(balance.training if may(account, Permission.VIEW_OWN_BALANCE) else terms.settings().training)


def _balance(account: Account | None) -> queries.Balance | None:
    if account is None or not may(account, Permission.VIEW_OWN_BALANCE):
        return None
    return queries.balance_of(own_seller_of(account))
