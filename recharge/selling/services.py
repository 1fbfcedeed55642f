"""Selling recharges."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from credit.errors import InsufficientCredit
from credit.queries import seller_is_active
from credit.services import Written
from recharge.selling.combining import Combiner
from recharge.selling.errors import (
    AmountNotSold,
    NotSold,
    OperatorNotSold,
    PossibleDuplicate,
)
from recharge.selling.queries import balance_of, recharges_by_key
from recharge.selling.sale import UNKNOWN_OPERATOR, Item
from shared.database import array_literal, call_for_each, call_set_function, lock_seller
from shared.errors import IdempotencyKeyReused, InvalidRequest, Problem, SellerInactive
from tenants.errors import OrganizationSuspended
from tenants.models import Organization
from tenants.wakeups import wake_workers

# Of what was sold, only what its seller does not know already: every column costs a sale its part in planning and
# reading the answer.
_NEWS = ("id::text", "status", "failure", "balance_after", "created_at", "completed_at", "late", "training")
_SOLD = "outcome, balance, is_due, " + ", ".join(f"(sold).{name}" for name in _NEWS)
_SOLD_IN_BULK = f"balance_after_call, {_SOLD}"


class Sold(NamedTuple):
    """A recharge as its sale (or the replay of it) answers it: what the API and the consoles show of one, without a
    model's row.

    A tuple, since a bulk call makes a thousand: 0.3 µs each where a :class:`Recharge` takes 7. The id is a text, which
    is what it is wanted as: making a UUID of it and a text again takes 1.7 µs. ``amount`` and ``balance_after`` are in
    Tomans.
    """

    id: str
    seller_id: int
    phone_number: str
    operator: str
    amount: int
    status: str
    failure: str
    balance_after: int
    created_at: datetime
    completed_at: datetime | None
    late: str
    training: bool


def sell_recharge(
    *,
    organization: Organization,
    seller_id: int,
    idempotency_key: str,
    phone_number: str,
    operator: str,
    amount: int,
    allow_duplicate: bool = False,
    guard: int = 0,
) -> Written[Sold]:
    """Sells one recharge of ``amount`` Tomans: debits the seller and records it, both or neither; once per key.

    ``phone_number`` is E.164. Within ``guard`` seconds of the same sale, or within the organization's own window where
    that is longer, it is refused as a possible duplicate.

    Raises:
        InsufficientCredit: the balance does not bear it; nothing was written, and the key may be used again.
        SellerInactive: the seller was switched off.
        OrganizationSuspended: it is; what was sold before is answered all the same, as for a seller switched off.
        IdempotencyKeyReused: the key was used for another number, operator or amount.
        InvalidRequest: there is no such operator, neither a built-in one nor one of the organization's.
        OperatorNotSold: no gateway delivers this operator's recharges, and the organization does not train.
        AmountNotSold: the organization does not sell this amount of this operator.
        PossibleDuplicate: the same was sold a moment ago, and ``allow_duplicate`` does not say that it is meant.
        SellerBusy: too much else was going on for this seller; nothing was written.
    """
    who = (organization.schema_name, organization.pk, seller_id)
    item = Item(phone_number, operator, amount, idempotency_key, allow_duplicate=allow_duplicate)
    if organization.status == Organization.Status.SUSPENDED:
        (before,) = _sold_before(organization, seller_id, [item])
        if isinstance(before, Problem):
            raise before
        return before
    if connection.in_atomic_block:  # the caller's transaction, which no other thread's sale may become part of
        (answer,) = _sell(who, [(item, guard)])
    else:
        answer = _combined.carry_out(who, (item, guard))
    outcome, balance, is_due, *values = answer
    if outcome in ("created", "replayed"):
        sold = Written(_sold(seller_id, item, values), is_replay=outcome == "replayed")
        if is_due:
            wake_workers(organization.pk)
        return sold
    raise _refusal(outcome, balance, item)


def refusal_of(outcome: str, operator: str) -> Problem:
    """Why nothing of an operator is sold at all (``recharge_terms.refusal``), in a sale and in what is said before."""
    if outcome == "unknown_operator":
        return InvalidRequest.of_field("operator", "invalid_choice", UNKNOWN_OPERATOR)
    assert outcome == "operator_not_sold", outcome
    return OperatorNotSold(operator)


def _refusal(outcome: str, balance: int, item: Item) -> Problem:
    match outcome:
        case "insufficient_credit":
            return InsufficientCredit(balance=balance, required=item.amount)
        case "key_reused":
            return IdempotencyKeyReused()
        case "unknown_operator" | "operator_not_sold":
            return refusal_of(outcome, item.operator)
        case "amount_not_sold":
            return AmountNotSold(item.operator)
        case "possible_duplicate":
            return PossibleDuplicate()
        case "seller_inactive":
            return SellerInactive()
        case "not_sold":
            return NotSold()
    raise AssertionError(outcome)


_Who = tuple[str, int, int]
"""A schema, its organization's id, a seller's id."""


def _sell(who: _Who, orders: Sequence[tuple[Item, int]]) -> list[tuple[Any, ...]]:
    """What recharge_sell answers to each of the items (and its guard), one after the other in one transaction.

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
        ]
        for item, guard in orders
    ]
    return call_for_each(schema, "recharge_sell", _SOLD, arguments)


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
) -> BulkResult:
    """Sells 1 to 1,000 recharges of one seller, each decided in the order given, all in one transaction.

    A refused item leaves nothing behind and does not keep the others from being sold, unless ``atomic``: then one
    refusal refuses all, and nothing is written. ``others_refused`` says that the call has items besides,
    which the caller refuses itself, so that an atomic one writes nothing, whatever these are. ``guard`` (seconds) is as
    for :func:`sell_recharge`, but what was sold with keys that begin with ``own_keys`` is no duplicate.

    Items that were sold before are replayed even if the seller was switched off or the organization suspended since;
    then the others are refused.

    Raises:
        SellerInactive: the seller was switched off, and no item was sold before; nothing was written.
        OrganizationSuspended: it is, and no item was sold before; or not all of an atomic call, which so was not made.
        SellerBusy: too much else was going on for this seller; nothing was written.
    """
    if organization.status == Organization.Status.SUSPENDED:
        before = _sold_before(organization, seller_id, items)
        replays = sum(isinstance(result, Written) for result in before)
        if replays == 0 or (atomic and (others_refused or replays < len(items))):
            raise OrganizationSuspended
        return BulkResult(before, balance_of(seller_id).balance)
    if not items:
        if not seller_is_active(seller_id):
            raise SellerInactive
        return BulkResult([], balance_of(seller_id).balance)
    rows = call_set_function(
        organization.schema_name,
        "recharge_sell_bulk",
        _SOLD_IN_BULK,
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
        ],
    )
    if not rows:
        raise SellerInactive
    results: list[Written[Sold] | Problem] = []
    for item, (_, outcome, balance, _, *values) in zip(items, rows, strict=True):
        if outcome in ("created", "replayed"):
            results.append(Written(_sold(seller_id, item, values), is_replay=outcome == "replayed"))
        else:
            results.append(_refusal(outcome, balance, item))
    if any(is_due for _, _, _, is_due, *_ in rows):
        wake_workers(organization.pk)
    return BulkResult(results, balance=rows[0][0])


def _sold_before(organization: Organization, seller_id: int, items: Sequence[Item]) -> list[Written[Sold] | Problem]:
    """What a suspended organization's seller is told of each item: what was sold with its key, and else that nothing is
    sold any more. It writes nothing."""
    with transaction.atomic():
        lock_seller(organization.pk, seller_id)  # a sale that was let in before the suspension has ended
        rows = recharges_by_key(seller_id=seller_id, keys=[item.idempotency_key for item in items])
    results: list[Written[Sold] | Problem] = []
    for item in items:
        row = rows.get(item.idempotency_key)
        if row is None:
            results.append(OrganizationSuspended())
        elif (row.phone_number, row.operator, row.amount) != (item.phone_number, item.operator, item.amount):
            results.append(IdempotencyKeyReused())
        else:
            values = [str(row.pk), *(getattr(row, name) for name in _NEWS[1:])]
            results.append(Written(_sold(seller_id, item, values), is_replay=True))
    return results


def _sold(seller_id: int, item: Item, values: list[Any]) -> Sold:
    """Of what the database says (``_NEWS``) and what was asked for: a replay has the item's content too."""
    recharge_id, *others = values
    return Sold(recharge_id, seller_id, item.phone_number, item.operator, item.amount, *others)
