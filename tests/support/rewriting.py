"""Rewriting what was sold, as a test may and nobody else."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def rewriting_recharges() -> Iterator[None]:
    """In the organization's schema: what the database keeps of recharges may be changed in this block, in a transaction
    of its own."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE recharge_recharge DISABLE TRIGGER recharge_content")
        yield
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("ALTER TABLE recharge_recharge ENABLE TRIGGER recharge_content")
