"""Statements in a row."""

from typing import Any

from django.db import connection

from tenants.statements import statements_of


def run_script(script: str, arguments: Any = None) -> None:
    """Runs it on the organization's schema, one statement after the other: Citus takes no ALTER TABLE among others."""
    with connection.cursor() as cursor:
        for statement in statements_of(script):
            cursor.execute(statement, arguments)
