from django.apps import AppConfig


class RechargeConfig(AppConfig):
    name = "recharge"
    default_auto_field = "django.db.models.BigAutoField"

    sql_functions = (
        "commissions.sql",
        "limits.sql",
        "recharges.sql",
        "bulk.sql",
        "owed.sql",
        "margins.sql",
        "periods.sql",
        "delivery.sql",
        "evidence.sql",
        "statements.sql",
        "claims.sql",
        "receipts.sql",
        "alerts.sql",
        "retention.sql",
        "figures.sql",
        "checkpoint.sql",
        "days.sql",
    )
    """Of sql/, what is installed in each organization's schema, in this order (tenants/functions.py)."""

    guarded_tables = (
        "recharge_recharge",
        "recharge_attempt",
        "recharge_transition",
        "recharge_commissionrate",
        "recharge_limit",
        "recharge_sellerday",
        "recharge_closedperiod",
        "recharge_margin",
        "recharge_marginbatch",
        "recharge_statement",
        "recharge_claim",
        "recharge_claimmessage",
        "recharge_sentreceipt",
        "recharge_checkpoint",
        "recharge_provedaccount",
        "recharge_summedday",
        "recharge_daysum",
        "recharge_dayposting",
    )
    """What the application's role reads alone (tenants/working_role.py)."""

    encrypted_columns = {"recharge_gatewaysettings": ("secret",)}
    """Columns of what shared/outbound/secrets.py encrypts (tenants/keeping)."""

    unmoved_tables = (
        "recharge_transition",
        "recharge_checkpoint",
        "recharge_provedaccount",
        "recharge_summedday",
        "recharge_daysum",
        "recharge_dayposting",
    )
    """What an organization leaves behind where it is moved to another installation: its migrations fill the first, and
    there everything is proved and summed up anew."""
