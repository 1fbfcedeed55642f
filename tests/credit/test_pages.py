"""Credit requests, sellers and the ledger, as pages."""

import pytest

from tests.visitor import Visitor
from tests.world import Organization, give_credit


@pytest.mark.parametrize(
    "path",
    [
        "/credit-requests",
        "/sellers",
        "/sellers/new",
        "/ledger",
        "/today",
        "/ledger.xlsx",
        "/ledger.csv",
        "/sellers/1",
        "/sellers/1/rename",
        "/sellers/1/switch-off",
        "/sellers/1/password",
    ],
)
def test_walk(acme: Organization, path) -> None:
    give_credit(acme.row, acme.member.id, 1_000_000)
    acme.member.sell()
    acme.member.client.post("/credit-requests", {"amount": 50_000}, key="a")
    assert Visitor.signed_in(acme.owner).get(path).status == 200


@pytest.mark.parametrize("path", ["/credit-requests", "/credit-requests/new", "/ledger", "/ledger.xlsx", "/ledger.csv"])
def test_walk_seller(acme: Organization, path) -> None:
    give_credit(acme.row, acme.member.id, 1_000_000)
    acme.member.sell()
    acme.member.client.post("/credit-requests", {"amount": 50_000}, key="a")
    assert Visitor.signed_in(acme.member).get(path).status == 200


def test_request(acme):
    got = acme.member.client.post("/credit-requests", {"amount": 50_000}, key="a").json["id"]
    o = Visitor.signed_in(acme.owner)
    for e in ("", "/approve", "/reject"):
        assert o.get(f"/credit-requests/{got}{e}").status == 200
    assert Visitor.signed_in(acme.member).get(f"/credit-requests/{got}").status == 200
    a = o.submit(f"/credit-requests/{got}/approve", {})
    assert a.status == 302
    print(o.get(a.headers["Location"]).body.decode())
