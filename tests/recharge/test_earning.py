"""Whatever sellers sell, earn, give each other and owe, in whatever order: every Toman is where a model of some lines
says that it is.

    Σ balances = Σ credits ± adjustments − what was delivered + commissions + margins

The model does in plain Python what the SQL functions do; Hypothesis tells the stories, and shortens the one that goes
wrong.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django_tenants.utils import tenant_context
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from credit.adjustments import create_adjustment
from credit.errors import InsufficientCredit, NotATree
from credit.models import DEEPEST_TREE, Account, Policy
from credit.transfers import transfer_credit
from recharge.delivery.settlement import settle_recharge
from recharge.margins.services import post_margins
from recharge.models import Margin, Recharge
from recharge.reports.books import find_faults
from recharge.selling.errors import AlreadySettled, LimitExceeded
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge, sell_recharges
from shared.errors import InvalidRequest, NotFound, Problem
from tests.support.dealers import set_rate
from tests.support.locks import sell_pending, sell_through_sandbox
from tests.support.world import World, give_credit, make_seller, place

pytestmark = pytest.mark.slow

SELLERS = 6
CREDIT = 60_000
WHO = st.integers(0, SELLERS - 1)
AMOUNTS = st.sampled_from([1, 999, 5_000, 20_001, 40_000])
AT_ONCE, LATER = "mci", "telekish"
"""An operator that delivers at once (it has no gateway, and the organization trains), and one that has a gateway."""
OPERATORS = st.sampled_from([AT_ONCE, LATER])


@dataclass
class Sold:
    """A recharge as it should be."""

    seller: int
    amount: int
    commission: int
    path: list[tuple[int, int]]
    """The dealers when it was sold, the nearest first, and the commission that each would have had."""
    status: str
    is_due: bool
    late: str = ""
    margins: dict[int, int] = field(default_factory=dict)
    taken_back: set[int] = field(default_factory=set)

    @property
    def price(self) -> int:
        return self.amount - self.commission


class Business(RuleBasedStateMachine):
    """Some sellers, whose tree, rates and limits change while they sell."""

    world: World

    @initialize(rates=st.lists(st.integers(0, 5_000), min_size=SELLERS, max_size=SELLERS))
    def begin(self, rates: list[int]) -> None:
        """With a tree of four levels, rates that may be more below than above, and a sale of each."""
        self.row = self.world.acme.row
        with tenant_context(self.row), connection.cursor() as cursor:
            # What an earlier story has left: its rates, its limits, and what is still due in it.
            cursor.execute("SELECT seller_id, operator FROM recharge_commissionrate WHERE valid_until IS NULL")
            for rate in cursor.fetchall():
                cursor.execute("SELECT commission_set(%s, %s, NULL, NULL, '')", rate)
            cursor.execute("SELECT seller_id FROM recharge_limit")
            for limit in cursor.fetchall():
                cursor.execute("SELECT recharge_limits_set(%s, NULL, NULL, NULL, NULL, NULL, NULL)", limit)
            cursor.execute("SELECT uuid7_at(clock_timestamp())")
            (self.since,) = cursor.fetchone()
            # A zone in which it is about noon: no story is told across midnight.
            hours = datetime.now(UTC).hour - 12
            Policy.objects.update_or_create(id=1, defaults={"time_zone": f"Etc/GMT{hours:+d}"})
        self.ids = [make_seller(self.row, f"seller {number}", CREDIT).pk for number in range(SELLERS)]
        self.balances = [CREDIT] * SELLERS
        self.given = CREDIT * SELLERS
        self.parents: list[int | None] = [None] * SELLERS
        self.rates: dict[tuple[int | None, str], tuple[int | None, int | None]] = {}
        self.per_day: dict[int | None, int] = {}
        self.sold: dict[uuid.UUID, Sold] = {}
        for who, parent in ((1, 0), (2, 1), (3, 2), (4, 1)):
            self.move(who, parent)
        for who, basis_points in enumerate(rates):
            self.change_rate(who, "", (basis_points, None))
        for who in range(SELLERS):
            self.sell(who, 20_001, AT_ONCE)
        self.post(len(self.sold))

    # --- Selling ---

    @rule(who=WHO, amount=AMOUNTS, operator=OPERATORS)
    def sell(self, who: int, amount: int, operator: str) -> None:
        self._tells(who, amount, operator, lambda item: self._sell_one(who, item))

    def _sell_one(self, who: int, item: Item) -> Any:
        try:
            return sell_recharge(organization=self.row, seller_id=self.ids[who], item=item)
        except Problem as refusal:
            return refusal

    @rule(who=WHO, amounts=st.lists(AMOUNTS, min_size=1, max_size=4), operator=OPERATORS)
    def sell_many(self, who: int, amounts: list[int], operator: str) -> None:
        items = [self._item(amount, operator) for amount in amounts]
        results = sell_recharges(organization=self.row, seller_id=self.ids[who], items=items, atomic=False).results
        for amount, result in zip(amounts, results, strict=True):
            self._tells(who, amount, operator, lambda _item, result=result: result)

    def _item(self, amount: int, operator: str) -> Item:
        return Item("+989121234567", operator, amount, uuid.uuid4().hex)

    def _tells(self, who: int, amount: int, operator: str, sell: Callable[[Item], Any]) -> None:
        """What a sale should come to, and that it does."""
        answer = sell(self._item(amount, operator))
        limit = self.per_day.get(who, self.per_day.get(None))
        if limit is not None and self._sold_today(who) + amount > limit:
            assert isinstance(answer, LimitExceeded)
        elif amount > self.balances[who]:
            assert isinstance(answer, InsufficientCredit)
        else:
            assert not isinstance(answer, Problem), answer
            path = self._above(who)
            recharge = Sold(
                who,
                amount,
                self._commission(who, operator, amount),
                [(dealer, self._commission(dealer, operator, amount)) for dealer in path],
                "succeeded" if operator == AT_ONCE else "pending",
                is_due=operator == AT_ONCE and bool(path) and bool(self.rates),
            )
            assert answer.row.commission == recharge.commission
            self.balances[who] -= recharge.price
            self.sold[uuid.UUID(answer.row.id)] = recharge

    def _sold_today(self, who: int) -> int:
        return sum(one.amount for one in self.sold.values() if one.seller == who and one.status != "failed")

    def _above(self, who: int) -> list[int]:
        parent = self.parents[who]
        return [] if parent is None else [parent, *self._above(parent)]

    def _commission(self, who: int, operator: str, amount: int) -> int:
        for key in ((who, operator), (who, ""), (None, operator), (None, "")):
            if key in self.rates:
                basis_points, fixed = self.rates[key]
                return min(amount, fixed if basis_points is None else amount * basis_points // 10_000)  # type: ignore[type-var]
        return 0

    # --- What becomes of it ---

    @rule(data=st.data(), status=st.sampled_from(["succeeded", "failed", "failed", "unknown"]))
    def settle(self, data: st.DataObject, status: str) -> None:
        if self.sold:
            self._settle(data.draw(st.sampled_from(sorted(self.sold))), status)

    @rule(data=st.data(), status=st.sampled_from(["succeeded", "failed"]))
    def settle_what_came_late(self, data: st.DataObject, status: str) -> None:
        """What has failed was delivered after all, when its seller has spent the most; and the other way round."""
        late = [id_ for id_, one in sorted(self.sold.items()) if (one.status == "failed") == (status == "succeeded")]
        late = [id_ for id_ in late if self.sold[id_].status in ("failed", "succeeded")]
        if late:
            recharge_id = data.draw(st.sampled_from(late))
            who = self.sold[recharge_id].seller
            if status == "succeeded" and self.balances[who] > 1:
                self.sell(who, self.balances[who] - 1, AT_ONCE)
            self._settle(recharge_id, status)

    def _settle(self, recharge_id: uuid.UUID, status: str) -> None:
        one = self.sold[recharge_id]
        try:
            settle_recharge(
                organization=self.row,
                recharge_id=recharge_id,
                status=Recharge.Status(status),
                failure="barred" if status == "failed" else "",
            )
        except AlreadySettled:
            assert one.late == "reversed" or status == "unknown"
            return
        was, was_late = one.status, one.late
        if was == status and was_late != "owed":
            return
        if was in ("succeeded", "failed") and (status == "unknown" or was_late == "reversed"):
            return
        one.status, one.late = status, ""
        if was in ("pending", "unknown"):
            if status == "failed":
                self._comes(one.seller, one.price)
        elif status == "succeeded":
            if one.price <= self.balances[one.seller]:
                self.balances[one.seller] -= one.price
                one.late = "charged"
            else:
                one.late = "owed"
                one.is_due = one.is_due and was_late == "owed"
        elif was_late != "owed":
            one.late = "reversed"
            self._comes(one.seller, one.price)
        else:
            self._collect(one.seller)
        if one.late != "owed" and one.path and "succeeded" in (was, status):
            one.is_due = True

    def _comes(self, who: int, amount: int) -> None:
        """Something comes to a seller: what is owed is paid first."""
        self.balances[who] += amount
        self._collect(who)

    def _collect(self, who: int) -> None:
        for _, one in sorted(self.sold.items()):
            if one.seller == who and one.late == "owed":
                if one.price > self.balances[who]:
                    break
                self.balances[who] -= one.price
                one.late, one.is_due = "charged", bool(one.path)

    @rule(limit=st.sampled_from([1, 3, 20]))
    def post(self, limit: int) -> None:
        """A worker posts margins."""
        posted = post_margins(organization=self.row, limit=limit, after=self.since)
        chosen = [(id_, one) for id_, one in sorted(self.sold.items()) if one.is_due][:limit]
        assert posted.looked == len(chosen)
        for dealer in sorted({dealer for _, one in chosen for dealer, _ in one.path}, key=self.ids.__getitem__):
            earned = 0
            for _, one in chosen:
                margin = self._margin(one, dealer)
                if one.status == "succeeded" and margin and dealer not in one.margins:
                    one.margins[dealer] = margin
                    earned += margin
            if earned:
                self._comes(dealer, earned)
        undone = set()
        for dealer in sorted({dealer for _, one in chosen for dealer, _ in one.path}, key=self.ids.__getitem__):
            room, is_borne = self.balances[dealer], True
            for id_, one in chosen:
                if one.status == "failed" and dealer in one.margins and dealer not in one.taken_back:
                    room -= one.margins[dealer]
                    is_borne = is_borne and room >= 0
                    if is_borne:
                        self.balances[dealer] -= one.margins[dealer]
                        one.taken_back.add(dealer)
                    else:
                        undone.add(id_)
        for id_, one in chosen:
            one.is_due = id_ in undone

    def _margin(self, one: Sold, dealer: int) -> int:
        below = one.commission
        for above, commission in one.path:
            if above == dealer:
                return max(0, commission - below)
            below = max(below, commission)
        return 0

    # --- What else moves ---

    @rule(who=WHO, amount=AMOUNTS)
    def get_credit(self, who: int, amount: int) -> None:
        give_credit(self.row, self.ids[who], amount)
        self.given += amount
        self._comes(who, amount)

    @rule(who=WHO, amount=AMOUNTS, sign=st.sampled_from([1, -1]))
    def adjust(self, who: int, amount: int, sign: int) -> None:
        try:
            with tenant_context(self.row):
                create_adjustment(
                    organization=self.row,
                    seller_id=self.ids[who],
                    idempotency_key=uuid.uuid4().hex,
                    amount=sign * amount,
                    reason="counted again",
                    asked_by="owner",
                    asked_by_id=1,
                )
        except InsufficientCredit:
            assert sign == -1
            assert amount > self.balances[who]
            return
        self.given += sign * amount
        if sign > 0:
            self._comes(who, amount)
        else:
            self.balances[who] -= amount

    @rule(giver=WHO, receiver=WHO, amount=AMOUNTS)
    def transfer(self, giver: int, receiver: int, amount: int) -> None:
        """Between a dealer and a child of his; anybody else is a stranger."""
        is_related = self.parents[giver] == receiver or self.parents[receiver] == giver
        try:
            with tenant_context(self.row):
                transfer_credit(
                    organization=self.row,
                    giver_id=self.ids[giver],
                    receiver_id=self.ids[receiver],
                    idempotency_key=uuid.uuid4().hex,
                    amount=amount,
                )
        except (InvalidRequest, NotFound):
            assert not is_related
        except InsufficientCredit:
            assert amount > self.balances[giver]
        else:
            assert is_related
            self.balances[giver] -= amount
            self._comes(receiver, amount)

    # --- What changes without moving anything ---

    @rule(
        who=st.none() | WHO,
        operator=st.sampled_from(["", AT_ONCE, LATER]),
        rate=st.one_of(
            st.tuples(st.integers(0, 9_999), st.none()),
            st.tuples(st.none(), st.integers(0, 6_000)),
            st.just((None, None)),
        ),
    )
    def change_rate(self, who: int | None, operator: str, rate: tuple[int | None, int | None]) -> None:
        set_rate(self.row, None if who is None else self.ids[who], rate[0], operator=operator, fixed=rate[1])
        if rate == (None, None):
            self.rates.pop((who, operator), None)
        else:
            self.rates[who, operator] = rate

    @rule(who=WHO, parent=st.none() | WHO)
    def move(self, who: int, parent: int | None) -> None:
        above = [] if parent is None else [parent, *self._above(parent)]
        deepest = max(len(self._above(one)) for one in range(SELLERS) if one == who or who in self._above(one))
        levels = len(above) + 1 + deepest - len(self._above(who))
        try:
            place(self.row, self.ids[who], None if parent is None else self.ids[parent])
        except NotATree:
            assert who in above or levels > DEEPEST_TREE
            return
        assert who not in above
        assert levels <= DEEPEST_TREE
        self.parents[who] = parent

    @rule(who=st.none() | WHO, per_day=st.none() | st.sampled_from([45_000, 90_000]))
    def change_limit(self, who: int | None, per_day: int | None) -> None:
        with tenant_context(self.row), connection.cursor() as cursor:
            seller_id = None if who is None else self.ids[who]
            cursor.execute("SELECT recharge_limits_set(%s, NULL, %s, NULL, NULL, NULL, NULL)", [seller_id, per_day])
        self.per_day.pop(who, None)
        if per_day is not None:
            self.per_day[who] = per_day

    # --- What always holds ---

    @invariant()
    def everybody_has_what_he_should_have(self) -> None:
        with tenant_context(self.row):
            known = dict(Account.objects.filter(seller_id__in=self.ids).values_list("seller_id", "balance"))
        assert [known[seller_id] for seller_id in self.ids] == self.balances
        assert min(self.balances) >= 0

    @invariant()
    def nothing_is_lost_and_nothing_made(self) -> None:
        with tenant_context(self.row):
            there = list(Recharge.objects.filter(seller_id__in=self.ids))
            margins = list(Margin.objects.filter(seller_id__in=self.ids))
            total = sum(Account.objects.filter(seller_id__in=self.ids).values_list("balance", flat=True))
        paid = [one for one in there if one.status != "failed" and one.late != "owed"]
        earned = sum(one.amount for one in margins if one.back_batch_id is None)
        assert total == self.given - sum(one.amount for one in paid) + sum(one.commission for one in paid) + earned

    @invariant()
    def each_recharge_and_each_margin_is_what_it_should_be(self) -> None:
        with tenant_context(self.row):
            there = Recharge.objects.filter(seller_id__in=self.ids)
            known = {one.pk: (one.status, one.late, one.commission, one.margin_due) for one in there}
            margins: dict[uuid.UUID, dict[int, tuple[int, bool]]] = defaultdict(dict)
            for one in Margin.objects.filter(recharge__seller_id__in=self.ids):
                margins[one.recharge_id][self.ids.index(one.seller_id)] = one.amount, one.back_batch_id is not None
        assert known == {id_: (one.status, one.late, one.commission, one.is_due) for id_, one in self.sold.items()}
        assert margins == {
            id_: {dealer: (amount, dealer in one.taken_back) for dealer, amount in one.margins.items()}
            for id_, one in self.sold.items()
            if one.margins
        }

    @invariant()
    def nobody_owes_what_he_could_pay(self) -> None:
        for who in range(SELLERS):
            owed = [one for _, one in sorted(self.sold.items()) if one.seller == who and one.late == "owed"]
            assert not owed or owed[0].price > self.balances[who]

    @invariant()
    def the_books_are_right(self) -> None:
        with tenant_context(self.row):
            assert find_faults() == []


def test_what_is_owed_next_is_collected_when_what_was_owed_before_is_no_more(world: World) -> None:
    row, seller_id = world.acme.row, world.acme.member.id
    give_credit(row, seller_id, 50_000)
    large, small = (sell_pending(row, seller_id, amount) for amount in (40_000, 5_000))

    def settle(recharge_id: uuid.UUID, status: Recharge.Status) -> None:
        failure = "barred" if status == Recharge.Status.FAILED else ""
        settle_recharge(organization=row, recharge_id=recharge_id, status=status, failure=failure)

    for recharge_id in (large, small):
        settle(recharge_id, Recharge.Status.FAILED)
    assert world.acme.member.sell(47_000).status == 201
    for recharge_id in (large, small):
        settle(recharge_id, Recharge.Status.SUCCEEDED)
    give_credit(row, seller_id, 10_000)
    assert world.acme.member.balance() == 13_000  # the oldest first: the small one waits for the large one
    settle(large, Recharge.Status.FAILED)
    assert world.acme.member.balance() == 8_000


def test_stories_of_earning(world: World) -> None:
    sell_through_sandbox(world.acme.row, LATER)
    machine: Any = type("BusinessHere", (Business,), {"world": world})
    machine.TestCase.settings = settings(
        max_examples=15,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    machine.TestCase("runTest").runTest()
