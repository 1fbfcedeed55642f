"""Reads of commissions. They run on the organization's schema."""

from dataclasses import dataclass

from django.db.models import QuerySet

from recharge.models import CommissionRate


@dataclass(frozen=True, slots=True)
class Rate:
    """What a recharge earns: hundredths of a percent of its amount, or a fixed sum in Tomans; the other is None."""

    basis_points: int | None
    fixed: int | None


def rates_in_force(*, seller_id: int | None = None) -> QuerySet[CommissionRate]:
    """The rates of now; those that were set for one seller alone."""
    return all_rates(seller_id=seller_id).filter(valid_until__isnull=True)


def all_rates(*, seller_id: int | None = None) -> QuerySet[CommissionRate]:
    """The rates of now and those that have ended; those that were set for one seller alone."""
    rows = CommissionRate.objects.all()
    return rows if seller_id is None else rows.filter(seller_id=seller_id)
