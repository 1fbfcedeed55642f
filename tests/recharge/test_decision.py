"""A sale is decided by one SQL function, recharge_decide; whoever asks is told the same."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
from django.db import connection, transaction

from credit.models import Seller
from credit.services import Written
from recharge.delivery.settlement import settle_recharge
from recharge.limits.services import Limits, set_limits
from recharge.models import OperatorSettings, Recharge, Settings
from recharge.selling.queries import prospects_of
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge, sell_recharges
from tenants.errors import OrganizationSuspended
from tests.support.bad_input import table
from tests.support.locks import holding_lock, sell_pending
from tests.support.tables import nothing_written
from tests.support.world import Organization, Person, give_credit

NO, YES, UNKNOWN = "false", "true", "NULL"

# What recharge_decide is told: what refuses a sale, and as what. The first that does is the outcome.
FACTS = (
    {YES: "replayed", NO: "key_reused", UNKNOWN: ""},  # the content is that of the recharge with the key
    {YES: "organization_suspended", UNKNOWN: "organization_suspended", NO: ""},
    {NO: "seller_inactive", UNKNOWN: "seller_inactive", YES: ""},
    {"'operator_not_sold'": "operator_not_sold", "'unknown_operator'": "unknown_operator", UNKNOWN: ""},
    {NO: "amount_not_sold", UNKNOWN: "amount_not_sold", YES: ""},
    {YES: "seller_owes", UNKNOWN: "seller_owes", NO: ""},
    {NO: "limit_exceeded", UNKNOWN: "limit_exceeded", YES: ""},
    {YES: "possible_duplicate", UNKNOWN: "possible_duplicate", NO: ""},
    {NO: "insufficient_credit", UNKNOWN: "insufficient_credit", YES: ""},
)


def test_of_several_reasons_the_first_is_told_and_what_is_not_known_refuses(acme: Organization) -> None:
    cases = list(product(*FACTS))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {acme.row.schema_name}.recharge_decide(a, b, c, d, e, h, i,"
            " p_is_owing => f, p_is_within_limits => g) FROM (VALUES "
            + ", ".join(f"({number}, {', '.join(case)})" for number, case in enumerate(cases))
            + ") AS given (number, a, b, c, d, e, f, g, h, i) ORDER BY number"
        )
        outcomes = [outcome for (outcome,) in cursor.fetchall()]
    expected = [
        next((fact[told] for fact, told in zip(FACTS, case, strict=True) if fact[told]), "created") for case in cases
    ]
    assert outcomes == expected
    assert expected.count("created") == 1


def test_bodies_of_the_release_before_are_told_as_before(acme: Organization) -> None:
    """They tell it by place, up to whether access is over, and know of no limits."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {acme.row.schema_name}.recharge_decide(NULL, false, true, NULL, true, a, b, c) FROM (VALUES"
            " (1, false, true, false), (2, true, true, false), (3, false, false, false), (4, false, true, true)"
            ") AS given (number, a, b, c) ORDER BY number"
        )
        outcomes = [outcome for (outcome,) in cursor.fetchall()]
    assert outcomes == ["created", "possible_duplicate", "insufficient_credit", "access_over"]


NEW = Item("+989121234567", "mci", 2000, "new")


@dataclass
class Sending:
    """A sale that is still being put together; at first there is nothing wrong with it."""

    acme: Organization
    item: Item = NEW
    suspended: bool = False


def with_a_key_of_this(sending: Sending) -> None:
    sending.item = replace(sending.item, idempotency_key="used", amount=8000)


def with_a_key_of_something_else(sending: Sending) -> None:
    sending.item = replace(sending.item, idempotency_key="used")


def of_a_suspended_organization(sending: Sending) -> None:
    sending.suspended = True


def by_a_seller_who_is_switched_off(sending: Sending) -> None:
    Seller.objects.filter(pk=sending.acme.member.id).update(is_active=False)


def of_an_unknown_operator(sending: Sending) -> None:
    sending.item = replace(sending.item, operator="shatel")


def of_an_operator_that_is_not_sold(sending: Sending) -> None:
    Settings.objects.filter(pk=1).update(training=False)


def of_an_amount_that_is_not_sold(sending: Sending) -> None:
    OperatorSettings.objects.create(operator="mci", amounts=[8000])


def by_a_seller_who_owes(sending: Sending) -> None:
    """And the organization sells nothing to who does."""
    row, seller_id = sending.acme.row, sending.acme.member.id
    pending = sell_pending(row, seller_id, 2000)
    settle_recharge(organization=row, recharge_id=pending, status=Recharge.Status.FAILED, failure="no such number")
    sell_pending(row, seller_id, 2000)  # what was given back is spent
    settle_recharge(organization=row, recharge_id=pending, status=Recharge.Status.SUCCEEDED)
    Settings.objects.filter(pk=1).update(refuses_owing=True)


def beyond_a_limit(sending: Sending) -> None:
    limits = Limits(seller_id=None, per_sale=1999)
    set_limits(organization=sending.acme.row, by="owner", limits=limits)


def of_what_was_sold_a_moment_ago(sending: Sending) -> None:
    sending.item = replace(sending.item, amount=8000)


