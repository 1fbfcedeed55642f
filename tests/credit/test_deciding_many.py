"""Many credit requests or adjustments decided at once: one question, each decided for itself, and nothing twice."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from credit import services
from credit.adjustments import change_policy, create_adjustment
from credit.errors import AlreadyDecided, FourEyes
from credit.models import Adjustment, CreditRequest, Entry
from tests.support.client import Answer
from tests.support.visitor import Visitor, shown, text_of, value_of, words_of
from tests.support.world import Organization, ask, give_credit, make_member

DECIDE = "/credit-requests/decide"


def states(organization: Organization) -> dict[str, str]:
    with organization.context:
        return {str(pk): status for pk, status in CreditRequest.objects.values_list("pk", "status")}


def decide(visitor: Visitor, ids: list[str], decision: str = "approve", to: str = DECIDE, **more: str) -> Answer:
    """As the confirmed form of the page does without script."""
    return visitor.submit(to.rpartition("/")[0], {"ids": ids, "decision": decision, "confirmed": "yes", **more}, to=to)


def adjust(organization: Organization, amount: int, *, asked_by: str = "somebody", asked_by_id: int = 77) -> str:
    with organization.context:
        change_policy(four_eyes_from=1)
        return str(
            create_adjustment(
                organization=organization.row,
                seller_id=organization.member.id,
                idempotency_key=uuid.uuid4().hex,
                amount=amount,
                reason="counted again",
                asked_by=asked_by,
                asked_by_id=asked_by_id,
            ).row.pk
        )


def test_twenty_are_confirmed_together_and_each_is_credited_once(acme: Organization) -> None:
    ids = [ask(acme.member, 1_000 + number) for number in range(15)] + [ask(acme.neighbour, 5_000) for _ in range(5)]
    visitor = Visitor.signed_in(acme.owner)
    page = text_of(visitor.get("/credit-requests?status=pending"))
    assert all(f'name="ids" value="{one}"' in page for one in ids)
    question = visitor.submit("/credit-requests", {"ids": ids, "decision": "approve"}, to=DECIDE)
    words = shown(question)
    assert "Selected: 20 · Sum: 40,105 Tomans" in words
    assert "member 15 · 15,105 Tomans" in words
    assert "neighbour 5 · 25,000 Tomans" in words
    assert set(states(acme).values()) == {"pending"}, "a question decides nothing"

    answer = decide(visitor, ids)
    assert answer.status == 200
    assert "Approved: 20 · 40,105 Tomans" in shown(answer)
    assert (acme.member.balance(), acme.neighbour.balance()) == (15_105, 25_000)
    again = decide(visitor, ids)
    assert "Already decided the same way: 20 · 40,105 Tomans" in shown(again)
    assert (acme.member.balance(), acme.neighbour.balance()) == (15_105, 25_000)
    with acme.context:
        assert Entry.objects.count() == 20
        assert {row.decided_by_id for row in CreditRequest.objects.all()} == {acme.owner.user.pk}


def test_sent_by_several_at_once_it_credits_once(acme: Organization) -> None:
    ids = [ask(acme.member, 1_000) for _ in range(8)]
    visitors = [Visitor.signed_in(acme.owner) for _ in range(4)]
    tokens = [value_of(visitor.get("/credit-requests"), "csrfmiddlewaretoken") for visitor in visitors]

    def send(number: int) -> int:
        fields = {"ids": ids, "decision": "approve", "confirmed": "yes", "csrfmiddlewaretoken": tokens[number]}
        return visitors[number].post(DECIDE, fields).status

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(send, range(4))) == [200] * 4
    assert acme.member.balance() == 8_000


def test_what_somebody_else_has_decided_is_said_and_stops_no_other(acme: Organization) -> None:
    first, rejected, last = ask(acme.member, 1_000), ask(acme.neighbour, 2_000), ask(acme.member, 4_000)
    services.reject_credit_request(
        organization=acme.row, request_id=uuid.UUID(rejected), reason="no", decided_by="other", decided_by_id=9
    )
    visitor = Visitor.signed_in(acme.owner)
    answer = shown(decide(visitor, [first, rejected, last]))
    assert "Approved: 2 · 5,000 Tomans" in answer
    assert f"Not decided: 1 neighbour 2,000 Tomans {AlreadyDecided.message}" in answer
    assert states(acme) == {first: "approved", rejected: "rejected", last: "approved"}
    assert (acme.member.balance(), acme.neighbour.balance()) == (5_000, 0)
    waiting = ask(acme.member, 8_000)
    question = shown(visitor.submit("/credit-requests", {"ids": [first, waiting], "decision": "approve"}, to=DECIDE))
    assert "Amount 8,000 Tomans" in question, "of one alone, all that there is"
    assert "Left out: 1 member 1,000 Tomans It was decided already." in question


def test_where_two_are_needed_the_first_puts_nothing_on_a_balance(acme: Organization) -> None:
    with acme.context:
        change_policy(four_eyes_from=5_000)
    small, large = ask(acme.member, 1_000), ask(acme.member, 9_000)
    second = make_member(acme.row, "second", "accountant", acme.anyone.address)
    first = Visitor.signed_in(acme.owner)
    answer = shown(decide(first, [small, large]))
    assert "Approved: 1 · 1,000 Tomans" in answer
    assert "Approved once; a second person is needed: 1 · 9,000 Tomans" in answer
    assert acme.member.balance() == 1_000
    decide(first, [large])
    assert acme.member.balance() == 1_000, "twice by one is not by two"
    question = shown(first.submit("/credit-requests", {"ids": [large], "decision": "approve"}, to=DECIDE))
    assert "You have approved it: a second person has to." in question
    decide(Visitor.signed_in(second), [large])
    assert acme.member.balance() == 10_000


def test_a_rejection_needs_one_reason_for_all(acme: Organization) -> None:
    ids = [ask(acme.member, 1_000), ask(acme.neighbour, 2_000)]
    visitor = Visitor.signed_in(acme.owner)
    for reason in ("", "  ", "a\x00b", "x" * 501):
        assert decide(visitor, ids, "reject", reason=reason).status == 422
    assert set(states(acme).values()) == {"pending"}
    assert "Rejected: 2 · 3,000 Tomans" in shown(decide(visitor, ids, "reject", reason="not paid"))
    for seller in (acme.member, acme.neighbour):
        assert "not paid" in shown(Visitor.signed_in(seller).get("/credit-requests"))


def send_as_htmx(visitor: Visitor, path: str, fields: dict[str, Any]) -> Answer:
    headers = visitor._headers({"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true"})
    body = urlencode(fields, doseq=True).encode()
    return visitor.client.request("POST", path, body=body, headers=headers, is_page=True)


def test_htmx_is_answered_with_the_rows_for_their_places(acme: Organization) -> None:
    ids = [ask(acme.member, 1_000), ask(acme.neighbour, 2_000)]
    visitor = Visitor.signed_in(acme.owner)
    token = value_of(visitor.get("/credit-requests"), "csrfmiddlewaretoken")
    fields: dict[str, Any] = {"ids": ids, "decision": "reject", "confirmed": "yes", "csrfmiddlewaretoken": token}
    wrong = send_as_htmx(visitor, DECIDE, fields | {"reason": ""})
    assert (wrong.status, wrong.headers["HX-Retarget"]) == (422, "#decide-form")
    part = text_of(send_as_htmx(visitor, DECIDE, fields | {"reason": "not paid"}))
    assert "<html" not in part
    for one in ids:
        assert re.search(rf'<tr id="row-{one}" hx-swap-oob="true">', part)
    assert 'name="ids"' not in part, "what is decided can't be chosen"
    assert "Rejected: 2" in words_of(part)
    assert 'data-announce="Rejected: 2, 3,000 Tomans. "' in part


def test_what_is_announced_of_adjustments_has_their_sign(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    visitor = Visitor.signed_in(acme.owner)
    token = value_of(visitor.get("/adjustments"), "csrfmiddlewaretoken")
    fields: dict[str, Any] = {"decision": "approve", "confirmed": "yes", "csrfmiddlewaretoken": token}
    for amount, said in ((-1_000, "\u200e−1,000"), (3_000, "\u200e+3,000")):
        part = text_of(send_as_htmx(visitor, "/adjustments/decide", fields | {"ids": [adjust(acme, amount)]}))
        assert f'data-announce="Approved: 1, {said}. "' in part


def test_adjustments_too_and_never_the_own(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    own = adjust(acme, 500, asked_by="owner", asked_by_id=acme.owner.user.pk)
    more, less, too_much = adjust(acme, 3_000), adjust(acme, -1_000), adjust(acme, -900_000)
    visitor = Visitor.signed_in(acme.owner)
    to = "/adjustments/decide"
    question = shown(visitor.submit("/adjustments", {"ids": [own, more, less], "decision": "approve"}, to=to))
    assert "Selected: 2 · Sum: \u200e+2,000" in question
    assert "member \u200e+500 You have asked for it: somebody else has to approve it." in question
    answer = shown(decide(visitor, [own, more, less, too_much], to=to))
    assert "Approved: 2 · \u200e+2,000" in answer
    assert "Not decided: 2" in answer
    assert str(FourEyes.message) in answer
    assert "The balance is 12,000 Tomans: 900,000 can't be taken from it." in answer
    assert acme.member.balance() == 12_000
    with acme.context:
        found = {str(row.pk): row.status for row in Adjustment.objects.all()}
    assert found == {own: "pending", more: "approved", less: "approved", too_much: "pending"}
    decide(visitor, [own, too_much], "reject", to=to, reason="made anew")
    assert acme.member.balance() == 12_000


@pytest.mark.parametrize(
    "fields",
    [
        {"ids": "x", "decision": "approve"},
        {"ids": "\x00", "decision": "approve"},
        {"ids": str(uuid.uuid4()), "decision": "both"},
        {"ids": str(uuid.uuid4())},
        {"ids": [str(uuid.uuid4()) for _ in range(201)], "decision": "approve", "confirmed": "yes"},
    ],
)
def test_what_is_no_decision_is_a_bad_request(acme: Organization, fields: dict[str, Any]) -> None:
    ask(acme.member)  # there is a form
    assert Visitor.signed_in(acme.owner).submit("/credit-requests", fields, to=DECIDE).status == 400


def test_it_is_for_those_who_decide_and_of_their_own_organization(acme: Organization, globex: Organization) -> None:
    ids = [ask(acme.member, 1_000)]
    for person in (acme.member, make_member(acme.row, "auditor", "auditor", acme.anyone.address)):
        visitor = Visitor.signed_in(person)
        assert visitor.submit("/account/preferences", {"ids": ids, "decision": "approve"}, to=DECIDE).status == 404
    assert f'name="ids" value="{ids[0]}"' not in text_of(visitor.get("/credit-requests")), "an auditor chooses nothing"
    stranger = Visitor.signed_in(globex.owner)
    ask(globex.member, 1)  # there is a form
    assert "Not decided" not in shown(decide(stranger, ids)), "there are no such rows"
    assert states(acme) == {ids[0]: "pending"}


def test_nothing_chosen_leads_back_and_says_so(acme: Organization) -> None:
    ask(acme.member)
    visitor = Visitor.signed_in(acme.owner)
    answer = visitor.submit("/credit-requests", {"decision": "approve"}, to=DECIDE)
    assert (answer.status, answer.headers["Location"]) == (302, "/credit-requests")
    assert "Nothing is selected." in shown(visitor.get("/credit-requests"))
