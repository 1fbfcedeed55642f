"""Selling one recharge on the pages: the form, a look, the sale, its outcome, its receipt."""

import uuid
from urllib.parse import urlencode

import pytest

from tests.visitor import Visitor
from tests.world import Organization, give_credit


@pytest.fixture
def seller(acme: Organization) -> Visitor:
    give_credit(acme.row, acme.member.id, 1_000_000)
    return Visitor.signed_in(acme.member)


def key() -> str:
    return uuid.uuid4().hex


def sale(**changes: str) -> dict[str, str]:
    return {"phone_number": "0912 123 4567", "amount": "50,000", "operator": "", "key": key(), **changes}


def looked_at(fields: dict[str, str]) -> str:
    return "/sell/confirm?" + urlencode(fields)


def test_smoke(seller: Visitor) -> None:
    for path in ("/sell", "/sell/number?phone_number=0912", "/bulk", "/api-access", "/sell/balance", looked_at(sale())):
        print(path)
        assert seller.get(path).status == 200
    fields = sale()
    answer = seller.submit(looked_at(fields), fields, to="/sell/confirm")
    assert answer.status == 303
    assert seller.get(answer.headers["Location"]).status == 200
    assert seller.get(answer.headers["Location"].replace("outcome", "receipt")).status == 200
    assert seller.submit("/bulk", {"text": "09121234567,50000\n0935,1"}).status == 200
