"""Somebody approves, and is demoted before the approval is written: nothing is approved."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import transaction

from shared.identity.realm import Realm
from shared.members.services import change_member
from tests.support.client import Answer
from tests.support.locks import advisory_locks, holding_lock
from tests.support.visitor import Visitor, value_of
from tests.support.waiting import wait_until
from tests.support.world import Organization, Person, ask, ask_for_adjustment, make_member


def on_page(clerk: Person, request_id: str) -> Callable[[], Answer]:
    """The confirmation was open before."""
    visitor, path = Visitor.signed_in(clerk), f"/credit-requests/{request_id}/approve"
    form = {"csrfmiddlewaretoken": value_of(visitor.get(path), "csrfmiddlewaretoken")}
    return lambda: visitor.post(path, form)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"role": "auditor"}, "token_expired"), ({"is_active": False}, "token_invalid")],
    ids=["demoted", "switched off"],
)
def test_who_is_demoted_while_an_approval_waits_has_approved_nothing(
    change: dict[str, object], code: str, acme: Organization
) -> None:
    realm, waiting = Realm(acme.row.pk, acme.row.slug), (acme.row.pk, acme.member.id, False)
    request_id, adjustment = ask(acme.member), ask_for_adjustment(acme.row, acme.member.id)
    own = {"seller_id": acme.member.id, "amount": 9000, "reason": "Paid twice."}
    acts: dict[str, Callable[[Person], Callable[[], Answer]]] = {
        "approves": lambda clerk: lambda: clerk.client.post(f"/credit-requests/{request_id}/approve"),
        "rejects": lambda clerk: lambda: clerk.client.post(f"/credit-requests/{request_id}/reject", {"reason": "No."}),
        "approves-adjustment": lambda clerk: lambda: clerk.client.post(f"/adjustments/{adjustment}/approve"),
        "adjusts": lambda clerk: lambda: clerk.client.post("/adjustments", own, key="k"),
        "approves-on-page": lambda clerk: on_page(clerk, request_id),
    }
    answers: dict[str, Answer] = {}
    with ThreadPoolExecutor(1) as pool:
        for name, act in acts.items():
            do = act(make_member(acme.row, name, "accountant", acme.anyone.address))
            with holding_lock(acme.row, acme.member.id), acme.context, transaction.atomic():
                # Not seen before it commits: the request is let in, and waits.
                change_member(realm=realm, username=name, **change)  # type: ignore[arg-type]
                answer = pool.submit(do)
                wait_until(lambda: waiting in advisory_locks(), f"it waits: {name}")
            answers[name] = answer.result(10)
    answers.pop("approves-on-page")  # whose words are another test's
    assert {name: (answer.status, answer.code) for name, answer in answers.items()} == dict.fromkeys(
        answers, (401, code)
    )
    assert acme.member.balance() == 0
    for path in ("/credit-requests", "/adjustments"):
        rows = acme.owner.client.get(path).json["results"]
        assert [(row["status"], row["decided_by"]) for row in rows] == [("pending", None)]
    assert {row["actor"] for row in acme.owner.client.get("/audit").json["results"]} <= {"member", ""}
