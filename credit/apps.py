from django.apps import AppConfig


class CreditConfig(AppConfig):
    name = "credit"
    default_auto_field = "django.db.models.BigAutoField"

    sql_functions = (
        "uuid7.sql",
        "order.sql",
        "audit.sql",
        "access.sql",
        "ledger.sql",
        "policy.sql",
        "webhooks.sql",
        "alerts.sql",
        "chain.sql",
        "credit_requests.sql",
        "slips.sql",
        "adjustments.sql",
        "dealers.sql",
        "transfers.sql",
        "foreign_keys.sql",
        "retention.sql",
    )
    """Of sql/, what is installed in each organization's schema, in this order (tenants/functions.py)."""

    guarded_tables = (
        "credit_account",
        "credit_entry",
        "credit_creditrequest",
        "credit_creditrequestslip",
        "credit_adjustment",
        "credit_transfer",
        "credit_accessepoch",
        "credit_auditrecord",
        "credit_chainroot",
    )
    """What the application's role reads alone (tenants/working_role.py)."""

    encrypted_columns = {
        "credit_webhookendpoint": ("secret", "previous_secret"),
        "credit_alertsettings": ("sms_secret",),
    }
    """Columns of what shared/outbound/secrets.py encrypts, several with spaces between (tenants/keeping)."""

    unmoved_tables = ("credit_accessepoch",)
    """What an organization leaves behind where it is moved to another installation: no token is good there."""
