from django.apps import AppConfig


class RechargeConfig(AppConfig):
    name = "recharge"
    default_auto_field = "django.db.models.BigAutoField"

    sql_functions = ("recharges.sql", "bulk.sql", "delivery.sql", "evidence.sql")
    """Of sql/, what is installed in each organization's schema, in this order (tenants/functions.py)."""

    guarded_tables = ("recharge_recharge", "recharge_attempt", "recharge_transition")
    """What the application's role reads alone (tenants/working_role.py)."""
