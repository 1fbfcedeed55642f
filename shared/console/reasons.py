"""Why somebody who is signed in is refused a page, in words: as whom, what is missing, and who may give it."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from shared.console.roles import role_name
from shared.errors import NotFound
from shared.identity.accounts import Account
from shared.identity.permissions import Permission
from shared.identity.roles import ROLES, Scope, role_named

PERMISSIONS: Mapping[Permission, str | Promise] = {
    Permission.VIEW_ORGANIZATIONS: _("see organizations"),
    Permission.MANAGE_ORGANIZATIONS: _("provision, suspend and activate organizations"),
    Permission.USE_ADMIN_SITE: _("use the admin site"),
    Permission.VIEW_MEMBERS: _("see members"),
    Permission.MANAGE_MEMBERS: _("manage members"),
    Permission.VIEW_AUDIT_LOG: _("see the audit log"),
    Permission.VIEW_TODAY: _("see the Today page"),
    Permission.VIEW_REPORTS: _("see reports"),
    Permission.CLOSE_PERIODS: _("close periods"),
    Permission.VIEW_SELLERS: _("see sellers"),
    Permission.MANAGE_SELLERS: _("manage sellers"),
    Permission.VIEW_OWN_BALANCE: _("see a seller's own balance"),
    Permission.VIEW_ENTRIES: _("see the ledger"),
    Permission.MAKE_STATEMENTS: _("make period statements"),
    Permission.VIEW_CREDIT_REQUESTS: _("see credit requests"),
    Permission.ASK_FOR_CREDIT: _("request credit"),
    Permission.DECIDE_CREDIT_REQUESTS: _("approve and reject credit requests"),
    Permission.VIEW_ADJUSTMENTS: _("see adjustments"),
    Permission.MAKE_ADJUSTMENTS: _("make adjustments"),
    Permission.VIEW_TRANSFERS: _("see transfers"),
    Permission.TRANSFER: _("transfer credit"),
    Permission.VIEW_BRANCH: _("see the sellers below"),
    Permission.MANAGE_BRANCH: _("manage the sellers below"),
    Permission.VIEW_RECHARGES: _("see recharges"),
    Permission.VIEW_DELIVERY: _("see how recharges are delivered"),
    Permission.RESOLVE_RECHARGES: _("record the final outcome of recharges"),
    Permission.VIEW_CLAIMS: _("see complaints about recharges that were not received"),
    Permission.OPEN_CLAIMS: _("report recharges that were not received"),
    Permission.DECIDE_CLAIMS: _("answer complaints about recharges that were not received"),
    Permission.VIEW_TERMS: _("see what is sold"),
    Permission.VIEW_COMMISSIONS: _("see all commissions"),
    Permission.VIEW_OWN_EARNINGS: _("see a seller's own earnings"),
    Permission.SELL: _("sell"),
    Permission.VIEW_WEBHOOKS: _("see webhooks"),
    Permission.MANAGE_WEBHOOKS: _("manage webhooks"),
    Permission.VIEW_ALERTS: _("see alerts"),
    Permission.MANAGE_ALERTS: _("manage alerts"),
    Permission.MANAGE_OWN_THRESHOLD: _("set the own alert threshold"),
    Permission.NAME_OWN_SHOP: _("name the own shop"),
    Permission.VIEW_API_KEYS: _("see API keys"),
    Permission.MANAGE_API_KEYS: _("manage API keys"),
    Permission.VIEW_SETTINGS: _("see settings"),
    Permission.MANAGE_SETTINGS: _("change settings"),
}
"""What each permission is for."""


def lacks(account: Account, permission: Permission) -> NotFound:
    """The refusal of a page that this account's role has no permission for. Programs are told nothing of a role."""
    refusal = NotFound("There is nothing at this address.")
    refusal.message = _("Your role does not include this page.")
    # On a host there are roles of one kind: the platform's, or an organization's.
    is_platform = role_named(account.role).scope is Scope.PLATFORM
    others = [
        role_name(name)
        for name, role in ROLES.items()
        if permission in role.permissions and (role.scope is Scope.PLATFORM) == is_platform
    ]
    more = [
        signed_in_as(account),
        gettext("It needs the permission to %(what)s.") % {"what": PERMISSIONS[permission]},
    ]
    if others:
        more.append(gettext("Roles with this permission: %(roles)s.") % {"roles": gettext(", ").join(others)})
        more.append(gettext("Whoever manages members can give you such a role. Ask an admin."))
    refusal.more = more
    return refusal


def signed_in_as(account: Account) -> str:
    """Two tabs, or a shared machine: often it is another account than somebody thinks."""
    words = {"username": f"\u2068{account.username}\u2069", "role": role_name(account.role)}
    return gettext("You are signed in as %(username)s (%(role)s).") % words
