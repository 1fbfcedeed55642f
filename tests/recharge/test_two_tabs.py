"""The same in two windows: the consoles' guard against slips decides under the seller's lock, with the sale itself.

Each tab has looked before the other has sold, so that neither page could warn; what is sold is what one tab alone
would have sold, until somebody says that it is meant.
"""

import re
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from html import unescape
from urllib.parse import urlencode

import pytest

from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge, Settings
from tests.support.client import Answer
from tests.support.crowd import together
from tests.support.earlier import earlier
from tests.support.locks import advisory_locks, holding_lock
from tests.support.rewriting import rewriting_recharges
from tests.support.visitor import Visitor
from tests.support.waiting import wait_until
from tests.support.world import Organization, give_credit

ROWS = "\n".join(f"0912123{number:04},1000" for number in range(20))
NUMBER = "+989121230000"


@pytest.fixture
def seller(acme: Organization) -> Visitor:
    give_credit(acme.row, acme.member.id, 1_000_000)
    visitor = Visitor.signed_in(acme.member)
    visitor.get("/sell")  # whose cookies all tabs have
    return visitor


def tab_of(visitor: Visitor) -> Visitor:
    """Another window of the same browser."""
    tab = Visitor(visitor.client)
    tab.cookies = dict(visitor.cookies)
    return tab


def confirmed(tab: Visitor, **changes: str) -> Callable[[], Answer]:
    """The sale of a form that was looked at; sent when it is called."""
    sale = {"phone_number": NUMBER, "amount": "1000", "operator": "", "key": uuid.uuid4().hex, **changes}
    page = tab.get(f"/sell/confirm?{urlencode(sale)}").body.decode()
    assert "a moment ago" not in page
    return partial(tab.post, "/sell/confirm", _hidden(page, "/sell/confirm"))


def previewed(tab: Visitor, text: str = ROWS, **more: str) -> dict[str, str]:
    """The form of rows that were looked at."""
    page = tab.submit("/bulk", {"text": text, "batch": uuid.uuid4().hex, **more}).body.decode()
    return _hidden(page, "/bulk/sell")


def _hidden(page: str, action: str) -> dict[str, str]:
    form = re.search(rf'<form [^>]*action="{action}".*?</form>', page, re.DOTALL)
    assert form, page
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0])
    return {name: unescape(value) for name, value in found}


def figures(answer: Answer) -> dict[str, str]:
    return dict(re.findall(r"<dt>([^<]+)</dt><dd[^>]*>([^<]+)</dd>", answer.body.decode()))


def rows_sold(visitor: Visitor, form: dict[str, str]) -> Answer:
    """Sells the rows of a form, and goes where that leads: to what became of them."""
    answer = visitor.post("/bulk/sell", form)
    return visitor.get(answer.headers["Location"]) if answer.status == 303 else answer


def outcome(answer: Answer) -> tuple[int, int]:
    """How many rows were delivered, and how many were not sold; none, where all were refused at once."""
    found = figures(answer)
    return int(found.get("Delivered", found.get("Sold", ""))), int(found.get("Not sold", "0"))


def sold(acme: Organization) -> Counter[str]:
    with acme.context:
        return Counter(Recharge.objects.values_list("phone_number", flat=True))


def test_one_sale_sent_from_many_tabs_at_one_instant_is_sold_once(seller: Visitor, acme: Organization) -> None:
    """Whether they come to one process, where they are combined, or to several."""
    for round_ in range(4):
        number = f"+98912123000{round_}"
        sends = [confirmed(tab_of(seller), phone_number=number) for _ in range(6)]
        answers = together(sends)
        assert Counter(answer.status for answer in answers) == {303: 1, 422: 5}
        refused = next(answer for answer in answers if answer.status == 422).body.decode()
        assert "You sold the same amount to this number a moment ago" in refused
        assert _hidden(refused, "/sell/confirm")["allow_duplicate"] == "on"
        assert sold(acme)[number] == 1
    assert acme.member.balance() == 996_000


def test_two_tabs_that_wait_for_the_sellers_lock_sell_once(seller: Visitor, acme: Organization) -> None:
    """Both have looked, and neither has sold, whatever they look at before the lock."""
    sends = [confirmed(tab_of(seller)) for _ in range(2)]
    waiting = (acme.row.pk, acme.member.id, False)

    def let_go_when_somebody_waits() -> None:
        with holding_lock(acme.row, acme.member.id):
            wait_until(lambda: waiting in advisory_locks(), "a sale waits for the lock")

    answers = together([let_go_when_somebody_waits, *sends])[1:]
    assert sorted(answer.status for answer in answers) == [303, 422]
    assert sold(acme) == {NUMBER: 1}


def test_the_refused_tab_sells_it_if_it_is_meant(seller: Visitor, acme: Organization) -> None:
    first, second = confirmed(seller), confirmed(tab_of(seller))
    assert first().status == 303
    refused = second()
    assert refused.status == 422
    again = seller.post("/sell/confirm", _hidden(refused.body.decode(), "/sell/confirm"))
    assert again.status == 303
    assert sold(acme) == {NUMBER: 2}


