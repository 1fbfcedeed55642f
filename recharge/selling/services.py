"""Selling recharges."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from credit.errors import InsufficientCredit
from credit.queries import seller_is_active
from credit.services import Written
from recharge.selling.combining import Combiner
from recharge.selling.errors import (
    AmountNotSold,
    LimitExceeded,
    NotSold,
    OperatorNotSold,
    PossibleDuplicate,
    SellerOwes,
)
from recharge.selling.queries import Sold, balance_of
from recharge.selling.sale import UNKNOWN_OPERATOR, Item
from shared import tracing
from shared.database import array_literal, call_for_each, call_set_function
from shared.errors import IdempotencyKeyReused, InvalidRequest, Problem, SellerInactive
from shared.identity.epochs import OF_COMMAND, Access
from shared.identity.queries import why_access_is_over
from shared.metrics import count_refusal, count_sale
from tenants.errors import OrganizationSuspended
from tenants.models import Organization
from tenants.wakeups import wake_workers

# Of what was sold, only what its seller does not know already: every column costs a sale its part in planning and
# reading the answer.
_TOLD_COLUMNS = [name for name in Sold._fields if name not in {"seller_id", "phone_number", "operator", "amount"}]
_ANSWER = "outcome, balance, is_due, passed, " + ", ".join(
    f"(sold).{name}" for name in ("id::text", *_TOLD_COLUMNS[1:])
)
_ANSWER_OF_BULK = f"balance_after_call, {_ANSWER}"


def sell_recharge(
    *,
    organization: Organization,
    seller_id: int,
    item: Item,
    guard: int = 0,
    access: Access = OF_COMMAND,
) -> Written[Sold]:
    """Sells one recharge: debits the seller and records it, both or neither; once per key.

    Within ``guard`` seconds of the same sale, or within the organization's own window where that is longer, it is
    refused as a possible duplicate. Whether it is sold is decided in SQL (recharge_decide). ``access`` is of whoever
    sells: the recharge keeps the user or the key.

    Raises:
        TokenInvalid, TokenExpired: the access was ended (see shared/identity/epochs.py); nothing is answered about the
            sale, whether it was made before or not.
        InsufficientCredit: the balance does not bear it; nothing was written, and the key may be used again.
        SellerInactive: the seller was switched off.
        OrganizationSuspended: it is; what was sold before is answered all the same, as for a seller switched off.
        IdempotencyKeyReused: the key was used for another number, operator or amount.
        InvalidRequest: there is no such operator, neither a built-in one nor one of the organization's.
        OperatorNotSold: no gateway delivers this operator's recharges, and the organization does not train.
        AmountNotSold: the organization does not sell this amount of this operator.
        PossibleDuplicate: the same was sold a moment ago, and the item does not say that it is meant.
        SellerOwes: the seller owes a late charge, and the organization sells nothing to who does.
        LimitExceeded: a limit of the seller or of the organization would be passed.
        SellerBusy: too much else was going on for this seller; nothing was written.
    """
    assert item.idempotency_key
    who = (organization.schema_name, organization.pk, seller_id)
    order = (item, guard, _is_suspended(organization), access)
    try:
        with tracing.step("sell_recharge"):
            if connection.in_atomic_block:  # the caller's transaction, which no other thread's sale may become part of
                (answer,) = _sell(who, [order])
            else:
                answer = _combined.carry_out(who, order)
            outcome, balance, is_due, passed, *values = answer
            if outcome in ("created", "replayed"):
                if is_due:
                    wake_workers(organization.pk)
                count_sale(outcome)
                tracing.sold(values[0], is_replay=outcome == "replayed")
                return _written(outcome, seller_id, item, values)
            if outcome == "access_over":
                raise why_access_is_over(access, organization_id=organization.pk)
            raise refusal_of(outcome, item, balance, passed)
    except Problem as refused:
        count_refusal(refused.code)
        raise


def refusal_of(outcome: str, item: Item, balance: int, passed: str | None) -> Problem:
    """Why an item was not sold, or would not be: recharge_decide's outcome, in words. ``balance`` is in Tomans;
    ``passed`` is the limit, where it is that, as JSON (recharge_limit_passed in sql/limits.sql)."""
    match outcome:
        case "insufficient_credit":
            return InsufficientCredit(balance=balance, required=item.amount)
        case "key_reused":
            return IdempotencyKeyReused()
        case "unknown_operator":
            return InvalidRequest.of_field("operator", "invalid_choice", UNKNOWN_OPERATOR)
        case "operator_not_sold":
            return OperatorNotSold(item.operator)
        case "amount_not_sold":
            return AmountNotSold(item.operator)
        case "seller_owes":
            return SellerOwes()
        case "limit_exceeded":
            assert passed is not None
            return LimitExceeded(**json.loads(passed))
        case "possible_duplicate":
            return PossibleDuplicate()
        case "seller_inactive":
            return SellerInactive()
        case "organization_suspended":
            return OrganizationSuspended()
        case "not_sold":
            return NotSold()
    raise AssertionError(outcome)


_Who = tuple[str, int, int]
"""A schema, its organization's id, a seller's id."""

_Order = tuple[Item, int, bool, Access]
"""What to sell, its guard, whether the organization is suspended, and who sells."""


def _is_suspended(organization: Organization) -> bool:
    return organization.status == Organization.Status.SUSPENDED


def _sell(who: _Who, orders: Sequence[_Order]) -> list[tuple[Any, ...]]:
    """What recharge_sell answers to each of the orders, one after the other in one transaction.

    For the few that meet (see combining.py) recharge_sell_bulk is no better: one hot seller sells 1,530 a second so,
    and 1,230 by that (tests/bench, table "shapes").
    """
    schema, organization_id, seller_id = who
    arguments = [
        [
            organization_id,
            seller_id,
            item.idempotency_key,
            item.phone_number,
            item.operator,
            item.amount,
            item.allow_duplicate,
            guard,
            is_suspended,
            access.user_id,
            access.key_id and str(access.key_id),
            access.subject,
            access.epoch,
        ]
        for item, guard, is_suspended, access in orders
    ]
    types = ("bigint", "uuid", "text", "bigint")
    return call_for_each(schema, "recharge_sell", _ANSWER, arguments, last_types=types)


_combined = Combiner(_sell, largest=20)


@dataclass(frozen=True, slots=True)
class BulkResult:
    """A bulk call's results in the order of its items (the recharge that each made or made before, or why it was
    refused), and the seller's balance (Tomans) after it."""

    results: list[Written[Sold] | Problem]
    balance: int


