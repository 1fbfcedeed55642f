"""What was not received, as pages: a seller asks, support answers and closes, and the seller sees it."""

import re
import uuid
from datetime import timedelta
from html import unescape
from urllib.parse import quote

import pytest
from django.db import connection

from credit.models import Alert
from recharge.claims.queries import claims_of
from recharge.delivery.settlement import settle_recharge
from recharge.delivery.watch import WatchWork
from recharge.models import Claim, ClaimMessage, Recharge
from recharge.pages.claims import ROWS
from recharge.terms.services import change_settings
from tests.recharge.test_claims import REFUNDED, adjustment, closed, opened
from tests.support.claims import make_older
from tests.support.locks import sell_pending
from tests.support.tables import nothing_written
from tests.support.visitor import MARKUP, Visitor, shown, text_of
from tests.support.world import Organization, Person, make_member

P, S, F, U = Recharge.Status


@pytest.fixture
def support(acme: Organization) -> Person:
    return make_member(acme.row, "support", "support", acme.anyone.address)


def sold(acme: Organization, *settlements: Recharge.Status) -> uuid.UUID:
    recharge = sell_pending(acme.row, acme.member.id, 5000)
    for status in settlements:
        settle_recharge(
            organization=acme.row, recharge_id=recharge, status=status, failure="barred" if status == F else ""
        )
    return recharge


def ask(seller: Visitor, recharge: uuid.UUID, message: str = "") -> str:
    """Asks by the form; the address of the question."""
    sent = seller.submit(f"/recharges/{recharge}/not-received", {"message": message})
    assert sent.status == 302, text_of(sent)
    return str(sent.headers["Location"])


def test_from_the_question_to_the_end(funded: Organization, support: Person) -> None:
    cashier = Visitor.signed_in(
        make_member(funded.row, "till", "cashier", funded.anyone.address, seller_id=funded.member.id)
    )
    seller, desk, recharge = Visitor.signed_in(funded.member), Visitor.signed_in(support), sold(funded, S)
    assert f"/recharges/{recharge}/not-received" in text_of(seller.get(f"/recharges/{recharge}"))
    form = shown(seller.get(f"/recharges/{recharge}/not-received"))
    assert "answers within 24 hours" in form
    address = ask(cashier, recharge, f"balance\r\nas before {MARKUP}")
    page = text_of(seller.get(address))
    assert "balance as before" in shown(seller.get(address))  # one line
    assert MARKUP not in page
    # Asked again, by the other: the same question.
    again = seller.submit(f"/recharges/{recharge}/not-received", {"message": "again"})
    assert again.status == 200 or str(again.headers.get("Location")) == address
    with funded.context:
        (claim,) = claims_of(recharge)
    queue = shown(desk.get("/claims"))
    assert "Being looked into" in queue
    assert "member" in queue
    today = shown(desk.get("/today"))
    assert "Not received by customers 1" in today
    assert "Nothing is waiting for you" not in today

    # An answer that leaves it open, sent twice.
    from_page = desk.get(address)
    assert "Took (ms)" in text_of(from_page) or "Attempts" in text_of(from_page)
    assert "Attempts" not in shown(seller.get(address))
    fields = {"text": "Which SIM?", "key": "page-" + "a" * 32}
    for _ in range(2):
        assert desk.submit(address, fields, to=f"{address}/answer").status == 302
    with funded.context:
        assert ClaimMessage.objects.count() == 1
    assert "New answer" in shown(seller.get("/claims"))
    assert "has an answer" in shown(seller.get("/sell"))
    assert "Which SIM?" in shown(seller.get(address))  # and so he has seen it
    assert "New answer" not in shown(seller.get("/claims"))
    assert "has an answer" not in shown(seller.get("/sell"))
    assert seller.submit(address, {"text": "the first", "key": "k"}, to=f"{address}/reply").status == 302

    # What can't be said comes back with its fault.
    empty = desk.submit(address, {"text": "  ", "key": "k2"}, to=f"{address}/answer")
    assert empty.status == 422
    long = desk.submit(address, {"text": "x" * 501, "key": "k3"}, to=f"{address}/answer")
    assert long.status == 422

    closing = f"{address}/close?as=delivered"
    assert desk.submit(closing, {"reference": "", "text": ""}).status == 422
    assert desk.submit(closing, {"reference": "MCI-77", "text": "At 10:15."}).status == 302
    page = shown(seller.get(address))
    assert "Delivery confirmed" in page
    assert "MCI-77" in page
    assert "At 10:15." in page
    late = desk.submit("/account/preferences", {"text": "x", "key": "k4", "close": "yes"}, to=f"{address}/answer")
    assert late.status == 302
    with funded.context:
        claim.refresh_from_db()
        assert (claim.state, claim.closed_by) == ("delivered", "support")
    assert "no seller waits" in shown(desk.get("/claims")).lower()
    assert "Delivery confirmed" in shown(desk.get("/claims?show=closed"))
    assert f"/claims/{claim.pk}" in text_of(desk.get(f"/recharges/{recharge}"))
    # And in the audit log, in words.
    assert "Question about a recharge closed" in shown(Visitor.signed_in(funded.owner).get("/audit-log"))


