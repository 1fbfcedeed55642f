"""Writes of commissions. They run on the organization's schema (``tenant_context``)."""

from typing import Any

import structlog

from recharge.commissions.errors import InvalidCommission
from recharge.models import CommissionRate
from recharge.operators import Operator
from recharge.selling.sale import UNKNOWN_OPERATOR
from recharge.terms.queries import added_operators
from shared.audit import record
from shared.database import call_function, in_transaction
from shared.errors import SellerBusy, Unavailable
from tenants.models import Organization

_log = structlog.get_logger("recharge.commissions")

MOST_BASIS_POINTS = 9999
"""Hundredths of a percent."""

_FIELDS = ("id", "seller_id", "operator", "basis_points", "fixed", "valid_from", "valid_until", "set_by", "ended_by")
_COLUMNS = "outcome, " + ", ".join(f"({row}).{name}" for row in ("before", "rate") for name in _FIELDS)


def set_commission(
    *,
    organization: Organization,
    by: str,
    seller_id: int | None = None,
    operator: str | None = None,
    basis_points: int | None = None,
    fixed: int | None = None,
) -> CommissionRate:
    """Settles what a recharge earns its seller, from now on: ``basis_points`` (hundredths of a percent of the amount, 0
    to 9,999) or a ``fixed`` sum in Tomans. Both None end the rate, and a less specific one is in force again.
    ``seller_id`` None: of all sellers; ``operator`` None: of all operators. ``by`` is the admin's username.

    What was sold keeps the rate that it was sold at. Gives the rate in force; one that has ended has no key.

    Raises:
        InvalidCommission: there is no such seller or operator, or both a rate and a sum are given.
        Unavailable: others were settling commissions for too long; nothing was done.
    """
    if basis_points is not None and fixed is not None:
        raise InvalidCommission.of_field("fixed", "rate_and_sum", "Give basis_points or fixed, not both.")
    if operator is not None and operator not in Operator and operator not in added_operators():
        raise InvalidCommission.of_field("operator", "invalid_choice", UNKNOWN_OPERATOR)
    arguments = [seller_id, operator or "", basis_points, fixed, by]

    def settle() -> tuple[str, CommissionRate]:
        outcome, *values = call_function(organization.schema_name, "commission_set", _COLUMNS, arguments)
        before, rate = (
            CommissionRate(**dict(zip(_FIELDS, row, strict=True)))
            for row in (values[: len(_FIELDS)], values[len(_FIELDS) :])
        )
        if outcome == "set":
            told = {"seller_id": seller_id, "operator": operator} | _told_of(rate)
            record("commission.set", _name_of(seller_id, operator), before=_told_of(before), after=told)
        return outcome, rate

    try:
        outcome, rate = in_transaction(settle)
    except SellerBusy:
        raise Unavailable("Others are settling commissions; nothing was done, try again.") from None
    if outcome == "no_seller":
        raise InvalidCommission.of_field("seller_id", "no_such_seller", "There is no such seller.")
    if rate.pk is None:
        rate.seller_id, rate.operator = seller_id, operator or ""
    if outcome == "set":
        _log.info(
            "commission_set",
            organization=organization.slug,
            by=by,
            seller_id=seller_id,
            operator=operator,
            basis_points=basis_points,
            fixed=fixed,
        )
    return rate


def _told_of(rate: CommissionRate) -> dict[str, Any]:
    return {"basis_points": rate.basis_points, "fixed": rate.fixed}


def _name_of(seller_id: int | None, operator: str | None) -> str:
    """Of what a rate is, as the audit table names it."""
    return " ".join(part for part in (f"seller {seller_id}" if seller_id else "", operator or "") if part) or "all"