def sell_recharges(
    *,
    organization: Organization,
    seller_id: int,
    items: Sequence[Item],
    atomic: bool,
    others_refused: bool = False,
    guard: int = 0,
    own_keys: str | None = None,
    access: Access = OF_COMMAND,
) -> BulkResult:
    """Sells 1 to 1,000 recharges of one seller, each decided in the order given, all in one transaction.

    A refused item leaves nothing behind and does not keep the others from being sold, unless ``atomic``: then one
    refusal refuses all, and nothing is written. ``others_refused`` says that the call has items besides,
    which the caller refuses itself, so that an atomic one writes nothing, whatever these are. ``guard`` (seconds) is as
    for :func:`sell_recharge`, but what was sold with keys that begin with ``own_keys`` is no duplicate.

    Items that were sold before are replayed even if the seller was switched off or the organization suspended since;
    then the others are refused. ``access`` is as for :func:`sell_recharge`.

    Raises:
        TokenInvalid, TokenExpired: the access was ended; nothing was written.
        SellerInactive: the seller was switched off, and no item was sold before; nothing was written.
        OrganizationSuspended: it is, and no item was sold before; or not all of an atomic call, which so was not made.
        SellerBusy: too much else was going on for this seller, or in bulk for the organization, of which one call is at
            work at a time; nothing was written.
    """
    is_suspended = _is_suspended(organization)
    if not items:
        if is_suspended:
            raise OrganizationSuspended
        if not seller_is_active(seller_id):
            raise SellerInactive
        return BulkResult([], balance_of(seller_id).balance)
    with tracing.step("sell_recharges"):
        rows = call_set_function(
            organization.schema_name,
            "recharge_sell_bulk",
            _ANSWER_OF_BULK,
            [
                organization.pk,
                seller_id,
                array_literal([item.idempotency_key for item in items]),
                array_literal([item.phone_number for item in items]),
                array_literal([item.operator for item in items]),
                array_literal([str(item.amount) for item in items]),
                array_literal(["t" if item.allow_duplicate else "f" for item in items]),
                atomic,
                others_refused,
                guard,
                own_keys,
                is_suspended,
                access.user_id,
                access.key_id and str(access.key_id),
                access.subject,
                access.epoch,
            ],
        )
        if not rows:
            raise OrganizationSuspended if is_suspended else SellerInactive
        if rows[0][1] == "access_over":
            raise why_access_is_over(access, organization_id=organization.pk)
        results: list[Written[Sold] | Problem] = []
        counted: Counter[str] = Counter()
        for item, (_, outcome, balance, _, passed, *values) in zip(items, rows, strict=True):
            if outcome in ("created", "replayed"):
                results.append(_written(outcome, seller_id, item, values))
                counted[outcome] += 1
                tracing.sold(values[0], is_replay=outcome == "replayed")
            else:
                refused = refusal_of(outcome, item, balance, passed)
                results.append(refused)
                count_refusal(refused.code)
    for outcome, number in counted.items():
        count_sale(outcome, number)
    if any(is_due for _, _, _, is_due, *_ in rows):
        wake_workers(organization.pk)
    return BulkResult(results, balance=rows[0][0])


def _written(outcome: str, seller_id: int, item: Item, values: list[Any]) -> Written[Sold]:
    """Joins what the database says (``_TOLD_COLUMNS``) and what was asked for: a replay has the same content."""
    recharge_id, *others = values
    row = Sold(recharge_id, seller_id, item.phone_number, item.operator, item.amount, *others)
    return Written(row, is_replay=outcome == "replayed")
