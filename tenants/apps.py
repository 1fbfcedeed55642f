from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    default_auto_field = "django.db.models.BigAutoField"

    sql_functions = ("audit.sql", "former_slugs.sql")
    """Of sql/, what is installed in the public schema, in this order (tenants/functions.py)."""
