"""Reads of claims. They run on the organization's schema."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from credit.models import Adjustment
from recharge.models import Claim, ClaimMessage, Recharge
from shared.errors import NotFound
from shared.pagination import Page, sorted_page

MOST_WAITING = 100
"""Claims that are counted."""


def claims(*, seller_id: int | None = None, state: str | None = None) -> QuerySet[Claim]:
    """Claims of one seller or of all, with their recharges."""
    rows = Claim.objects.select_related("recharge", "seller")
    if seller_id is not None:
        rows = rows.filter(seller_id=seller_id)
    return rows if state is None else rows.filter(state=state)


def queue(*, limit: int, cursor: str | None = None) -> Page[Claim]:
    """One page of what is open, of all sellers, the oldest deadline first.

    Raises:
        InvalidRequest: the cursor is not one of the queue.
    """
    return sorted_page(claims(state=Claim.State.OPEN), field="deadline", descending=False, limit=limit, cursor=cursor)


def is_overdue(claim: Claim) -> bool:
    """Whether it is open after its deadline."""
    return claim.state == Claim.State.OPEN and claim.deadline < timezone.now()


def claims_waiting() -> int:
    """How many are open, of all sellers; up to MOST_WAITING."""
    return claims_open()[:MOST_WAITING].count()


def claims_open() -> QuerySet[Claim]:
    """Those of all sellers that wait for an answer, the oldest deadline first."""
    return Claim.objects.filter(state=Claim.State.OPEN).order_by("deadline", "pk")


def answers_unseen(seller_id: int) -> int:
    """How many of a seller's claims were answered or closed since he has looked at them; up to MOST_WAITING."""
    return claims_unseen(seller_id)[:MOST_WAITING].count()


def claims_unseen(seller_id: int) -> QuerySet[Claim]:
    """Those of a seller that were answered or closed since he has looked at them."""
    return Claim.objects.filter(seller_id=seller_id, answered_at__isnull=False, seen_at__isnull=True)


def claim_by_id(claim_id: UUID, *, seller_id: int | None) -> Claim:
    """One claim; with ``seller_id``, only if it is that seller's.

    Raises:
        NotFound: there is none, or it is another's; which of the two is not told.
    """
    claim = claims(seller_id=seller_id).filter(pk=claim_id).first()
    if claim is None:
        raise NotFound("There is no such claim.")
    return claim


def claims_of(recharge_id: UUID) -> list[Claim]:
    """Those of one recharge, the newest first."""
    return list(Claim.objects.filter(recharge_id=recharge_id).order_by("-pk"))


def messages_of(claim: Claim) -> list[ClaimMessage]:
    """What was said since it was made, in order."""
    return list(ClaimMessage.objects.filter(claim_id=claim.pk).order_by("pk"))


MOST_ADJUSTMENTS = 50


def adjustments_that_refund(recharge: Recharge) -> list[Adjustment]:
    """What a claim of this recharge may be closed with as refunded, newest first: see claim_close in
    sql/claims.sql."""
    rows = Adjustment.objects.filter(
        seller_id=recharge.seller_id,
        status=Adjustment.Status.APPROVED,
        created_at__gt=recharge.created_at,
        amount__gte=1,
        amount__lte=recharge.amount,
    ).exclude(pk__in=Claim.objects.filter(adjustment__isnull=False).values("adjustment_id"))
    return list(rows.order_by("-pk")[:MOST_ADJUSTMENTS])


@dataclass(frozen=True, slots=True)
class RefundedTwice:
    """What gave a recharge back before its operator did."""

    adjustment: Adjustment
    """The first refund, which a claim names."""
    taken_back: list[Adjustment]
    """Those that name the recharge and take it back, also those that still wait for approval."""

    @property
    def left(self) -> int:
        """Tomans of the first refund that nobody has begun to take back."""
        return max(0, self.adjustment.amount + sum(one.amount for one in self.taken_back))


def refunded_twice(recharge: Recharge) -> RefundedTwice | None:
    """Whether an adjustment gave a recharge back that has failed since: see claim_refunded_twice in sql/claims.sql."""
    if recharge.status != Recharge.Status.FAILED:
        return None
    claims = Claim.objects.filter(recharge_id=recharge.pk, adjustment__isnull=False)
    claim = claims.select_related("adjustment").first()
    if claim is None or claim.adjustment is None:
        return None
    named = Adjustment.objects.filter(seller_id=recharge.seller_id, amount__lt=0, reference=str(recharge.pk))
    taken_back = named.exclude(status=Adjustment.Status.REJECTED).order_by("pk")
    return RefundedTwice(claim.adjustment, list(taken_back))
