"""Asking for credit and deciding on it, as pages: what a form does, and that it does it once."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.utils import timezone

from credit import queries, services
from credit.models import CreditRequest, Entry
from recharge.delivery.settlement import resolve_recharge, settle_recharge
from shared.uuid7 import moment_of
from tests.recharge.test_commissions import set_rate
from tests.support.locks import sell_pending
from tests.support.visitor import Visitor, shown, text_of, value_of, words_of
from tests.support.world import Organization, ask, give_credit


def row_of(organization: Organization, request_id: str) -> CreditRequest:
    with organization.context:
        return CreditRequest.objects.get(pk=request_id)


# --- Asking for credit ------------------------------------------------------------------------------------------------


def test_a_seller_asks_in_any_digits(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    answer = visitor.submit("/credit-requests/new", {"amount": "۲٬۵۰۰٬۰۰۰", "note": "برای عید"})
    assert (answer.status, answer.headers["Location"]) == (302, "/credit-requests")
    page = shown(visitor.get("/credit-requests"))
    assert "2,500,000 Waiting برای عید" in page
    assert "Your credit request is sent" in page
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
        "csrfmiddlewaretoken": value_of(form, "csrfmiddlewaretoken"),
        "key": value_of(form, "key"),
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
    fields = {
        "csrfmiddlewaretoken": value_of(form, "csrfmiddlewaretoken"),
        "key": value_of(form, "key"),
        "amount": "5000",
    }
    assert visitor.post("/credit-requests/new", fields).status == 302
    again = visitor.post("/credit-requests/new", fields | {"amount": "7000"})
    assert again.status == 422
    assert "already sent with other content" in shown(again)
    assert value_of(again, "key") != fields["key"]
    assert value_of(again, "amount") == "7000"
    with acme.context:
        assert CreditRequest.objects.count() == 1
    assert visitor.post("/credit-requests/new", {name: value_of(again, name) for name in fields}).status == 302
    with acme.context:
        assert sorted(CreditRequest.objects.values_list("amount", flat=True)) == [5000, 7000]


@pytest.mark.parametrize("key", ["", "\x00", "x" * 300, "کلید", "order-7 ", " "])
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
    assert "Current balance 0 Tomans Balance after 50,000 Tomans" in confirm
    answer = visitor.submit("/credit-requests", {}, to=f"/credit-requests/{request}/approve")
    assert (answer.status, answer.headers["Location"]) == (302, "/credit-requests?status=pending")
    page = visitor.get(answer.headers["Location"])
    assert "Approved: 50,000 Tomans added to the balance of member." in shown(page)
    assert other in text_of(page)
    assert request not in text_of(page)
    assert (acme.member.balance(), acme.neighbour.balance()) == (50_000, 0)
    row = row_of(acme, request)
    assert (row.status, row.decided_by, row.decided_by_id) == ("approved", "owner", acme.owner.user.pk)


def test_the_dialog_of_an_approval_is_fetched_when_it_is_opened(acme: Organization) -> None:
    request = ask(acme.member, 50_000)
    visitor = Visitor.signed_in(acme.owner)
    address = f"/credit-requests/{request}/approve"
    assert f'hx-get="{address}"' in text_of(visitor.get(f"/credit-requests/{request}"))
    with acme.context:
        give_credit(acme.row, acme.member.seller_id, 7_000)
    dialog = visitor.get(address, HX_Request="true")
    assert "<html" not in text_of(dialog)
    assert "Current balance 7,000 Tomans Balance after 57,000 Tomans" in words_of(text_of(dialog))
    visitor.submit("/credit-requests", {}, to=address)
    decided = visitor.get(address, HX_Request="true")
    assert (decided.status, decided.headers["HX-Redirect"]) == (204, f"/credit-requests/{request}")


def test_approving_twice_credits_once(acme: Organization) -> None:
    request = ask(acme.member, 50_000)
    visitor = Visitor.signed_in(acme.owner)
    token = value_of(visitor.get(f"/credit-requests/{request}/approve"), "csrfmiddlewaretoken")

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
    assert "Somebody decided otherwise in the meantime" in page
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
    assert "Seller history" in shown(Visitor.signed_in(acme.owner).get(f"/credit-requests/{request}"))
    page = Visitor.signed_in(acme.member).get(f"/credit-requests/{request}")
    assert "Seller history" not in shown(page)
    assert f"/credit-requests/{request}/approve" not in text_of(page)


def test_what_was_sold_is_what_the_entries_say(acme: Organization) -> None:
    """Whatever was credited, refunded or charged late between, and whatever was earned by it."""
    member = acme.member
    set_rate(acme, basis_points=1000)
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
        assert queries.net_amounts_since(member.id, moments) == expected
        assert expected[-2:] == [36_000, 0]
    request = ask(member)
    page = shown(Visitor.signed_in(acme.owner).get(f"/credit-requests/{request}"))
    assert "Net sales in 7 days 36,000 Tomans" in page
    assert "Balance 1,267,600 Tomans" in page


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