def that_the_credit_does_not_bear(sending: Sending) -> None:
    sending.item = replace(sending.item, amount=8000 if sending.item.amount == 8000 else 2001)


Fault = Callable[[Sending], None]
OF_A_DUPLICATE: tuple[Fault, ...] = (of_what_was_sold_a_moment_ago, that_the_credit_does_not_bear)
OF_AN_OPERATOR: tuple[Fault, ...] = (of_an_operator_that_is_not_sold, *OF_A_DUPLICATE)
OF_A_SELLER: tuple[Fault, ...] = (by_a_seller_who_is_switched_off, *OF_AN_OPERATOR)


@pytest.fixture
def seller(acme: Organization) -> Person:
    """A seller of 2,000 Tomans who has sold one recharge of 8,000 with the key ``used``, where slips are guarded."""
    give_credit(acme.row, acme.member.id, 10_000)
    assert acme.member.sell(8000, key="used").status == 201
    with acme.context:
        Settings.objects.update_or_create(pk=1, defaults={"duplicate_window": 600})
    return acme.member


@pytest.mark.parametrize(
    ("faults", "outcome"),
    table(
        ("replayed", (with_a_key_of_this, of_a_suspended_organization, *OF_A_SELLER), "replayed"),
        ("key reused", (with_a_key_of_something_else, of_a_suspended_organization, *OF_A_SELLER[:2]), "key_reused"),
        ("suspended", (of_a_suspended_organization, *OF_A_SELLER), "organization_suspended"),
        ("switched off", OF_A_SELLER, "seller_inactive"),
        ("operator not sold", OF_AN_OPERATOR, "operator_not_sold"),
        ("unknown operator", (of_an_unknown_operator, *OF_AN_OPERATOR), "unknown_operator"),
        ("amount", (of_an_amount_that_is_not_sold, beyond_a_limit, that_the_credit_does_not_bear), "amount_not_sold"),
        ("owing", (by_a_seller_who_owes, beyond_a_limit, that_the_credit_does_not_bear), "seller_owes"),
        ("limit", (beyond_a_limit, *OF_A_DUPLICATE), "limit_exceeded"),
        ("duplicate", OF_A_DUPLICATE, "possible_duplicate"),
        ("credit", (that_the_credit_does_not_bear,), "insufficient_credit"),
    ),
)
def test_the_single_sale_the_bulk_sale_and_who_only_looks_are_told_the_same(
    seller: Person, acme: Organization, faults: tuple[Fault, ...], outcome: str
) -> None:
    sending = Sending(acme)
    with acme.context:
        for fault in faults:
            fault(sending)
        item = sending.item
        given = [item.idempotency_key, item.phone_number, item.operator, item.amount, item.allow_duplicate]
        who = [acme.row.pk, seller.id]
        with nothing_written(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT outcome FROM recharge_sell(%s, %s, %s, %s, %s, %s, %s, 0, %s)",
                [*who, *given, sending.suspended],
            )
            single = [one for (one,) in cursor.fetchall()]
            cursor.execute(
                "SELECT outcome FROM recharge_sell_bulk(%s, %s, %s, %s, %s, %s, %s, false, false, 0, NULL, %s)",
                [*who, *([one] for one in given), sending.suspended],
            )
            bulk = [one for (one,) in cursor.fetchall()]
            looked = (
                [] if sending.suspended else [one.outcome for one in prospects_of(seller_id=seller.id, items=[item])]
            )
    assert single == [outcome]
    # Who is switched off or suspended, and has sold nothing of it before, gets no rows.
    is_silent = outcome in ("seller_inactive", "organization_suspended") or (
        sending.suspended and outcome == "key_reused"
    )
    assert bulk == ([] if is_silent else [outcome])
    assert looked == ([] if sending.suspended else [outcome])


def test_who_only_looks_takes_no_lock_and_writes_nothing(seller: Person, acme: Organization) -> None:
    with holding_lock(acme.row, seller.id), acme.context, transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute("SET LOCAL lock_timeout = '1s'")
        (prospect,) = prospects_of(seller_id=seller.id, items=[Item("+989127654321", "mci", 2000)])
    assert prospect.outcome == "created"


def test_a_suspended_organization_sells_nothing_new_alone_or_in_bulk(seller: Person, acme: Organization) -> None:
    row = copy(acme.row)
    row.status = row.Status.SUSPENDED
    who: dict[str, Any] = {"organization": row, "seller_id": seller.id}
    used = replace(NEW, idempotency_key="used", amount=8000)
    with nothing_written(), acme.context:
        assert sell_recharge(**who, item=used).is_replay
        with pytest.raises(OrganizationSuspended):
            sell_recharge(**who, item=NEW)
        some = sell_recharges(**who, items=[used, NEW], atomic=False).results
        assert [type(one) for one in some] == [Written, OrganizationSuspended]
        for items, atomic in (([NEW], False), ([used, NEW], True), ([], False)):
            with pytest.raises(OrganizationSuspended):
                sell_recharges(**who, items=items, atomic=atomic)
        with pytest.raises(OrganizationSuspended):
            sell_recharges(**who, items=[used], atomic=True, others_refused=True)
        assert sell_recharges(**who, items=[used], atomic=True).balance == 2000
