"""Credit requests, sellers and the ledger, as pages: who sees what, what a form does, and that it does it once."""

import io
import re
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from django.conf import settings
from django.test import Client as InProcess
from django.utils import timezone

from credit import queries, services
from credit.models import CreditRequest, Entry, Seller
from credit.seller_pages import MOST_BY_USERNAME
from recharge.services import resolve_recharge, settle_recharge
from shared import exports
from shared.models import Membership, User
from shared.times import moment_of
from tests.http import Answer
from tests.locks import sell_pending
from tests.queries import queries_of
from tests.visitor import Visitor, session_of
from tests.world import PASSWORD, Organization, Person, give_credit, make_person, make_seller

MARKUP = '"><script>alert(1)</script><img src=x>'
NEW_PASSWORD = "tall green lamp"


def text_of(answer: Answer) -> str:
    return answer.body.decode()


def shown(answer: Answer) -> str:
    """A page's words, as somebody reads them."""
    return words_of(text_of(answer).partition("<main")[2].partition("</main>")[0])


def words_of(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def ask(seller: Person, amount: int = 50_000, note: str = "") -> str:
    """A credit request of this seller; its id."""
    body = {"amount": amount, "note": note}
    return seller.client.post("/credit-requests", body, key=uuid.uuid4().hex).json["id"]


def row_of(organization: Organization, request_id: str) -> CreditRequest:
    with organization.context:
        return CreditRequest.objects.get(pk=request_id)


def hidden(answer: Answer, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text_of(answer))
    assert found
    return found[1]


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


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_a_seller_decides_nothing(acme: Organization, action: str) -> None:
    request = ask(acme.member)
    visitor = Visitor.signed_in(acme.member)
    sent = visitor.submit("/credit-requests/new", {"reason": "why not"}, to=f"/credit-requests/{request}/{action}")
    assert sent.status == 404
    assert row_of(acme, request).status == "pending"


def test_an_admin_decides_nothing_of_another_organization(acme: Organization, globex: Organization) -> None:
    request = ask(acme.member)
    visitor = Visitor.signed_in(globex.owner)
    assert visitor.submit("/sellers/new", {}, to=f"/credit-requests/{request}/approve").status == 404
    assert row_of(acme, request).status == "pending"


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


# --- Asking for credit ------------------------------------------------------------------------------------------------


def test_a_seller_asks_in_any_digits(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    answer = visitor.submit("/credit-requests/new", {"amount": "۲٬۵۰۰٬۰۰۰", "note": "برای عید"})
    assert (answer.status, answer.headers["Location"]) == (302, "/credit-requests")
    page = shown(visitor.get("/credit-requests"))
    assert "2,500,000 Waiting برای عید" in page
    assert "You have asked for credit" in page
    with acme.context:
        assert [(row.seller_id, row.amount) for row in CreditRequest.objects.all()] == [(acme.member.id, 2_500_000)]


@pytest.mark.parametrize("amount", ["", "0", "-5", "5.5", "1000000000001", "9" * 25, "²", "\x00", "12\ud800"])
def test_what_is_no_amount_is_refused_beside_its_field(acme: Organization, amount: str) -> None:
    visitor = Visitor.signed_in(acme.member)
    fields = {"amount": amount.encode("utf-8", "surrogatepass"), "note": "keep me"}
    answer = visitor.submit("/credit-requests/new", fields)  # type: ignore[arg-type]
    assert answer.status == 422
    assert 'aria-invalid="true"' in text_of(answer)
    assert "keep me" in text_of(answer)
    with acme.context:
        assert not CreditRequest.objects.exists()


@pytest.mark.parametrize("note", ["a\x00b", "x" * 501])
def test_what_is_no_note_is_refused(acme: Organization, note: str) -> None:
    answer = Visitor.signed_in(acme.member).submit("/credit-requests/new", {"amount": "5000", "note": note})
    assert answer.status == 422


def test_a_form_sent_twice_asks_once(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    form = visitor.get("/credit-requests/new")
    fields = {
        "csrfmiddlewaretoken": hidden(form, "csrfmiddlewaretoken"),
        "key": hidden(form, "key"),
        "amount": "5000",
        "note": "",
    }
    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(lambda _: visitor.post("/credit-requests/new", fields).status, range(4)))
    assert statuses == [302] * 4
    with acme.context:
        assert CreditRequest.objects.count() == 1


def test_a_form_sent_again_with_another_amount_says_so_and_can_then_be_sent(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    form = visitor.get("/credit-requests/new")
    fields = {"csrfmiddlewaretoken": hidden(form, "csrfmiddlewaretoken"), "key": hidden(form, "key"), "amount": "5000"}
    assert visitor.post("/credit-requests/new", fields).status == 302
    again = visitor.post("/credit-requests/new", fields | {"amount": "7000"})
    assert again.status == 422
    assert "sent before, with another amount" in shown(again)
    assert hidden(again, "key") != fields["key"]
    with acme.context:
        assert CreditRequest.objects.count() == 1
    assert visitor.post("/credit-requests/new", fields | {"amount": "7000", "key": hidden(again, "key")}).status == 302
    with acme.context:
        assert sorted(CreditRequest.objects.values_list("amount", flat=True)) == [5000, 7000]


@pytest.mark.parametrize("key", ["", "\x00", "x" * 300, "کلید"])
def test_a_form_without_a_good_key_gets_one(acme: Organization, key: str) -> None:
    assert Visitor.signed_in(acme.member).submit("/credit-requests/new", {"amount": "5", "key": key}).status == 302


def test_the_list_looks_for_decisions_while_something_waits(acme: Organization) -> None:
    request = ask(acme.member)
    visitor = Visitor.signed_in(acme.member)
    page = text_of(visitor.get("/credit-requests"))
    version = re.search(r'"Known-Version": "(\w+)"', page)[1]
    assert 'hx-trigger="every' in page
    look = {"HX_Request": "true", "Known_Version": version}
    assert visitor.get("/credit-requests", **look).status == 204
    services.reject_credit_request(
        organization=acme.row, request_id=uuid.UUID(request), reason="not now", decided_by="owner", decided_by_id=1
    )
    part = visitor.get("/credit-requests", **look)
    assert part.status == 200
    assert "<html" not in text_of(part)
    assert "not now" in text_of(part)
    assert "data-announce" in text_of(part)
    assert "hx-trigger" not in text_of(part), "nothing waits any more"
    assert 'hx-get="/credit-requests"' not in text_of(Visitor.signed_in(acme.owner).get("/credit-requests"))


# --- Deciding ---------------------------------------------------------------------------------------------------------


def test_an_approval_credits_and_leads_on_to_what_else_waits(acme: Organization) -> None:
    request, other = ask(acme.member, 50_000), ask(acme.neighbour, 60_000)
    visitor = Visitor.signed_in(acme.owner)
    confirm = shown(visitor.get(f"/credit-requests/{request}/approve"))
    assert "Balance now 0 Tomans Balance then 50,000 Tomans" in confirm
    answer = visitor.submit("/credit-requests", {}, to=f"/credit-requests/{request}/approve")
    assert (answer.status, answer.headers["Location"]) == (302, "/credit-requests?status=pending")
    page = visitor.get(answer.headers["Location"])
    assert "Approved: member has 50,000 Tomans more." in shown(page)
    assert other in text_of(page)
    assert request not in text_of(page)
    assert (acme.member.balance(), acme.neighbour.balance()) == (50_000, 0)
    row = row_of(acme, request)
    assert (row.status, row.decided_by, row.decided_by_id) == ("approved", "owner", acme.owner.user.pk)


def test_the_dialog_of_an_approval_is_fetched_when_it_is_opened(acme: Organization) -> None:
    request = ask(acme.member, 50_000)
    visitor = Visitor.signed_in(acme.owner)
    address = f"/credit-requests/{request}/approve"
    assert f'hx-get="{address}"' in text_of(visitor.get("/credit-requests"))
    with acme.context:
        give_credit(acme.row, acme.member.seller_id, 7_000)
    dialog = visitor.get(address, HX_Request="true")
    assert "<html" not in text_of(dialog)
    assert "Balance now 7,000 Tomans Balance then 57,000 Tomans" in words_of(text_of(dialog))
    visitor.submit("/credit-requests", {}, to=address)
    decided = visitor.get(address, HX_Request="true")
    assert (decided.status, decided.headers["HX-Redirect"]) == (204, f"/credit-requests/{request}")


def test_approving_twice_credits_once(acme: Organization) -> None:
    request = ask(acme.member, 50_000)
    visitor = Visitor.signed_in(acme.owner)
    token = hidden(visitor.get(f"/credit-requests/{request}/approve"), "csrfmiddlewaretoken")

    def approve(_: int) -> int:
        return visitor.post(f"/credit-requests/{request}/approve", {"csrfmiddlewaretoken": token}).status

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(approve, range(4))) == [302] * 4
    assert acme.member.balance() == 50_000
    visitor.get("/credit-requests")  # what they were told, of which the session keeps that of one
    approve(5)
    assert "Nothing was done twice" in shown(visitor.get("/credit-requests"))
    assert acme.member.balance() == 50_000


def test_a_decision_is_not_turned_round(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    request = ask(acme.member)
    rejected = visitor.submit(f"/credit-requests/{request}", {"reason": "no"}, to=f"/credit-requests/{request}/reject")
    assert rejected.status == 302
    late = visitor.submit("/sellers/new", {}, to=f"/credit-requests/{request}/approve")
    assert (late.status, late.headers["Location"]) == (302, f"/credit-requests/{request}")
    page = shown(visitor.get(late.headers["Location"]))
    assert "Somebody has decided otherwise meanwhile" in page
    assert "Rejected" in page
    assert acme.member.balance() == 0
    # Its forms are gone as well.
    assert visitor.get(f"/credit-requests/{request}/approve").status == 302
    assert visitor.get(f"/credit-requests/{request}/reject").status == 302


def test_a_rejection_needs_a_reason_and_the_seller_reads_it(acme: Organization) -> None:
    request = ask(acme.member)
    visitor = Visitor.signed_in(acme.owner)
    for reason in ("", "  ", "a\x00b", "x" * 501):
        assert visitor.submit(f"/credit-requests/{request}/reject", {"reason": reason}).status == 422
    assert row_of(acme, request).status == "pending"
    assert visitor.submit(f"/credit-requests/{request}/reject", {"reason": "Pay first"}).status == 302
    seller = Visitor.signed_in(acme.member)
    for path in ("/credit-requests", f"/credit-requests/{request}"):
        assert "Pay first" in shown(seller.get(path))


def test_a_seller_has_no_history_beside_a_request(acme: Organization) -> None:
    request = ask(acme.member)
    assert "The seller until now" in shown(Visitor.signed_in(acme.owner).get(f"/credit-requests/{request}"))
    page = Visitor.signed_in(acme.member).get(f"/credit-requests/{request}")
    assert "The seller until now" not in shown(page)
    assert f"/credit-requests/{request}/approve" not in text_of(page)


def test_what_was_sold_is_what_the_entries_say(acme: Organization) -> None:
    """By the balance, whatever was credited, refunded or charged late between."""
    member = acme.member
    give_credit(acme.row, member.id, 1_000_000)
    give_credit(acme.row, acme.neighbour.id, 1_000_000)
    acme.neighbour.sell(9999)
    sales = [sell_pending(acme.row, member.id, amount) for amount in (5000, 7000, 11_000)]
    settle_recharge(organization=acme.row, recharge_id=sales[1], status="failed", failure="no")
    give_credit(acme.row, member.id, 300_000)
    settle_recharge(organization=acme.row, recharge_id=sales[2], status="succeeded")
    resolve_recharge(  # delivered after all: charged again
        organization=acme.row, recharge_id=sales[1], status="succeeded", reason="late", by="owner"
    )
    member.sell(13_000)
    with acme.context:
        entries = list(Entry.objects.filter(seller_id=member.id).order_by("pk"))
        assert {entry.kind for entry in entries} == {"credit", "recharge", "refund", "late_charge"}
        moments = [moment_of(entry.pk) for entry in entries]
        moments += [moments[0] - timedelta(days=40), timezone.now() + timedelta(days=1)]
        expected = [
            -sum(e.amount for e in entries if e.kind != "credit" and moment_of(e.pk) >= moment) for moment in moments
        ]
        assert queries.sold_since(member.id, moments) == expected
        assert expected[-2:] == [36_000, 0]
    request = ask(member)
    page = shown(Visitor.signed_in(acme.owner).get(f"/credit-requests/{request}"))
    assert "Sold in 7 days 36,000 Tomans" in page
    assert "Balance 1,264,000 Tomans" in page


# --- Sellers ----------------------------------------------------------------------------------------------------------


def test_a_seller_is_added_and_can_sign_in_with_what_is_shown(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    suggested = [hidden_text(visitor.get("/sellers/new"), "password") for _ in range(2)]
    assert suggested[0] != suggested[1]
    fields = {"name": "Tehran Kiosk", "username": "kiosk", "password": suggested[0], "email": "kiosk@example.com"}
    answer = visitor.submit("/sellers/new", fields)
    assert answer.status == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert f"Username kiosk Password {suggested[0]}" in shown(answer)
    assert Visitor(acme.anyone).sign_in("kiosk", suggested[0]).status == 302
    assert User.objects.get(username="acme/kiosk").email == "kiosk@example.com"
    # Once more (a reload, a second click): nothing more.
    again = visitor.submit("/sellers/new", fields)
    assert again.status == 422
    assert "There is a user of this name already" in shown(again)
    with acme.context:
        assert Seller.objects.filter(name="Tehran Kiosk").count() == 1
    page = shown(visitor.get("/sellers"))
    assert "Tehran Kiosk 0 Tomans Active kiosk" in page
    assert suggested[0] not in page


def hidden_text(answer: Answer, name: str) -> str:
    """The value of an input, whatever stands between its name and that."""
    found = re.search(
        rf'<input[^>]* name="{name}"[^>]* value="([^"]*)"|<input[^>]* value="([^"]*)"[^>]* name="{name}"',
        text_of(answer),
    )
    assert found
    return found[1] or found[2]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "Fill this in."),
        ({"name": "a\x00b"}, "Null characters"),
        ({"username": "two words"}, "valid username"),
        ({"username": "member"}, "There is a user of this name already"),
        ({"password": "short"}, "too short"),
        ({"password": "password123"}, "too common"),
        ({"email": "nonsense"}, "email"),
    ],
)
def test_a_seller_that_won_t_do_is_refused_and_the_form_kept(
    acme: Organization, wrong: dict[str, str], said: str
) -> None:
    fields = {"name": "Kiosk", "username": "kiosk", "password": NEW_PASSWORD} | wrong
    answer = Visitor.signed_in(acme.owner).submit("/sellers/new", fields)
    assert answer.status == 422
    assert said in shown(answer)
    with acme.context:
        assert not Seller.objects.filter(name="Kiosk").exists()


def test_a_seller_is_renamed(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    path = f"/sellers/{acme.member.id}/rename"
    assert visitor.submit(path, {"name": " "}).status == 422
    answer = visitor.submit(path, {"name": "فروشگاه بهار"})
    assert (answer.status, answer.headers["Location"]) == (302, f"/sellers/{acme.member.id}")
    assert "فروشگاه بهار" in shown(visitor.get(answer.headers["Location"]))


def test_a_seller_is_switched_off_and_on(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    visitor, seller = Visitor.signed_in(acme.owner), Visitor.signed_in(acme.member)
    path = f"/sellers/{acme.member.id}"
    for _ in range(2):  # once more is the same
        answer = visitor.submit(f"{path}/switch-off", {})
        assert (answer.status, answer.headers["Location"]) == (302, path)
    assert "member is switched off" in shown(visitor.get(path))
    assert seller.get("/ledger").status == 302
    assert Visitor(acme.anyone).sign_in("member").status == 422
    assert acme.member.sell().code == "seller_inactive"
    assert visitor.submit(f"{path}/switch-on", {}).status == 302
    assert "member may sell and sign in again" in shown(visitor.get(path))
    assert Visitor(acme.anyone).sign_in("member").status == 302
    assert acme.member.sell().status == 201


def test_a_reset_password_ends_all_sessions_and_tokens_of_the_seller(acme: Organization) -> None:
    tokens = acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD}).json
    seller, neighbour = Visitor.signed_in(acme.member), Visitor.signed_in(acme.neighbour)
    visitor = Visitor.signed_in(acme.owner)
    path = f"/sellers/{acme.member.id}/password"
    form = visitor.get(path)
    fields = {
        "csrfmiddlewaretoken": hidden(form, "csrfmiddlewaretoken"),
        "state": hidden(form, "state"),
        "password": "short",
    }
    assert visitor.post(path, fields).status == 422
    assert seller.get("/ledger").status == 200
    fields["password"] = NEW_PASSWORD
    answer = visitor.post(path, fields)
    assert answer.status == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert f"Username member Password {NEW_PASSWORD}" in shown(answer)
    assert seller.get("/ledger").status == 302
    assert neighbour.get("/ledger").status == 200
    assert acme.anyone.post("/auth/token/refresh", {"refresh": tokens["refresh"]}).status == 401
    assert Visitor(acme.anyone).sign_in("member").status == 422
    assert Visitor(acme.anyone).sign_in("member", NEW_PASSWORD).status == 302
    # The same form again, as a reload sends it, shows the same and ends nothing.
    seller = Visitor(acme.anyone)
    seller.sign_in("member", NEW_PASSWORD)
    assert visitor.post(path, fields).status == 200
    assert seller.get("/ledger").status == 200


def test_a_password_that_was_changed_meanwhile_stays(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    path = f"/sellers/{acme.member.id}/password"
    form = visitor.get(path)
    user = User.objects.get(pk=acme.member.user.pk)
    user.set_password("the seller's own")
    user.save()
    answer = visitor.post(
        path,
        {
            "csrfmiddlewaretoken": hidden(form, "csrfmiddlewaretoken"),
            "state": hidden(form, "state"),
            "password": NEW_PASSWORD,
        },
    )
    assert (answer.status, answer.headers["Location"]) == (302, f"/sellers/{acme.member.id}")
    assert "The password was changed meanwhile" in shown(visitor.get(answer.headers["Location"]))
    user.refresh_from_db()
    assert user.check_password("the seller's own")


@pytest.mark.parametrize("state", ["", "nonsense", "\x00"])
def test_a_password_is_not_reset_by_a_form_that_nobody_was_shown(acme: Organization, state: str) -> None:
    path = f"/sellers/{acme.member.id}/password"
    answer = Visitor.signed_in(acme.owner).submit(path, {"password": NEW_PASSWORD, "state": state})
    assert answer.status in (302, 422)
    assert User.objects.get(pk=acme.member.user.pk).check_password(PASSWORD)


def test_an_admins_password_is_nobodys_to_reset_here(acme: Organization, globex: Organization) -> None:
    for seller_id in (999, 2**63 - 1):
        for page in ("", "/rename", "/switch-off", "/switch-on", "/password"):
            assert Visitor.signed_in(acme.owner).get(f"/sellers/{seller_id}{page}").status == 404
    # The other organization has a seller of the same number, who is not touched.
    assert globex.member.id == acme.member.id
    visitor = Visitor.signed_in(acme.owner)
    path = f"/sellers/{acme.member.id}/password"
    state = hidden(visitor.get(path), "state")
    assert visitor.submit(path, {"password": NEW_PASSWORD, "state": state}).status == 200
    assert Visitor(globex.anyone).sign_in("member").status == 302


def test_sellers_are_found_by_name_and_by_username(acme: Organization) -> None:
    make_seller(acme.row, "Tehran Kiosk")
    make_seller(acme.row, "100% Mobile")
    with acme.context:
        Seller.objects.filter(pk=acme.neighbour.id).update(name="Somebody")
    visitor = Visitor.signed_in(acme.owner)

    def found(search: str) -> set[str]:
        page = text_of(visitor.get(f"/sellers?search={quote(search)}"))
        return set(re.findall(r'<a href="/sellers/\d+"><bdi>([^<]*)</bdi>', page))

    assert found("") == {"member", "Somebody", "Tehran Kiosk", "100% Mobile"}
    assert found("kiosk") == {"Tehran Kiosk"}
    assert found("NEIGH") == {"Somebody"}  # by the username
    assert found("%") == {"100% Mobile"}
    assert found("_") == set()
    assert found("owner") == set()  # an admin is no seller
    assert "No seller has this in the name or the username" in shown(visitor.get("/sellers?search=nobody"))


def test_a_search_that_finds_too_many_usernames_says_so(acme: Organization, monkeypatch: Any) -> None:
    monkeypatch.setattr("credit.seller_pages.MOST_BY_USERNAME", 1)
    assert MOST_BY_USERNAME > 1
    page = in_process(acme.owner, "/sellers?search=e").content.decode()
    assert "Write more of it" in page


def in_process(person: Person, path: str) -> Any:
    client = InProcess(headers={"host": person.client.host, "accept": "text/html"})
    client.cookies[settings.SESSION_COOKIE_NAME] = session_of(person)
    return client.get(path)


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


# --- The ledger -------------------------------------------------------------------------------------------------------


@pytest.fixture
def traded(acme: Organization) -> Organization:
    """acme, whose sellers were credited and sold."""
    give_credit(acme.row, acme.member.id, 1_000_000)
    give_credit(acme.row, acme.neighbour.id, 2_000_000)
    acme.member.sell(5000)
    acme.neighbour.sell(7000)
    return acme


def amounts(answer: Answer) -> list[str]:
    """What was booked, from the newest, as a ledger's page shows it."""
    assert answer.status == 200
    return re.findall(r'<td class="amount"><span class="(?:debit|credit)">\u200e?([^<]*)</span></td>', text_of(answer))


def test_the_ledger_has_running_balances_and_leads_to_causes(traded: Organization) -> None:
    page = Visitor.signed_in(traded.owner).get("/ledger")
    assert amounts(page) == ["−7,000", "−5,000", "+2,000,000", "+1,000,000"]
    assert "neighbour 2 Recharge" in shown(page)
    assert "995,000" in shown(page)
    with traded.context:
        credit = Entry.objects.filter(kind="credit").first()
    assert f'href="/credit-requests/{credit.reference}"' in text_of(page)
    assert amounts(Visitor.signed_in(traded.member).get("/ledger")) == ["−5,000", "+1,000,000"]


def test_the_ledger_takes_filters(traded: Organization) -> None:
    visitor = Visitor.signed_in(traded.owner)
    today = timezone.now().astimezone(timezone.get_fixed_timezone(210)).date()  # Tehran's
    jalali = "۱۴۰۴/۰۱/۰۱"
    everything = ["−7,000", "−5,000", "+2,000,000", "+1,000,000"]
    for query, expected in {
        "kind=credit": ["+2,000,000", "+1,000,000"],
        f"seller={traded.member.id}": ["−5,000", "+1,000,000"],
        f"kind=recharge&seller={traded.neighbour.id}": ["−7,000"],
        "seller=Neigh": ["−7,000", "+2,000,000"],
        f"from_day={today}&to_day={today}": everything,
        f"from_day={quote(jalali)}": everything,
        f"to_day={quote(jalali)}": [],
        f"from_day={today + timedelta(days=1)}": [],
        f"to_day={today - timedelta(days=1)}": [],
        "to_day=9999-12-31": everything,
        "kind=refund": [],
        "nonsense=5": everything,
    }.items():
        assert amounts(visitor.get(f"/ledger?{query}")) == expected, query
        exported = text_of(visitor.get(f"/ledger.csv?{query}")).splitlines()[1:]
        assert len(exported) == len(expected), query
        assert len(sheet_of(visitor.get(f"/ledger.xlsx?{query}")).rows) == len(expected) + 1, query
    assert "No entry is like that." in shown(visitor.get("/ledger?kind=refund"))


@pytest.mark.parametrize(
    "query",
    [
        "from_day=yesterday",
        "to_day=2026-13-01",
        "from_day=0000/00/00",
        "kind=theft",
        "seller=nobody",
        "seller=99999999999999999999",
        "seller=9223372036854775807",
        "seller=%D9%A1%00",
        "seller=e",
        "from_day=2026-02-02&to_day=2026-02-01",
        "kind=%00",
        "kind=%ED%A0%80",
        "from_day=%00",
    ],
)
def test_a_filter_that_can_t_be_read_shows_nothing_and_says_so(traded: Organization, query: str) -> None:
    visitor = Visitor.signed_in(traded.owner)
    page = visitor.get(f"/ledger?{query}")
    assert amounts(page) == []
    assert 'aria-invalid="true"' in text_of(page)
    assert "Correct it above" in text_of(page)
    for export in ("/ledger.csv", "/ledger.xlsx"):
        back = visitor.get(f"{export}?{query}")
        assert (back.status, back.headers["Location"].partition("?")[0]) == (302, "/ledger")
    assert visitor.get(f"/credit-requests?{query.replace('kind', 'status')}").status == 200


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


# --- Exports ----------------------------------------------------------------------------------------------------------

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


class Sheet:
    """A workbook's one sheet, read from its XML: texts as str, numbers as float, and whatever else as it is not."""

    def __init__(self, content: bytes) -> None:
        archive = zipfile.ZipFile(io.BytesIO(content))
        assert archive.testzip() is None
        self.xml = archive.read("xl/worksheets/sheet1.xml").decode()
        self.workbook = archive.read("xl/workbook.xml").decode()
        self.styles = archive.read("xl/styles.xml").decode()
        tree = ElementTree.fromstring(self.xml)
        self.rows = [[self._value(cell) for cell in row] for row in tree.iter(f"{_MAIN}row")]

    @staticmethod
    def _value(cell: ElementTree.Element) -> str | float:
        assert cell.find(f"{_MAIN}f") is None, "a formula"
        if cell.get("t") == "inlineStr":
            return "".join(cell.itertext())
        return float(cell.findtext(f"{_MAIN}v"))


def sheet_of(answer: Answer) -> Sheet:
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    return Sheet(answer.body)


def test_a_workbook_has_real_numbers_and_dates(traded: Organization) -> None:
    answer = Visitor.signed_in(traded.member).get("/ledger.xlsx")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="entries.xlsx"'
    assert "no-store" in answer.headers["Cache-Control"]
    sheet = sheet_of(answer)
    heading, sale, credit = sheet.rows
    assert heading == ["Number", "Time", "Kind", "Amount (Tomans)", "Balance after (Tomans)", "Reference"]
    assert (sale[0], sale[2:5]) == (2.0, ["Recharge", -5000.0, 995_000.0])
    assert credit[2:5] == ["Credit", 1_000_000.0, 1_000_000.0]
    with traded.context:
        entry = Entry.objects.get(seller_id=traded.member.id, number=2)
    assert sale[5] == str(entry.reference)
    # Days since 1899-12-30, on Tehran's clock.
    local = entry.created_at.astimezone(timezone.get_fixed_timezone(210)).replace(tzinfo=None)
    assert sale[1] == pytest.approx((local - local.replace(1899, 12, 30, 0, 0, 0, 0)) / timedelta(days=1), abs=1e-6)
    assert "yyyy-mm-dd hh:mm:ss" in sheet.styles
    assert "rightToLeft" not in sheet.xml


def test_a_workbook_in_persian_reads_from_the_right(traded: Organization) -> None:
    User.objects.filter(pk=traded.owner.user.pk).update(language="fa")
    sheet = sheet_of(Visitor.signed_in(traded.owner).get("/ledger.xlsx"))
    assert 'rightToLeft="1"' in sheet.xml
    assert len(sheet.rows) == 5


@pytest.mark.parametrize(
    "name", ["=1+1", "@SUM(A1)", "+98", "-2", "http://evil.example", "007", "{=1}", "\t=1", MARKUP]
)
def test_a_workbook_takes_no_text_for_anything_else(traded: Organization, name: str) -> None:
    with traded.context:
        Seller.objects.filter(pk=traded.member.id).update(name=name)
    sheet = sheet_of(Visitor.signed_in(traded.owner).get(f"/ledger.xlsx?seller={traded.member.id}"))
    assert [row[1] for row in sheet.rows[1:]] == [name, name]
    assert "hyperlink" not in sheet.xml


@pytest.mark.parametrize(("most", "shown_rows"), [(2, 1), (3, 2), (4, 4), (5, 4)])
def test_a_sheet_that_is_full_says_so_in_its_last_line(
    traded: Organization, monkeypatch: Any, most: int, shown_rows: int
) -> None:
    monkeypatch.setattr(exports, "LARGEST_SHEET", most)
    monkeypatch.setattr(exports, "ROWS_AT_A_TIME", 2)
    response = in_process(traded.owner, "/ledger.xlsx")
    sheet = Sheet(b"".join(response.streaming_content))
    assert len(sheet.rows) == 1 + min(most, 4)
    is_full = shown_rows < 4
    assert ("the rest is missing" in str(sheet.rows[-1])) == is_full
    assert len(sheet.rows) - 1 - is_full == shown_rows


def test_one_workbook_is_written_at_a_time(traded: Organization) -> None:
    """So that nobody's exports take all threads from those who sell."""
    with exports._writing:
        assert in_process(traded.member, "/ledger.xlsx").status_code == 503
    assert len(sheet_of(Visitor.signed_in(traded.member).get("/ledger.xlsx")).rows) > 1
    with closing(in_process(traded.member, "/ledger.xlsx")) as response:
        assert response.status_code == 200


def test_the_csv_is_the_apis(traded: Organization) -> None:
    for person in (traded.owner, traded.member):
        page = Visitor.signed_in(person).get("/ledger.csv")
        assert page.body == person.client.get("/entries.csv").body
        assert page.headers["Content-Disposition"] == 'attachment; filename="entries.csv"'


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
    owner, member = 2, 3  # the session and the account; of a seller, the balance too
    for person, path, count in (
        (acme.owner, "/credit-requests", owner + 1),
        (acme.owner, "/credit-requests?seller=seller3", owner + 2),  # the seller, the rows
        (acme.owner, f"/credit-requests/{request.pk}", owner + 5),  # the request, account, sales, requests, entries
        (acme.owner, f"/credit-requests/{request.pk}/approve", owner + 3),
        (acme.owner, "/sellers", owner + 2),  # the rows, their usernames
        (acme.owner, "/sellers?search=seller", owner + 3),
        (acme.owner, "/sellers/new", owner),
        (acme.owner, f"/sellers/{acme.member.id}", owner + 4),  # the seller, username, balance, entries
        (acme.owner, f"/sellers/{acme.member.id}/password", owner + 2),
        (acme.owner, "/ledger", owner + 1),
        (acme.owner, "/ledger?seller=seller3", owner + 2),
        (acme.member, "/credit-requests", member + 1),
        (acme.member, "/credit-requests/new", member),
        (acme.member, "/ledger", member + 1),
    ):
        found = queries_of(person, path)
        assert len(found) == count, (path, found)