@pytest.mark.parametrize(
    ("settlements", "words"),
    [
        ((), "still being sent"),
        ((F,), "was not delivered, and its amount is back on your balance"),
        ((U,), "The operator has not confirmed delivery yet."),
    ],
    ids=["pending", "failed", "unknown"],
)
def test_what_is_known_of_what_can_t_be_asked_about(
    funded: Organization, settlements: tuple[Recharge.Status, ...], words: str
) -> None:
    seller, recharge = Visitor.signed_in(funded.member), sold(funded, *settlements)
    address = f"/recharges/{recharge}/not-received"
    assert words in shown(seller.get(address))
    may = settlements == (U,)
    sent = seller.submit("/account/preferences", {"message": ""}, to=address)
    assert sent.status == (302 if may else 422)
    with funded.context:
        assert len(claims_of(recharge)) == int(may)


def test_it_is_refunded_by_the_doors_that_there_are(funded: Organization, support: Person) -> None:
    seller, desk, admin = (Visitor.signed_in(one) for one in (funded.member, support, funded.owner))
    address = ask(seller, sold(funded, S))
    closing = f"{address}/close?as=refunded"
    balance = funded.member.balance()
    for visitor in (desk, admin):
        assert "Nothing has been refunded yet" in shown(visitor.get(closing))
    assert "/adjustments/new?seller=" not in text_of(desk.get(closing))  # whoever may not adjust
    with nothing_written(but=("public.shared_signin",)):
        assert desk.submit("/account/preferences", {"text": "", "adjustment": "x"}, to=closing).status == 200
    form = f"/adjustments/new?seller={funded.member.id}&amount=5000"
    made = admin.submit(
        form,
        {
            "seller": str(funded.member.id),
            "direction": "more",
            "amount": "5000",
            "reason": "not received",
            "reference": "",
            "key": "k",
        },
    )
    assert made.status == 302
    adjustment = str(made.headers["Location"]).rpartition("/")[2]
    assert funded.member.balance() == balance + 5000
    assert adjustment in text_of(admin.get(closing))
    assert adjustment not in text_of(desk.get(closing))  # who may see none
    assert admin.submit(closing, {"adjustment": str(uuid.uuid4()), "text": ""}).status == 422
    assert admin.submit(closing, {"adjustment": adjustment, "text": "Sorry."}).status == 302
    assert "Refunded" in shown(seller.get(address))
    assert funded.member.balance() == balance + 5000
    with funded.context:
        assert str(Claim.objects.get().adjustment_id) == adjustment


def test_who_resolves_is_told_that_an_adjustment_gave_it_back(funded: Organization) -> None:
    admin, recharge = Visitor.signed_in(funded.owner), sold(funded, S)
    resolve = f"/recharges/{recharge}/resolve?status=failed"
    assert "by an adjustment already" not in shown(admin.get(resolve))
    claim = opened(funded, recharge)
    closed(funded, claim, REFUNDED, adjustment_id=adjustment(funded))
    assert "An adjustment has already refunded this amount" in shown(admin.get(resolve))


def test_a_recharge_that_was_resolved_closes_without_an_adjustment(funded: Organization, support: Person) -> None:
    desk, recharge = Visitor.signed_in(support), sold(funded, U)
    address = ask(Visitor.signed_in(funded.member), recharge)
    assert "Record its final outcome first" in shown(desk.get(f"{address}/close?as=delivered"))
    settle_recharge(organization=funded.row, recharge_id=recharge, status=F, failure="never arrived")
    assert desk.submit(f"{address}/close?as=refunded", {"text": ""}).status == 302
    assert desk.get(f"{address}/close?as=refunded").status == 302  # it is closed
    assert desk.get(f"{address}/close?as=open").status == 404


