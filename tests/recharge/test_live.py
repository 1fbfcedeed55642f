"""What waits, asked again and again: the badges of the menu, and the version of the page Today."""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from credit import services
from recharge.delivery.settlement import resolve_recharge, settle_recharge
from recharge.pages.live import MOST_COUNTED
from tests.recharge.test_claims import S, opened, recharge, say
from tests.support.locks import sell_pending
from tests.support.queries import queries_of
from tests.support.visitor import Visitor, text_of
from tests.support.world import Organization, ask, make_member, raise_waiting_requests


def live(visitor: Visitor, seen: str = "") -> Any:
    """What is answered; None: nothing has changed."""
    answer = visitor.get(f"/live?seen={seen}", Polls="yes")
    if answer.status == 204:
        return None
    assert answer.status == 200
    return json.loads(answer.body)


def counts(visitor: Visitor) -> dict[str, str]:
    return {badge["address"]: badge["count"] for badge in live(visitor)["badges"]}


def unknown(organization: Organization) -> uuid.UUID:
    recharge = sell_pending(organization.row, organization.member.id, 5_000)
    settle_recharge(organization=organization.row, recharge_id=recharge, status="unknown")
    return recharge


def test_it_counts_what_waits_for_whom(funded: Organization) -> None:
    people = {
        role: Visitor.signed_in(make_member(funded.row, role, role, funded.anyone.address))
        for role in ("accountant", "support", "auditor")
    }
    admin, seller = Visitor.signed_in(funded.owner), Visitor.signed_in(funded.member)
    assert set(counts(admin).values()) == {""}
    for _ in range(2):
        ask(funded.member)
    unknown(funded)
    assert counts(admin) == {"/credit-requests": "2", "/adjustments": "", "/recharges": "1", "/claims": ""}
    assert counts(people["accountant"]) == {"/credit-requests": "2", "/adjustments": "", "/claims": ""}
    assert counts(people["support"]) == {"/recharges": "1", "/claims": ""}
    assert counts(people["auditor"]) == {"/credit-requests": "2", "/adjustments": "", "/claims": ""}
    assert counts(seller) == {"/claims": ""}
    labels = [badge["label"] for badge in live(admin)["badges"]]
    assert labels[0] == "2 waiting for a decision"
    page = text_of(admin.get("/sellers"))
    assert 'data-live="/live"' in page
    cashier = make_member(funded.row, "c", "cashier", funded.anyone.address, seller_id=funded.member.id)
    assert counts(Visitor.signed_in(cashier)) == {"/claims": ""}


def test_a_question_waits_for_the_organization_and_its_answer_for_the_seller(funded: Organization) -> None:
    admin, seller = Visitor.signed_in(funded.owner), Visitor.signed_in(funded.member)
    claim = opened(funded, recharge(funded, S))
    assert (counts(admin)["/claims"], counts(seller)["/claims"]) == ("1", "")
    say(funded, claim, "Which SIM is it?", "a")
    assert counts(seller)["/claims"] == "1"
    assert counts(Visitor.signed_in(funded.neighbour))["/claims"] == "", "it is of another"


def test_many_are_not_counted_through(funded: Organization) -> None:
    with funded.context:
        for number in range(MOST_COUNTED + 1):
            services.create_credit_request(
                organization=funded.row,
                seller_id=funded.member.id,
                idempotency_key=str(number),
                amount=1_000,
                note="",
            )
    assert counts(Visitor.signed_in(funded.owner))["/credit-requests"] == "99+"


def _settle(funded: Organization, recharge: uuid.UUID, status: str) -> None:
    settle_recharge(organization=funded.row, recharge_id=recharge, status=status, failure="no")


def _raise_alert(funded: Organization) -> None:
    with funded.context:
        raise_waiting_requests()


CHANGES: dict[str, Callable[[Organization, uuid.UUID, str], object]] = {
    "somebody asks": lambda funded, recharge, request: ask(funded.neighbour),
    "a request is rejected": lambda funded, recharge, request: services.reject_credit_request(
        organization=funded.row, request_id=uuid.UUID(request), reason="no", decided_by="x", decided_by_id=1
    ),
    "something is sold": lambda funded, recharge, request: funded.member.sell(1_000),
    "a recharge is delivered": lambda funded, recharge, request: _settle(funded, recharge, "succeeded"),
    "a recharge fails": lambda funded, recharge, request: _settle(funded, recharge, "failed"),
    "nobody knows": lambda funded, recharge, request: _settle(funded, recharge, "unknown"),
    "an alert is raised": lambda funded, recharge, request: _raise_alert(funded),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_silent_until_something_changes(funded: Organization, change: str) -> None:
    recharge, request = sell_pending(funded.row, funded.member.id, 5_000), ask(funded.member)
    visitor = Visitor.signed_in(funded.owner)
    page = text_of(visitor.get("/today"))
    version = re.search(r'data-version="(\w+)"', page)[1]
    assert live(visitor, version) is None, "the page is of this state"
    CHANGES[change](funded, recharge, request)
    state = live(visitor, version)
    assert state is not None
    assert live(visitor, state["version"]) is None


def test_what_came_late_changes_it(funded: Organization) -> None:
    recharge = sell_pending(funded.row, funded.member.id, 5_000)
    _settle(funded, recharge, "failed")
    visitor = Visitor.signed_in(funded.owner)
    version = live(visitor)["version"]
    resolve_recharge(organization=funded.row, recharge_id=recharge, status="succeeded", reason="it came", by="owner")
    assert live(visitor, version) is not None


def test_who_is_signed_out_is_told_and_led_nowhere(funded: Organization, globex: Organization) -> None:
    assert Visitor(funded.anyone).get("/live", Polls="yes").status == 401
    ask(funded.member)
    assert set(counts(Visitor.signed_in(globex.owner)).values()) == {""}, "of another organization nothing"


def test_one_look_costs_three_queries(funded: Organization) -> None:
    for _ in range(3):
        ask(funded.member)
        unknown(funded)
    # The session, the account, and one for all that waits.
    assert len(queries_of(funded.owner, "/live")) == 3
