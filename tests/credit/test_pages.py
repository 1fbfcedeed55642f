"""Credit requests, sellers and the ledger, as pages: who sees what, what is no page, and what a page costs."""

import re
import uuid
from html import unescape
from urllib.parse import quote

import pytest

from credit import services
from credit.models import Seller
from shared.models import Membership
from tests.support.queries import queries_of
from tests.support.sheets import sheet_of
from tests.support.visitor import MARKUP, Visitor, shown, text_of
from tests.support.world import Organization, ask, give_credit, make_person, make_seller

# --- Who sees what ----------------------------------------------------------------------------------------------------

ADMIN, SELLER = "owner", "member"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/sellers", {ADMIN}),
        ("/sellers/new", {ADMIN}),
        ("/sellers/{seller}", {ADMIN}),
        ("/sellers/{seller}/rename", {ADMIN}),
        ("/sellers/{seller}/switch-off", {ADMIN}),
        ("/sellers/{seller}/switch-on", {ADMIN}),
        ("/sellers/{seller}/password", {ADMIN}),
        ("/credit-requests", {ADMIN, SELLER}),
        ("/credit-requests/new", {SELLER}),
        ("/credit-requests/{request}", {ADMIN, SELLER}),
        ("/credit-requests/{request}/approve", {ADMIN}),
        ("/credit-requests/{request}/reject", {ADMIN}),
        ("/api-keys", {ADMIN, SELLER}),
        ("/api-keys/new", {ADMIN, SELLER}),
        ("/ledger", {ADMIN, SELLER}),
        ("/ledger.csv", {ADMIN, SELLER}),
        ("/ledger.xlsx", {ADMIN, SELLER}),
    ],
)
def test_a_page_is_for_its_roles_and_its_organization_alone(
    acme: Organization, globex: Organization, path: str, allowed: set[str]
) -> None:
    address = path.format(seller=acme.member.id, request=ask(acme.member))
    for person in (acme.owner, acme.member):
        assert Visitor.signed_in(person).get(address).status == (200 if person.username in allowed else 404)
    anyone = Visitor(acme.anyone).get(address)
    assert (anyone.status, anyone.headers["Location"].partition("?")[0]) == (302, "/sign-in")
    if "{request}" in path:
        assert Visitor.signed_in(globex.owner).get(address).status == 404


def test_a_seller_sees_own_requests_and_entries_alone(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 1_234_567)
    give_credit(acme.row, acme.neighbour.id, 7_654_321)
    request = ask(acme.neighbour)
    visitor = Visitor.signed_in(acme.member)
    assert visitor.get(f"/credit-requests/{request}").status == 404
    for path in ("/credit-requests", "/ledger"):
        for query in ("", f"?seller={acme.neighbour.id}", f"?seller_id={acme.neighbour.id}"):
            page = shown(visitor.get(path + query))
            assert "1,234,567" in page
            assert "7,654,321" not in page
    for query in ("", f"?seller={acme.neighbour.id}", f"?seller_id={acme.neighbour.id}"):
        assert "7654321" not in text_of(visitor.get("/ledger.csv" + query))
        assert "7654321" not in str(sheet_of(visitor.get("/ledger.xlsx" + query)).rows)


# --- What is no page --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ledger", "/sellers", "/credit-requests"])
@pytest.mark.parametrize("cursor", ["", "abc", "%00", "%ED%A0%80", "c2VsbGVyPDA", "ZW50cnk8MQ", "x" * 3000, "۱"])
def test_a_made_up_cursor_is_refused(acme: Organization, path: str, cursor: str) -> None:
    answer = Visitor.signed_in(acme.owner).get(f"{path}?cursor={quote(cursor, safe='%')}")
    assert answer.status == 400
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("odd", ["0", "-1", "99999999999999999999", "x", "%00", "۱", "1.0"])
def test_an_odd_number_is_nobodys_page(acme: Organization, odd: str) -> None:
    for path in (f"/sellers/{odd}", f"/sellers/{odd}/password", f"/credit-requests/{odd}/approve"):
        assert Visitor.signed_in(acme.owner).get(path).status == 404


