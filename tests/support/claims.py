"""Claims that were made earlier than they were: a deadline passes only by the clock."""

from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction

from recharge.models import Claim
from tests.support.earlier import earlier


def make_older(claim_id: UUID, *, hours: int) -> None:
    """As if it had been made that much earlier. It runs on the organization's schema."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE recharge_claim DISABLE TRIGGER recharge_claim_kept")
        by = timedelta(hours=hours)
        Claim.objects.filter(pk=claim_id).update(created_at=earlier("created_at", by), deadline=earlier("deadline", by))
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE recharge_claim ENABLE TRIGGER recharge_claim_kept")
