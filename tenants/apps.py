from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    default_auto_field = "django.db.models.BigAutoField"

    sql_functions = ("audit.sql", "order.sql", "former_slugs.sql")
    """Of sql/, what is installed in the public schema, in this order (tenants/functions.py)."""

    def ready(self) -> None:
        from tenants import checks  # noqa: F401 - registers them

    guarded_tables = ("tenants_formerslug",)
    append_only_tables = ("tenants_auditrecord",)
    """What the application's role reads alone, and what it adds to alone (tenants/working_role.py)."""
