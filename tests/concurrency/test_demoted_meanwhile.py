"""Somebody approves, and is demoted before the approval is written: nothing is approved."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from shared.identity.realm import Realm
from shared.members.services import change_member
from tests.support.client import Answer
from tests.support.locks import holding_lock
from tests.support.visitor import Visitor, value_of
from tests.support.waiting import wait_until
from tests.support.world import Organization, ask, ask_for_adjustment, make_member


def waiting_for_sellers() -> int:
    """How many wait for a seller's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND NOT granted")
        found: int = cursor.fetchone()[0]
    return found


@pytest.mark.parametrize(
    ("change", "code"),
    [({"role": "auditor"}, "token_expired"), ({"is_active": False}, "token_invalid")],
    ids=["demoted", "switched off"],
)
def test_who_is_demoted_while_an_approval_waits_has_approved_nothing(
    change: dict[str, object], code: str, acme: Organization
) -> None:
    clerk, realm = make_member(acme.row, "clerk", "accountant", acme.anyone.address), Realm(acme.row.pk, acme.row.slug)
    approved, rejected, on_page = (ask(acme.member) for _ in range(3))
    adjustment = ask_for_adjustment(acme.row, acme.member.id)
    own = {"seller_id": acme.member.id, "amount": 9000, "reason": "Paid twice."}
    visitor, path = Visitor.signed_in(clerk), f"/credit-requests/{on_page}/approve"
    form = {"csrfmiddlewaretoken": value_of(visitor.get(path), "csrfmiddlewaretoken")}
    acts: list[Callable[[], Answer]] = [
        lambda: clerk.client.post(f"/credit-requests/{approved}/approve"),
        lambda: clerk.client.post(f"/credit-requests/{rejected}/reject", {"reason": "No."}),
        lambda: clerk.client.post(f"/adjustments/{adjustment}/approve"),
        lambda: clerk.client.post("/adjustments", own, key="k"),
        lambda: visitor.post(path, form),
    ]
    with ThreadPoolExecutor(len(acts)) as pool:
        with holding_lock(acme.row, acme.member.id), acme.context, transaction.atomic():
            # Not seen before it commits: all of them are let in, and wait.
            change_member(realm=realm, username="clerk", **change)  # type: ignore[arg-type]
            answers = [pool.submit(act) for act in acts]
            wait_until(lambda: waiting_for_sellers() == len(acts), "all of them wait")
        *refused, _page = [answer.result(10) for answer in answers]
    assert [(answer.status, answer.code) for answer in refused] == [(401, code)] * len(refused)
    assert acme.member.balance() == 0
    for path in ("/credit-requests", "/adjustments"):
        rows = acme.owner.client.get(path).json["results"]
        assert {(row["status"], row["decided_by"]) for row in rows} == {("pending", None)}
    assert acme.owner.client.get("/audit?actor=clerk").json["results"] == []
