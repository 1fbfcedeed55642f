"""What an organization's admins settle about how much may be sold. They run on the organization's schema."""

from dataclasses import dataclass

import structlog

from recharge.limits.errors import InvalidLimits
from recharge.limits.queries import LIMITS, Bounds
from shared.audit import record_change
from shared.database import call_function, in_transaction
from tenants.models import Organization

_log = structlog.get_logger("recharge.limits")

MOST_SALES = 1_000_000
"""The largest number of sales a day that can be a limit."""

_COLUMNS = ", ".join(["(settled).id", *(f"(before).{name}" for name in LIMITS)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Bounds):
    """The limits of a seller, or (``seller_id`` is None) of all."""

    seller_id: int | None


def set_limits(*, organization: Organization, by: str, limits: Limits) -> Limits:
    """Settles all limits of a seller or of all, in place of those that there were; from the next sale on. What was sold
    today before counts. ``by`` is the admin's username.

    Raises:
        InvalidLimits: the hours of sale don't end after they begin, or there is no such seller.
        SellerBusy: limits were being settled all the time; nothing was done.
    """
    if limits.from_hour is not None and limits.to_hour is not None and limits.from_hour >= limits.to_hour:
        raise InvalidLimits.of_field("to_hour", "hours_not_in_order", "This must be after from_hour, on the same day.")
    after = {name: getattr(limits, name) for name in LIMITS}

    def settle() -> None:
        settled_id, *before = call_function(
            organization.schema_name, "recharge_limits_set", _COLUMNS, [limits.seller_id, *after.values()]
        )
        if settled_id is None:
            raise InvalidLimits.of_field("seller_id", "no_such_seller", "There is no such seller.")
        whose = "" if limits.seller_id is None else str(limits.seller_id)
        record_change("limits.set", whose, before=dict(zip(LIMITS, before, strict=True)), after=after)

    in_transaction(settle)
    _log.info("limits_set", organization=organization.slug, by=by, seller=limits.seller_id, **after)
    return limits
