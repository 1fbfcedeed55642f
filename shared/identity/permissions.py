"""What somebody may be allowed to do. Which role may what is in :mod:`shared.identity.roles`."""

from enum import StrEnum


class Permission(StrEnum):
    """Each is asked by views, pages, menus and templates. Whose rows are meant is said by the role's scope."""

    # On the platform's host.
    VIEW_ORGANIZATIONS = "view_organizations"
    MANAGE_ORGANIZATIONS = "manage_organizations"
    """Provision, suspend and activate them, and have their books proved."""
    USE_ADMIN_SITE = "use_admin_site"

    # On both kinds of hosts: the platform's own, or the organization's.
    VIEW_MEMBERS = "view_members"
    """Who may sign in, and as what."""
    MANAGE_MEMBERS = "manage_members"
    VIEW_AUDIT_LOG = "view_audit_log"

    # On an organization's host.
    VIEW_TODAY = "view_today"
    """What waits for a decision, and today's figures."""
    VIEW_REPORTS = "view_reports"
    CLOSE_PERIODS = "close_periods"
    """Have the reports of a month stay as they are."""
    VIEW_SELLERS = "view_sellers"
    """Their names, usernames and balances."""
    MANAGE_SELLERS = "manage_sellers"
    VIEW_OWN_BALANCE = "view_own_balance"
    VIEW_ENTRIES = "view_entries"
    MAKE_STATEMENTS = "make_statements"
    """Documents of what was on a seller's account; who may view entries may view them."""
    VIEW_CREDIT_REQUESTS = "view_credit_requests"
    ASK_FOR_CREDIT = "ask_for_credit"
    DECIDE_CREDIT_REQUESTS = "decide_credit_requests"
    VIEW_ADJUSTMENTS = "view_adjustments"
    MAKE_ADJUSTMENTS = "make_adjustments"
    """Ask for one, approve and reject those of others."""
    VIEW_RECHARGES = "view_recharges"
    VIEW_DELIVERY = "view_delivery"
    """Through which gateway something is delivered, what was tried, and what was answered."""
    RESOLVE_RECHARGES = "resolve_recharges"
    VIEW_TERMS = "view_terms"
    """Which amounts of which operators are sold."""
    VIEW_COMMISSIONS = "view_commissions"
    """The rates of all sellers. A seller's own are among the terms."""
    VIEW_OWN_EARNINGS = "view_own_earnings"
    """What the seller has earned by commissions."""
    SELL = "sell"
    VIEW_WEBHOOKS = "view_webhooks"
    MANAGE_WEBHOOKS = "manage_webhooks"
    """The seller's own; of who sees all sellers, the organization's."""
    VIEW_API_KEYS = "view_api_keys"
    MANAGE_API_KEYS = "manage_api_keys"
    """The seller's own; of who sees all sellers, everybody's and the organization's."""
    VIEW_SETTINGS = "view_settings"
    MANAGE_SETTINGS = "manage_settings"
