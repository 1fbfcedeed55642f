"""What `manage.py check --deploy` says of the database."""

from typing import Any

from django.core.checks import CheckMessage, Warning, register
from django.db import DatabaseError, InterfaceError, connection

from tenants.working_role import GROUP, owns_the_tables


@register("recharge", deploy=True)
def two_roles(**_: Any) -> list[CheckMessage]:
    """Whether web processes could change how tables are made. Of a database that does not answer nothing is said."""
    try:
        is_owner = owns_the_tables()
    except (DatabaseError, InterfaceError):
        return []
    finally:
        connection.close()
    if not is_owner:
        return []
    return [
        Warning(
            "DATABASE_URL names the tables' owner: whoever takes over a web process could rewrite the past.",
            hint=f"manage.py grant_rights --create-role recharge_web makes another one, a member of {GROUP}. Then put "
            "that one into DATABASE_URL, and this one into OWNER_DATABASE_URL (see deploy/README.md).",
            id="recharge.W001",
        )
    ]