def test_a_seller_takes_it_back_and_sees_his_own_alone(funded: Organization, globex: Organization) -> None:
    seller, neighbour = Visitor.signed_in(funded.member), Visitor.signed_in(funded.neighbour)
    stranger = Visitor.signed_in(globex.member)
    recharge = sold(funded, S)
    address = ask(seller, recharge)
    for other in (neighbour, stranger):
        assert "0912" not in shown(other.get("/claims"))
        assert other.get(address).status == 404
        assert other.get(f"/recharges/{recharge}/not-received").status == 404
        for path, fields in (("reply", {"text": "x", "key": "k"}), ("withdraw", {})):
            assert other.submit("/account/preferences", fields, to=f"{address}/{path}").status == 404
    for path in ("answer", "close?as=delivered"):
        assert seller.submit("/account/preferences", {"text": "x"}, to=f"{address}/{path}").status == 404
    assert seller.submit(address, {}, to=f"{address}/withdraw").status == 302
    assert "Withdrawn" in shown(seller.get(address))
    ask(seller, recharge)  # it was not so, after all
    with funded.context:
        assert [one.state for one in claims_of(recharge)] == ["open", "withdrawn"]
        assert not Alert.objects.filter(kind="claim_answered").exists()


def test_odd_addresses_and_fields(funded: Organization) -> None:
    seller, recharge = Visitor.signed_in(funded.member), sold(funded, S)
    for path in ("/claims?cursor=x", f"/claims?cursor={quote(chr(0))}"):
        assert seller.get(path).status in (400, 404), path
    assert seller.get("/claims/" + "0" * 32).status == 404
    for message in ("a\0b", "\u202e", "x" * 501):
        sent = seller.submit(f"/recharges/{recharge}/not-received", {"message": message})
        assert sent.status in (400, 422), message
    with funded.context:
        assert claims_of(recharge) == []


def test_the_times_are_the_organization_s(funded: Organization) -> None:
    owner = Visitor.signed_in(funded.owner)
    fields = {"claim_hours": "۴۸", "claim_days": "7"}
    assert owner.submit("/settings", fields, to="/settings/claims").status == 302
    assert owner.submit("/settings", {"claim_hours": "0", "claim_days": "7"}, to="/settings/claims").status == 422
    seller = Visitor.signed_in(funded.member)
    assert "answers within 48 hours" in shown(seller.get(f"/recharges/{sold(funded, S)}/not-received"))
    with funded.context:
        change_settings(organization=funded.row, by="owner", claim_hours=1)
    assert "answers within 1 hour." in shown(seller.get(f"/recharges/{sold(funded, S)}/not-received"))
    assert funded.owner.client.patch("/settings", {"claim_hours": 0}).faults == {("claim_hours", "too_small")}
    assert funded.owner.client.patch("/settings", {"claim_days": 366}).faults == {("claim_days", "too_large")}
    assert funded.owner.client.patch("/settings", {"receipts_by_sms": 1}).faults == {("receipts_by_sms", "invalid")}


def test_of_two_answers_that_close_it_the_second_is_not_said_to_be_sent(funded: Organization, support: Person) -> None:
    other = make_member(funded.row, "support-2", "support", funded.anyone.address)
    address = ask(Visitor.signed_in(funded.member), sold(funded, S))
    first, second = Visitor.signed_in(support), Visitor.signed_in(other)
    for visitor, text, said in (
        (first, "It is there.", "The seller is told"),
        (first, "It is there.", "The seller is told"),  # sent twice
        (second, "Call the hotline.", "This was closed in the meantime"),
    ):
        fields = {"text": text, "close": "yes", "key": "page-" + "a" * 32}
        visitor.submit("/claims", fields, to=f"{address}/answer")
        assert said in shown(visitor.get(address)), text
    with funded.context:
        assert [one.text for one in ClaimMessage.objects.all()] == ["It is there."]