def test_long_lists_are_paged(acme: Organization) -> None:
    for number in range(30):
        make_seller(acme.row, f"shop {number}")
        ask(acme.member, 1000 + number)
    visitor = Visitor.signed_in(acme.owner)
    for path, first, last in (("/sellers", "shop 29", "shop 0"), ("/credit-requests?status=pending", "1,029", "1,000")):
        page = visitor.get(path)
        assert first in shown(page)
        assert last not in shown(page).split()
        older = re.search(r'rel="next" href="([^"]*)"', text_of(page))[1]
        page = visitor.get(path.partition("?")[0] + unescape(older))
        assert last in shown(page)
        assert first not in shown(page)
        newer = re.search(r'rel="prev" href="([^"]*)"', text_of(page))[1]
        assert first in shown(visitor.get(path.partition("?")[0] + unescape(newer)))


# --- What is stored is shown as text ----------------------------------------------------------------------------------


def test_markup_is_text_on_every_page(acme: Organization) -> None:
    with acme.context:
        Seller.objects.update(name=MARKUP)
    pending = ask(acme.member, note=MARKUP)
    rejected = ask(acme.member, note=MARKUP)
    give_credit(acme.row, acme.member.id, 5000)
    services.reject_credit_request(
        organization=acme.row, request_id=uuid.UUID(rejected), reason=MARKUP, decided_by=MARKUP, decided_by_id=1
    )
    seller = f"/sellers/{acme.member.id}"
    for path in (
        "/sellers",
        seller,
        f"{seller}/rename",
        f"{seller}/switch-off",
        f"{seller}/switch-on",
        f"{seller}/password",
        "/credit-requests",
        f"/credit-requests/{pending}",
        f"/credit-requests/{rejected}",
        f"/credit-requests/{pending}/approve",
        f"/credit-requests/{pending}/reject",
        "/ledger",
        "/today",
        f"/sellers?search={quote(MARKUP)}",
    ):
        for person in (acme.owner, acme.member):
            page = Visitor.signed_in(person).get(path)
            if page.status == 200:
                assert "<img src=x" not in text_of(page), path
                assert "alert(1)</script>" not in text_of(page), path
        assert MARKUP in unescape(text_of(Visitor.signed_in(acme.owner).get(path))), path


# --- What a page costs ------------------------------------------------------------------------------------------------


def test_each_page_costs_few_queries_however_much_it_shows(acme: Organization) -> None:
    for number in range(12):
        person = make_person(acme.row, f"seller{number}", is_seller=True)
        give_credit(acme.row, person.id, 50_000)
        with acme.context:
            request = services.create_credit_request(
                organization=acme.row, seller_id=person.id, idempotency_key="key", amount=5, note=""
            ).row
    assert Membership.objects.filter(organization_id=acme.row.pk).count() == 15
    owner, member = 3, 3  # the session and the account; of a seller the balance, of an admin whether it trains
    for person, path, count in (
        (acme.owner, "/credit-requests", owner + 1),
        (acme.owner, "/credit-requests?seller=seller3", owner + 2),  # the seller, the rows
        (acme.owner, f"/credit-requests/{request.pk}", owner + 6),  # it, its slip, account, sales, requests, entries
        (acme.owner, f"/credit-requests/{request.pk}/approve", owner + 3),
        (acme.owner, "/sellers", owner + 3),  # the rows, their usernames, what they owe
        (acme.owner, "/sellers?search=seller", owner + 4),
        (acme.owner, "/sellers/new", owner + 1),  # by what one may prove who one is
        (acme.owner, f"/sellers/{acme.member.id}", owner + 6),  # the seller, username, balance, owed, limits, entries
        (acme.owner, f"/sellers/{acme.member.id}/password", owner + 3),
        (acme.owner, "/ledger", owner + 1),
        (acme.owner, "/ledger?seller=seller3", owner + 2),
        (acme.member, "/credit-requests", member + 1),
        (acme.member, "/credit-requests/new", member + 1),  # who decides on it
        (acme.member, "/ledger", member + 1),
    ):
        found = queries_of(person, path)
        assert len(found) == count, (path, found)
