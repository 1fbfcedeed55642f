"""Posts the margins of dealers; sql/margins.sql has the rules."""

from dataclasses import dataclass
from uuid import UUID

from shared.database import call_function
from tenants.models import Organization

BATCH = 250
"""Recharges whose margins are posted in one transaction, at most. Their dealers are locked meanwhile."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What one transaction has done."""

    looked: int
    """Recharges that were due; fewer than were asked for: there are no more."""
    last: UUID | None
    """The newest of them; None: there were none."""
    done: int
    """Recharges that are finished. The others stay due: a dealer's balance does not bear what is to be taken back, or
    another worker has them."""
    batches: int


def post_margins(*, organization: Organization, limit: int = BATCH, after: UUID | None = None) -> Posted:
    """Posts the margins of up to ``limit`` recharges that are due, the oldest after ``after``, and takes back those of
    recharges that were taken back. Any number may do so at once.

    Raises:
        shared.errors.SellerBusy: a dealer's lock was not granted in time; nothing was done.
    """
    row = call_function(
        organization.schema_name, "margins_post", "looked, last, done, batches", [organization.pk, limit, after]
    )
    return Posted(*row)
