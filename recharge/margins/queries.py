"""Reads the batches in which dealers' margins were posted."""

from uuid import UUID

from django.db.models import QuerySet

from recharge.models import Margin, MarginBatch, Recharge
from shared.errors import NotFound


def margin_batch_by_id(batch_id: UUID, *, seller_id: int | None) -> MarginBatch:
    """A batch with its dealer; of this dealer, or (None) of any.

    Raises:
        NotFound: there is none, or it is another's.
    """
    rows = MarginBatch.objects.select_related("seller").filter(pk=batch_id)
    batch = (rows if seller_id is None else rows.filter(seller_id=seller_id)).first()
    if batch is None:
        raise NotFound("There is no such batch of margins.")
    return batch


def margins_of(batch: MarginBatch) -> QuerySet[Margin]:
    """The margins that it has posted, or taken back, each with its recharge and who sold that."""
    rows = Margin.objects.select_related("recharge__seller")
    return rows.filter(back_batch=batch) if batch.is_back else rows.filter(batch=batch)


def margins_are_due() -> bool:
    """Whether there is a recharge whose margins are still to be posted, or taken back."""
    return Recharge.objects.filter(margin_due=True).exists()
