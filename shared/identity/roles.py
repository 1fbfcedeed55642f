"""Roles: one table of whose rows each sees and what it may do.

Views, pages, menus and templates ask for a permission, and lists for the scope. None of them asks for a role by its
name. A seller's id says which seller somebody works for; it says nothing about what that person may do or see.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from shared.identity.permissions import Permission

PLATFORM_ADMIN, PLATFORM_OPERATOR, PLATFORM_AUDITOR = "platform_admin", "platform_operator", "platform_auditor"
ADMIN, ACCOUNTANT, SUPPORT, AUDITOR, SELLER, CASHIER = "admin", "accountant", "support", "auditor", "seller", "cashier"


class Scope(Enum):
    """Whose rows a role sees."""

    PLATFORM = "platform"
    """The organizations, and nothing inside of them."""
    ALL_SELLERS = "all sellers"
    """Those of a whole organization. What the membership is now is looked up with each request."""
    OWN_SELLER = "own seller"
    """Those of one seller, whose id the membership has. Whether that seller is active is looked up."""


@dataclass(frozen=True, slots=True)
class Role:
    """A row of the table."""

    scope: Scope
    permissions: frozenset[Permission]


ROLES: Mapping[str, Role] = {
    PLATFORM_ADMIN: Role(
        Scope.PLATFORM,
        frozenset(
            {
                Permission.VIEW_ORGANIZATIONS,
                Permission.MANAGE_ORGANIZATIONS,
                Permission.VIEW_AUDIT_LOG,
                Permission.USE_ADMIN_SITE,
                Permission.VIEW_MEMBERS,
                Permission.MANAGE_MEMBERS,
            }
        ),
    ),
    PLATFORM_OPERATOR: Role(
        Scope.PLATFORM,
        frozenset(
            {
                Permission.VIEW_ORGANIZATIONS,
                Permission.MANAGE_ORGANIZATIONS,
                Permission.VIEW_AUDIT_LOG,
            }
        ),
    ),
    PLATFORM_AUDITOR: Role(
        Scope.PLATFORM,
        frozenset(
            {
                Permission.VIEW_ORGANIZATIONS,
                Permission.VIEW_AUDIT_LOG,
                Permission.VIEW_MEMBERS,
            }
        ),
    ),
    ADMIN: Role(
        Scope.ALL_SELLERS,
        frozenset(
            {
                Permission.VIEW_TODAY,
                Permission.VIEW_REPORTS,
                Permission.CLOSE_PERIODS,
                Permission.VIEW_SELLERS,
                Permission.MANAGE_SELLERS,
                Permission.VIEW_ENTRIES,
                Permission.MAKE_STATEMENTS,
                Permission.VIEW_CREDIT_REQUESTS,
                Permission.DECIDE_CREDIT_REQUESTS,
                Permission.VIEW_ADJUSTMENTS,
                Permission.VIEW_TRANSFERS,
                Permission.MAKE_ADJUSTMENTS,
                Permission.VIEW_RECHARGES,
                Permission.VIEW_DELIVERY,
                Permission.RESOLVE_RECHARGES,
                Permission.VIEW_CLAIMS,
                Permission.DECIDE_CLAIMS,
                Permission.VIEW_TERMS,
                Permission.VIEW_COMMISSIONS,
                Permission.VIEW_WEBHOOKS,
                Permission.MANAGE_WEBHOOKS,
                Permission.VIEW_ALERTS,
                Permission.MANAGE_ALERTS,
                Permission.VIEW_API_KEYS,
                Permission.MANAGE_API_KEYS,
                Permission.VIEW_MEMBERS,
                Permission.MANAGE_MEMBERS,
                Permission.VIEW_AUDIT_LOG,
                Permission.VIEW_SETTINGS,
                Permission.MANAGE_SETTINGS,
            }
        ),
    ),
    ACCOUNTANT: Role(
        Scope.ALL_SELLERS,
        frozenset(
            {
                Permission.VIEW_TODAY,
                Permission.VIEW_ALERTS,
                Permission.VIEW_REPORTS,
                Permission.VIEW_SELLERS,
                Permission.VIEW_ENTRIES,
                Permission.MAKE_STATEMENTS,
                Permission.VIEW_CREDIT_REQUESTS,
                Permission.DECIDE_CREDIT_REQUESTS,
                Permission.VIEW_ADJUSTMENTS,
                Permission.VIEW_TRANSFERS,
                Permission.MAKE_ADJUSTMENTS,
                Permission.VIEW_RECHARGES,
                Permission.VIEW_CLAIMS,
                Permission.VIEW_TERMS,
                Permission.VIEW_COMMISSIONS,
            }
        ),
    ),
    SUPPORT: Role(
        Scope.ALL_SELLERS,
        frozenset(
            {
                Permission.VIEW_TODAY,
                Permission.VIEW_ALERTS,
                Permission.VIEW_SELLERS,
                Permission.VIEW_RECHARGES,
                Permission.VIEW_DELIVERY,
                Permission.RESOLVE_RECHARGES,
                Permission.VIEW_CLAIMS,
                Permission.DECIDE_CLAIMS,
                Permission.VIEW_TERMS,
            }
        ),
    ),
    AUDITOR: Role(
        Scope.ALL_SELLERS,
        frozenset(
            {
                Permission.VIEW_TODAY,
                Permission.VIEW_REPORTS,
                Permission.VIEW_SELLERS,
                Permission.VIEW_ENTRIES,
                Permission.VIEW_CREDIT_REQUESTS,
                Permission.VIEW_ADJUSTMENTS,
                Permission.VIEW_TRANSFERS,
                Permission.VIEW_RECHARGES,
                Permission.VIEW_DELIVERY,
                Permission.VIEW_CLAIMS,
                Permission.VIEW_TERMS,
                Permission.VIEW_COMMISSIONS,
                Permission.VIEW_WEBHOOKS,
                Permission.VIEW_ALERTS,
                Permission.VIEW_API_KEYS,
                Permission.VIEW_MEMBERS,
                Permission.VIEW_AUDIT_LOG,
                Permission.VIEW_SETTINGS,
            }
        ),
    ),
    SELLER: Role(
        Scope.OWN_SELLER,
        frozenset(
            {
                Permission.VIEW_OWN_BALANCE,
                Permission.VIEW_ENTRIES,
                Permission.MAKE_STATEMENTS,
                Permission.VIEW_CREDIT_REQUESTS,
                Permission.ASK_FOR_CREDIT,
                Permission.VIEW_TRANSFERS,
                Permission.TRANSFER,
                Permission.VIEW_BRANCH,
                Permission.MANAGE_BRANCH,
                Permission.VIEW_RECHARGES,
                Permission.VIEW_CLAIMS,
                Permission.OPEN_CLAIMS,
                Permission.VIEW_TERMS,
                Permission.VIEW_OWN_EARNINGS,
                Permission.SELL,
                Permission.VIEW_WEBHOOKS,
                Permission.MANAGE_WEBHOOKS,
                Permission.VIEW_ALERTS,
                Permission.MANAGE_ALERTS,
                Permission.MANAGE_OWN_THRESHOLD,
                Permission.NAME_OWN_SHOP,
                Permission.VIEW_API_KEYS,
                Permission.MANAGE_API_KEYS,
            }
        ),
    ),
    CASHIER: Role(
        Scope.OWN_SELLER,
        frozenset(
            {
                Permission.VIEW_OWN_BALANCE,
                Permission.VIEW_RECHARGES,
                Permission.VIEW_CLAIMS,
                Permission.OPEN_CLAIMS,
                Permission.VIEW_TERMS,
                Permission.SELL,
            }
        ),
    ),
}

SELLING, READ, ASKING = "sell", "read", "credit"

KEY_SCOPES: Mapping[str, frozenset[Permission]] = {
    SELLING: frozenset({Permission.SELL, Permission.TRANSFER, Permission.VIEW_TERMS}),
    READ: frozenset(
        {
            Permission.VIEW_TODAY,
            Permission.VIEW_REPORTS,
            Permission.VIEW_SELLERS,
            Permission.VIEW_OWN_BALANCE,
            Permission.VIEW_ENTRIES,
            Permission.VIEW_CREDIT_REQUESTS,
            Permission.VIEW_ADJUSTMENTS,
            Permission.VIEW_TRANSFERS,
            Permission.VIEW_BRANCH,
            Permission.VIEW_RECHARGES,
            Permission.VIEW_DELIVERY,
            Permission.VIEW_TERMS,
            Permission.VIEW_COMMISSIONS,
            Permission.VIEW_WEBHOOKS,
            Permission.VIEW_ALERTS,
        }
    ),
    ASKING: frozenset(
        {
            Permission.ASK_FOR_CREDIT,
            Permission.VIEW_CREDIT_REQUESTS,
            Permission.VIEW_TRANSFERS,
        }
    ),
}
"""What an API key's scopes let it do, of what its role may. No key manages anything: members, keys, sessions, webhooks
and settings are people's."""

