"""The actions that are recorded in the audit tables (shared/audit.py), and what they are called for people.

Each one that a service records has a line here: tests/shared/test_acts.py finds those that have none. Lists are
filtered by no other.
"""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

ACTS: dict[str, Promise] = {
    # Signing in.
    "sign_in.succeeded": _("Signed in"),
    "sign_in.refused": _("Sign-in refused"),
    "sign_in.unlocked": _("Sign-in unlocked"),
    "address.unlocked": _("Address unlocked"),
    "session.ended": _("Session ended"),
    "session.reused": _("Spent refresh token used again"),
    "sessions.ended": _("All sessions ended"),
    "password.changed": _("Password changed"),
    "password.reset": _("Password reset by email"),
    "password.reset_asked": _("Password reset asked for"),
    "second_factor.enrolled": _("Second factor added"),
    "second_factor.removed": _("Second factor removed"),
    "second_factor.recovery_codes_made": _("Recovery codes created"),
    "second_factor.used_recovery_code": _("Recovery code used"),
    "passkey.added": _("Passkey added"),
    "passkey.removed": _("Passkey removed"),
    # Members and keys.
    "member.created": _("Member added"),
    "member.invited": _("Member invited"),
    "member.changed": _("Member changed"),
    "member.role_changed": _("Role changed"),
    "member.deactivated": _("Member deactivated"),
    "member.activated": _("Member activated"),
    "member.password_set": _("Password set for a member"),
    "member.second_factor_reset": _("Second factor reset"),
    "api_key.created": _("API key created"),
    "api_key.rotated": _("API key's secret replaced"),
    "api_key.ended": _("API key revoked"),
    "api_key.signed_in": _("Token given to an API key"),
    "api_key.refused": _("API key refused"),
    # Sellers and credit.
    "seller.created": _("Seller added"),
    "seller.changed": _("Seller changed"),
    "seller.moved": _("Seller moved to another dealer"),
    "seller.password_reset": _("Seller's password set"),
    "credit_request.created": _("Credit requested"),
    "credit_request.slip_added": _("Slip added"),
    "credit_request.slip_replaced": _("Slip replaced"),
    "credit_request.first_approved": _("Credit request approved by the first of two"),
    "credit_request.approved": _("Credit request approved"),
    "credit_request.rejected": _("Credit request rejected"),
    "period.closed": _("Period closed"),
    "alert.threshold_changed": _("Alert threshold changed"),
    "alert.read": _("Alert marked as read"),
    "alert.settings_changed": _("Alert channels changed"),
    "alert.tested": _("Test alert sent"),
    "adjustment.asked": _("Adjustment requested"),
    "adjustment.approved": _("Adjustment approved"),
    "adjustment.rejected": _("Adjustment rejected"),
    "transfer.created": _("Credit transferred"),
    # Selling.
    "recharge.resolved": _("Final outcome recorded"),
    "claim.opened": _("Asked about a recharge that was not received"),
    "claim.replied": _("Seller wrote about a recharge that was not received"),
    "claim.answered": _("Question about a recharge answered"),
    "claim.closed": _("Question about a recharge closed"),
    "receipt.sent": _("Receipt sent by SMS"),
    "limits.set": _("Limits set"),
    "operator.added": _("Operator added"),
    "operator.changed": _("Operator changed"),
    "commission.set": _("Commission set"),
    "gateway.created": _("Gateway added"),
    "gateway.changed": _("Gateway changed"),
    "gateway.deleted": _("Gateway deleted"),
    "statement.made": _("Statement created"),
    "settings.changed": _("Settings changed"),
    "policy.changed": _("Rules for approvals changed"),
    # Data that leave.
    "webhook.created": _("Webhook added"),
    "webhook.changed": _("Webhook changed"),
    "webhook.deleted": _("Webhook deleted"),
    "webhook.secret_rotated": _("Webhook's secret replaced"),
    "webhook.resent": _("Delivery sent again"),
    "list.exported": _("List exported"),
    "ledger.exported": _("Ledger exported with its proof"),
}
"""What is done in an organization, and on the platform's host to its own people."""

PLATFORM_ACTS: dict[str, Promise] = {
    "provisioned": _("Provisioned"),
    "suspended": _("Suspended"),
    "activated": _("Activated"),
    "reconciled": _("Reconciled"),
    "exported": _("Exported"),
    "imported": _("Imported"),
    "deletion_planned": _("Deletion planned"),
    "deleted": _("Deleted"),
    "admin_site": _("Changed in the admin site"),
}
"""What is done to organizations."""