def test_what_is_past_its_deadline_is_said_wherever_it_stands_and_comes_first(
    funded: Organization, support: Person
) -> None:
    seller, desk = Visitor.signed_in(funded.member), Visitor.signed_in(support)
    late, later, in_time = (ask(seller, sold(funded, S)) for _ in range(3))
    addresses = [in_time, late, later]
    for address, hours in ((late, 25), (later, 30)):
        with funded.context:
            make_older(uuid.UUID(address.rpartition("/")[2]), hours=hours)
    WatchWork().claim(funded.row, 10)
    queue = text_of(desk.get("/claims"))
    assert sorted(addresses, key=queue.index) == [later, late, in_time]
    assert shown(desk.get("/claims")).count("Overdue") == 2
    today = desk.get("/today")
    assert sorted(addresses, key=text_of(today).index) == [later, late, in_time]
    assert shown(today).count("Overdue") == 2
    told = "2 questions about recharges that were not received are past their deadline."
    assert told in shown(today)
    assert told in shown(desk.get("/alerts"))
    # And to who has asked.
    assert shown(seller.get("/claims")).count("Overdue") == 2
    assert "Overdue" in shown(seller.get(late))
    assert "Overdue" not in shown(seller.get(in_time))
    assert desk.submit(late, {"text": "It is there.", "key": "k", "close": "yes"}, to=f"{late}/answer").status == 302
    assert "Overdue" not in shown(seller.get(late))


def test_the_queue_has_pages_the_oldest_deadline_first(funded: Organization, support: Person) -> None:
    asked = [opened(funded, sold(funded, S)) for _ in range(ROWS + 5)]
    with funded.context, connection.cursor() as cursor:
        # The last ones first, and five with one deadline.
        cursor.execute("ALTER TABLE recharge_claim DISABLE TRIGGER recharge_claim_kept")
        for place, claim in enumerate(asked):
            claim.deadline += timedelta(hours=-max(place, 5))
            claim.save(update_fields=["deadline"])
        cursor.execute("ALTER TABLE recharge_claim ENABLE TRIGGER recharge_claim_kept")
    expected = [str(one.pk) for one in sorted(asked, key=lambda claim: (claim.deadline, claim.pk))]
    desk = Visitor.signed_in(support)

    def listed(page: str) -> list[str]:
        return list(dict.fromkeys(re.findall(r'href="/claims/([0-9a-f-]{36})"', page)))

    first = text_of(desk.get("/claims"))
    assert listed(first) == expected[:ROWS]
    (onwards,) = re.findall(r'rel="next" href="([^"]+)">Next<', first)
    second = text_of(desk.get(f"/claims{onwards}"))
    assert listed(second) == expected[ROWS:]
    (back,) = re.findall(r'rel="prev" href="([^"]+)">Previous<', second)
    assert listed(text_of(desk.get(f"/claims{back}"))) == expected[:ROWS]
    assert desk.get("/claims?cursor=nonsense").status == 400


def test_what_was_refunded_twice_is_marked_and_leads_to_what_takes_it_back(
    funded: Organization, support: Person
) -> None:
    recharge = sold(funded, S)
    claim = opened(funded, recharge)
    closed(funded, claim, Claim.State.REFUNDED, adjustment_id=adjustment(funded, 4000))
    owner, desk, seller = map(Visitor.signed_in, (funded.owner, support, funded.member))
    pages = (f"/recharges/{recharge}", f"/claims/{claim.pk}")
    said = "Refunded twice: an adjustment gave back 4,000 Tomans"
    assert not any(said in shown(owner.get(page)) for page in pages)
    settle_recharge(organization=funded.row, recharge_id=recharge, status=F, failure="taken back")
    assert "The recharge of 09121234567 was refunded to member twice" in shown(owner.get("/today"))
    assert "Refunded twice" in shown(owner.get("/alerts"))
    for page in pages:
        assert f"{said}, and the operator reversed the recharge later. 4,000 Tomans must still be" in shown(
            owner.get(page)
        )
        assert said in shown(desk.get(page))
        assert "/adjustments/new" not in text_of(desk.get(page))
        assert said not in shown(seller.get(page))
    (way,) = re.findall(r'href="(/adjustments/new[^"]+)"', text_of(owner.get(pages[0])))
    way = unescape(way)
    key = re.findall(r'name="key" value="([^"]+)"', text_of(owner.get(way)))[0]
    fields = {"seller": str(funded.member.id), "amount": "4000", "direction": "less", "reference": str(recharge)}
    form = text_of(owner.get(way))
    assert all(f'value="{value}"' in form for value in ("4000", str(recharge)))
    assert re.search(r'value="less"[^>]* (selected|checked)', form)
    before = funded.member.balance()
    assert owner.submit(way, fields | {"reason": "refunded twice", "key": key}).status == 302
    assert funded.member.balance() == before - 4000
    for page in pages:
        assert "It is taken back." in shown(owner.get(page))
        assert "/adjustments/new" not in text_of(owner.get(page))