_UNKNOWN = Role(Scope.OWN_SELLER, frozenset())
"""Of a role that a newer release has given: here it may do nothing."""

MEMBER_ROLES = tuple(name for name, role in ROLES.items() if role.scope is not Scope.PLATFORM)
"""What a membership of an organization may have."""

PLATFORM_ROLES = tuple(name for name, role in ROLES.items() if role.scope is Scope.PLATFORM)
"""What a user of the platform's own host may be."""


class Somebody(Protocol):
    """An account, or the principal that a token speaks for."""

    @property
    def role(self) -> str: ...

    @property
    def seller_id(self) -> int | None: ...

    @property
    def scopes(self) -> frozenset[str] | None: ...


def role_named(name: str) -> Role:
    """The row of this name."""
    return ROLES.get(name, _UNKNOWN)


def may(somebody: Somebody, permission: Permission) -> bool:
    """Whether somebody's role has this permission; of an API key (which has scopes), one of its scopes as well."""
    if permission not in role_named(somebody.role).permissions:
        return False
    return somebody.scopes is None or is_in_scope(permission, somebody.scopes)


def is_in_scope(permission: Permission, scopes: frozenset[str]) -> bool:
    """Whether one of an API key's scopes has this permission. One that a newer release has given has none here."""
    return any(permission in KEY_SCOPES.get(scope, ()) for scope in scopes)


def roles_that_may(permission: Permission) -> frozenset[str]:
    """The names of the roles with this permission."""
    return frozenset(name for name, role in ROLES.items() if permission in role.permissions)


def works_for_seller(role: str) -> bool:
    """Whether a membership with this role is one seller's, and so has a seller's id."""
    return role_named(role).scope is Scope.OWN_SELLER


def sees_all_sellers(somebody: Somebody) -> bool:
    """Whether somebody sees the rows of all sellers of an organization."""
    return role_named(somebody.role).scope is Scope.ALL_SELLERS


def own_seller_of(somebody: Somebody) -> int:
    """The seller whom somebody works for.

    Raises:
        LookupError: nothing says which. There must be no such membership of a role that works for one.
    """
    if somebody.seller_id is None:
        raise LookupError(f"A {somebody.role} without a seller's id works for nobody.")
    return somebody.seller_id


def seller_in_view(somebody: Somebody) -> int | None:
    """The seller whose rows alone somebody sees; None: all sellers'. Raises what :func:`own_seller_of` does."""
    return None if sees_all_sellers(somebody) else own_seller_of(somebody)
