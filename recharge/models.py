"""What an organization's schema stores of the recharges it sold."""

from django.db import models
from django.db.models import F, Q

from credit.models import Seller
from shared.money import LARGEST_AMOUNT


class Recharge(models.Model):
    """A recharge that a seller sold. It is written by the SQL functions in sql/recharges.sql, together with the entry
    that pays for it; this model is for reading."""

    class Status(models.TextChoices):
        PENDING = "pending"
        """Debited, not yet delivered."""
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        """Certainly not delivered, and refunded."""
        UNKNOWN = "unknown"
        """The gateway did not answer; debited until it is known."""

    id = models.UUIDField(primary_key=True, editable=False)
    """UUIDv7 of ``created_at``: sorts by time."""
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False)
    idempotency_key = models.CharField(max_length=255)
    phone_number = models.CharField(max_length=16)
    """E.164."""
    operator = models.CharField(max_length=20)
    amount = models.BigIntegerField()
    """Tomans."""
    status = models.CharField(max_length=9, choices=Status)
    failure = models.CharField(max_length=200, blank=True)
    balance_after = models.BigIntegerField()
    """The seller's balance when this was sold, in Tomans."""
    created_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["seller", "id"], name="recharge_seller"),
            models.Index(fields=["phone_number", "id"], name="recharge_phone"),
            # Everything but the many that succeeded: what is in flight (a balance asks for it), and what failed.
            models.Index(fields=["status", "id"], condition=~Q(status="succeeded"), name="recharge_status"),
            models.Index(
                fields=["seller", "status", "id"], condition=~Q(status="succeeded"), name="recharge_seller_status"
            ),
        ]
        constraints = [
            # The key first: an admin looks for one without knowing whose it is.
            models.UniqueConstraint(fields=["idempotency_key", "seller"], name="recharge_key"),
            models.CheckConstraint(condition=Q(amount__gte=1, amount__lte=LARGEST_AMOUNT), name="recharge_amount"),
            models.CheckConstraint(condition=Q(balance_after__gte=0), name="recharge_balance_not_negative"),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "unknown"], completed_at__isnull=True, failure="")
                | Q(status="succeeded", completed_at__gte=F("created_at"), failure="")
                | (Q(status="failed", completed_at__gte=F("created_at")) & ~Q(failure="")),
                name="recharge_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} Tomans, {self.status}"
