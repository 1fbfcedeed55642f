"""Lets go of rows that are old enough, some at a time (kinds.py says of which, sql/retention.sql how). It runs on the
organization's schema; how far it is stands in the table, so whoever is cut off goes on from there."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from recharge.models import LettingGo
from recharge.retention.kinds import Kind
from recharge.terms.queries import settings
from shared.database import call_function
from tenants.models import Organization

BATCH = 200
"""Rows that are looked at in one transaction, which is part of an organization's turn at a worker. (Batches of 500 took
45 ms each, the commit with them, on a machine of 2 cores with a load of 16.)"""

BATCH_DRY = 20_000
"""The same where rows are only counted."""

ANEW_AFTER = timedelta(days=7)
"""After which it begins with the first row again: what was passed over (still pending, held by somebody) may go now."""


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one batch."""

    gone: int
    is_last: bool
    """Whether nothing more is old enough, or somebody else is at it."""


def let_go(*, organization: Organization, kind: Kind, batch: int = BATCH) -> Step:
    """Lets go of one batch of a kind. Of two who call this at once, one finds nothing to do.

    Raises:
        SellerBusy: a lock was not granted in time; nothing was done.
    """
    kept = kind.kept_for(settings())
    if kept is None:
        return Step(0, is_last=True)
    now = timezone.now()
    LettingGo.objects.get_or_create(kind=kind.name, defaults={"began_at": now})
    with transaction.atomic():
        at = LettingGo.objects.select_for_update(skip_locked=True).filter(kind=kind.name).first()
        if at is None:
            return Step(0, is_last=True)
        if at.began_at < now - ANEW_AFTER:
            at.position, at.began_at = "", now
        looked, gone, last = _call(organization, kind, kept, at.position, batch, is_dry=False)
        if looked:
            at.position = last
        if gone:
            at.gone, at.gone_at = at.gone + gone, now
        at.save()
    return Step(gone, is_last=looked < batch)


def let_go_of_all(*, organization: Organization, kind: Kind) -> Iterator[int]:
    """Lets go of all of a kind that is old enough, from the first row on, and gives how many went with each batch."""
    LettingGo.objects.filter(kind=kind.name).update(position="", began_at=timezone.now())
    is_last = False
    while not is_last:
        step = let_go(organization=organization, kind=kind)
        is_last = step.is_last
        yield step.gone


def count_what_would_go(*, organization: Organization, kind: Kind) -> int:
    """How many of a kind are old enough now. Nothing is changed."""
    kept = kind.kept_for(settings())
    if kept is None:
        return 0
    total, position, looked = 0, "", BATCH_DRY
    while looked == BATCH_DRY:
        looked, gone, position = _call(organization, kind, kept, position, BATCH_DRY, is_dry=True)
        total += gone
    return total


def _call(
    organization: Organization, kind: Kind, kept: timedelta, after: str, batch: int, *, is_dry: bool
) -> tuple[int, int, str]:
    columns = "looked, gone, last"
    arguments = [timezone.now() - kept, after, batch, is_dry]
    looked, gone, last = call_function(organization.schema_name, kind.function, columns, arguments)
    return looked, gone, last