@pytest.mark.parametrize("change", ["another number", "another amount", "it failed", "ten minutes later"])
def test_what_is_no_repetition_is_sold_from_both_tabs(seller: Visitor, acme: Organization, change: str) -> None:
    changes = {"another number": {"phone_number": "+989121239999"}, "another amount": {"amount": "1001"}}
    first, second = confirmed(seller), confirmed(tab_of(seller), **changes.get(change, {}))
    assert first().status == 303
    with acme.context:
        if change == "it failed":
            recharge = Recharge.objects.get().pk
            settle_recharge(organization=acme.row, recharge_id=recharge, status=Recharge.Status.FAILED, failure="x")
        if change == "ten minutes later":
            with rewriting_recharges():
                Recharge.objects.update(created_at=earlier("created_at", timedelta(minutes=11)))
    assert second().status == 303


def test_rows_that_were_looked_at_in_two_tabs_are_sold_once(seller: Visitor, acme: Organization) -> None:
    first, second = previewed(seller), previewed(tab_of(seller))
    assert outcome(rows_sold(seller, first)) == (20, 0)
    same = rows_sold(seller, second)
    assert outcome(same) == (0, 0)
    assert "The same rows were sold before. To sell them again, tick the box." in same.body.decode()
    refused = rows_sold(seller, _hidden(same.body.decode(), "/bulk/sell") | {"sold_before": "on"})
    assert outcome(refused) == (0, 20)
    assert "The same amount was sold to this number a moment ago." in refused.body.decode()
    assert set(sold(acme).values()) == {1}

    # The way to sell them all the same; once, however often it is sent.
    meant = _hidden(refused.body.decode(), "/bulk/sell")
    assert outcome(rows_sold(seller, meant)) == (20, 0)
    again = rows_sold(seller, meant)
    assert outcome(again) == (20, 0)
    assert "/bulk/sell" not in again.body.decode()
    assert set(sold(acme).values()) == {2}


def test_rows_sent_from_many_tabs_at_one_instant_are_sold_once(seller: Visitor, acme: Organization) -> None:
    forms = [previewed(tab_of(seller)) for _ in range(4)]
    answers = together([partial(rows_sold, tab_of(seller), form) for form in forms])
    # The others are told that the same rows were sold before, or of each row that it was.
    *others, most = sorted(outcome(answer) for answer in answers)
    assert (most, {delivered for delivered, _ in others}) == ((20, 0), {0})
    assert set(sold(acme).values()) == {1}
    assert acme.member.balance() == 980_000


def test_a_row_and_the_same_single_sale_are_sold_once(seller: Visitor, acme: Organization) -> None:
    single, rows = confirmed(seller), previewed(tab_of(seller), f"{NUMBER},1000\n09121239999,1000")
    assert single().status == 303
    assert outcome(rows_sold(seller, rows)) == (1, 1)
    assert sold(acme) == {NUMBER: 1, "+989121239999": 1}


def test_a_row_sold_by_a_program_meanwhile_is_not_sold_again(seller: Visitor, acme: Organization) -> None:
    rows, single = previewed(seller, f"{NUMBER},1000"), confirmed(tab_of(seller))
    assert acme.member.sell(1000, phone_number=NUMBER).status == 201
    assert outcome(rows_sold(seller, rows)) == (0, 1)
    assert single().status == 422
    assert acme.member.sell(1000, phone_number=NUMBER).status == 201  # a program has no guard but the organization's


def test_what_stands_in_one_file_twice_is_meant_also_in_another_part_of_it(seller: Visitor, acme: Organization) -> None:
    """250 rows are sold in three parts."""
    rows = previewed(seller, "\n".join([f"{NUMBER},1000"] * 250))
    assert outcome(rows_sold(seller, rows | {"equal_rows": "on"})) == (250, 0)
    assert sold(acme) == {NUMBER: 250}


def test_what_was_left_out_and_is_meant_is_sold_but_what_came_after_that_look_is_not(
    seller: Visitor, acme: Organization
) -> None:
    assert confirmed(seller)().status == 303
    meant = previewed(tab_of(seller), f"{NUMBER},1000\n09121239999,1000", again="on")
    assert confirmed(seller, phone_number="+989121239999")().status == 303
    assert outcome(rows_sold(seller, meant)) == (1, 1)
    assert sold(acme) == {NUMBER: 2, "+989121239999": 1}


def test_the_longer_of_both_windows_holds(seller: Visitor, acme: Organization) -> None:
    single, rows = confirmed(seller), previewed(seller, f"{NUMBER},1000")
    assert acme.member.sell(1000, phone_number=NUMBER).status == 201
    with acme.context:
        Settings.objects.create(pk=1, duplicate_window=3600)
        with rewriting_recharges():
            Recharge.objects.update(created_at=earlier("created_at", timedelta(minutes=11)))
    assert single().status == 422
    assert outcome(rows_sold(seller, rows)) == (0, 1)
    assert sold(acme) == {NUMBER: 1}


def test_a_batch_that_was_sold_says_so_although_its_amount_is_not_sold_any_more(
    seller: Visitor, acme: Organization
) -> None:
    form = previewed(seller, f"{NUMBER},1000")
    seller.post("/bulk/sell", form)
    assert acme.owner.client.patch("/operators/mci", {"amounts": [5000]}).status == 200
    page = seller.submit("/bulk", {"text": f"{NUMBER},1000\n09121239999,1000", "batch": form["batch"]})
    assert figures(page)["Sold already"] == "1"
    assert figures(page)["Rows with errors"] == "1"
