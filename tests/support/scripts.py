"""Statements in a row."""

from typing import Any

from django.db import connection

from tenants.statements import statements_of


def run_script(script: str, arguments: Any = None) -> list[tuple[Any, ...]]:
    """Runs it on the organization's schema, one statement after the other: Citus takes no ALTER TABLE among others.
    What the last one answers."""
    with connection.cursor() as cursor:
        for statement in statements_of(script):
            cursor.execute(statement, arguments)
        return cursor.fetchall() if cursor.description else []
