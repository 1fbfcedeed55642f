"""Adjustments of a balance by hand, and the second person whom large ones, and large credit requests, need."""

import uuid
from collections import Counter
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from credit.adjustments import approve_adjustment, create_adjustment
from credit.errors import BalanceLimitExceeded
from credit.models import Adjustment, AuditRecord, CreditRequest, Entry
from shared.money import LARGEST_AMOUNT, LARGEST_BALANCE
from tenants.errors import OrganizationSuspended
from tests.support.client import Answer
from tests.support.crowd import in_threads, together
from tests.support.world import Organization, Person, ask, give_credit, make_person


@pytest.fixture
def second(acme: Organization) -> Person:
    return make_person(acme.row, "second-owner", acme.owner.client.address)


def adjust(person: Person, seller_id: int, amount: Any = 5000, *, key: str | None = None, **more: Any) -> Answer:
    body = {"seller_id": seller_id, "amount": amount, "reason": "Paid twice.", **more}
    return person.client.post("/adjustments", body, key=key or uuid.uuid4().hex)


def demand_two_from(acme: Organization, amount: int | None) -> None:
    answer = acme.owner.client.patch("/settings", {"four_eyes_from": amount})
    assert (answer.status, answer.json["four_eyes_from"]) == (200, amount)


def decided(answer: Answer) -> tuple[int, str | None, str | None]:
    return answer.status, answer.code or answer.json["status"], answer.headers.get("Idempotent-Replayed")


# --- Adjustments ------------------------------------------------------------------------------------------------------


def test_one_below_the_threshold_is_posted_as_it_is_made(acme: Organization) -> None:
    member, owner = acme.member, acme.owner
    more = adjust(owner, member.id, 7000, reference="letter 12")
    less = adjust(owner, member.id, -3000, reason="too much")
    assert (more.status, less.status) == (201, 201)
    assert more.json == {
        "id": more.json["id"],
        "seller_id": member.id,
        "amount": 7000,
        "reason": "Paid twice.",
        "reference": "letter 12",
        "status": "approved",
        "asked_by": "owner",
        "created_at": more.json["created_at"],
        "decided_at": more.json["created_at"],
        "decided_by": "owner",
        "decision_reason": "",
    }
    assert member.balance() == 4000
    entries = member.client.get("/entries").json["results"]
    assert [(one["kind"], one["amount"], one["balance_after"], one["reference"]) for one in entries] == [
        ("adjustment", -3000, 4000, less.json["id"]),
        ("adjustment", 7000, 7000, more.json["id"]),
    ]
    assert [one["id"] for one in owner.client.get("/adjustments").json["results"]] == [less.json["id"], more.json["id"]]
    assert owner.client.get("/adjustments?status=pending").json["results"] == []
    assert owner.client.get(f"/adjustments?seller_id={acme.neighbour.id}").json["results"] == []
    assert owner.client.get(f"/adjustments/{less.json['id']}").json == less.json
    assert owner.client.get(f"/adjustments/{uuid.uuid4()}").code == "not_found"
    # Whoever asked may send the approval of what is approved: nothing is done twice.
    assert decided(owner.client.post(f"/adjustments/{more.json['id']}/approve")) == (200, "approved", "true")
    assert member.balance() == 4000
    with acme.context:
        written = AuditRecord.objects.filter(action="adjustment.asked").order_by("pk").values_list("actor", "object")
        assert list(written) == [("owner", more.json["id"]), ("owner", less.json["id"])]


def test_from_the_threshold_on_it_needs_two_people(acme: Organization, second: Person) -> None:
    member, owner = acme.member, acme.owner
    assert owner.client.get("/settings").json["four_eyes_from"] is None
    demand_two_from(acme, 5000)
    assert adjust(owner, member.id, 4999).json["status"] == "approved"
    for amount in (5000, -5000):
        asked = adjust(owner, member.id, amount)
        path = f"/adjustments/{asked.json['id']}"
        assert (asked.status, asked.json["status"], asked.json["decided_by"]) == (201, "pending", None)
        before = member.balance()
        assert decided(owner.client.post(f"{path}/approve")) == (403, "four_eyes", None)
        assert member.balance() == before
        assert decided(second.client.post(f"{path}/approve")) == (200, "approved", None)
        assert decided(second.client.post(f"{path}/approve")) == (200, "approved", "true")
        assert decided(owner.client.post(f"{path}/reject", {"reason": "no"})) == (409, "already_decided", None)
        assert member.balance() == before + amount
        assert owner.client.get(path).json["decided_by"] == "second-owner"
    # What was asked for is by the threshold of then.
    asked = adjust(owner, member.id, 5000)
    demand_two_from(acme, None)
    assert decided(owner.client.post(f"/adjustments/{asked.json['id']}/approve"))[1] == "four_eyes"
    assert adjust(owner, member.id, 1_000_000).json["status"] == "approved"
    with acme.context:
        (row,) = AuditRecord.objects.filter(action="adjustment.approved").order_by("pk")[:1]
        assert (row.actor, row.before, row.after["amount"]) == ("second-owner", {"status": "pending"}, 5000)
        changes = AuditRecord.objects.filter(action="settings.changed").order_by("pk").values_list("before", "after")
        assert list(changes) == [
            ({"four_eyes_from": None}, {"four_eyes_from": 5000}),
            ({"four_eyes_from": 5000}, {"four_eyes_from": None}),
        ]


def test_whoever_asked_withdraws_it_by_rejecting(acme: Organization, second: Person) -> None:
    demand_two_from(acme, 1)
    path = f"/adjustments/{adjust(acme.owner, acme.member.id).json['id']}"
    assert acme.owner.client.post(f"{path}/reject", {}).faults == {("reason", "required")}
    assert decided(acme.owner.client.post(f"{path}/reject", {"reason": "a slip"})) == (200, "rejected", None)
    again = second.client.post(f"{path}/reject", {"reason": "other"})
    assert decided(again) == (200, "rejected", "true")
    assert (again.json["decided_by"], again.json["decision_reason"]) == ("owner", "a slip")
    assert decided(second.client.post(f"{path}/approve"))[1] == "already_decided"
    assert acme.member.balance() == 0


def test_what_a_balance_does_not_bear_is_not_done(acme: Organization, second: Person) -> None:
    member, owner = acme.member, acme.owner
    give_credit(acme.row, member.id, 1200)
    refused = adjust(owner, member.id, -1201, key="k")
    assert (refused.status, refused.code, refused.json["balance"], refused.json["required"]) == (
        402, "insufficient_credit", 1200, 1201,
    )  # fmt: skip
    assert adjust(owner, member.id, -1200, key="k").status == 201  # a refusal stores nothing
    demand_two_from(acme, 1)
    asked = adjust(owner, member.id, -10)
    path = f"/adjustments/{asked.json['id']}"
    assert second.client.post(f"{path}/approve").code == "insufficient_credit"
    assert owner.client.get(path).json["status"] == "pending"
    demand_two_from(acme, None)
    with acme.context, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT ledger_post(%s, %s, 'adjustment', %s, gen_random_uuid())",
            [acme.row.pk, acme.neighbour.id, LARGEST_BALANCE],
        )
        with pytest.raises(BalanceLimitExceeded):
            create_adjustment(
                organization=acme.row,
                seller_id=acme.neighbour.id,
                idempotency_key="k",
                amount=1,
                reason="x",
                asked_by="other",
                asked_by_id=10**9,
            )
        assert not Adjustment.objects.filter(seller=acme.neighbour.id).exists()
        transaction.set_rollback(True)  # what has no document never was


def test_one_key_of_one_person_is_one_adjustment(acme: Organization, second: Person) -> None:
    member, owner = acme.member, acme.owner
    first = adjust(owner, member.id, 5000, key="k")
    again = adjust(owner, member.id, 5000, key="k")
    assert (again.status, again.json, again.headers["Idempotent-Replayed"]) == (200, first.json, "true")
    body = {"seller_id": member.id, "amount": 5000, "reason": "Paid twice."}
    for other in ({"amount": -5000}, {"reason": "another"}, {"reference": "x"}, {"seller_id": acme.neighbour.id}):
        reused = owner.client.post("/adjustments", body | other, key="k")
        assert (reused.status, reused.code) == (422, "idempotency_key_reused"), other
    assert adjust(second, member.id, 5000, key="k").status == 201  # a key is its asker's
    assert member.balance() == 10_000
    assert owner.client.post("/adjustments", {"seller_id": member.id, "amount": 5, "reason": "x"}).code == (
        "idempotency_key_missing"
    )


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"amount": 0}, ("amount", "zero")),
        ({"amount": 5000.0}, ("amount", "not_an_integer")),
        ({"amount": "-5"}, ("amount", "not_an_integer")),
        ({"amount": True}, ("amount", "not_an_integer")),
        ({"amount": None}, ("amount", "null")),
        ({"amount": LARGEST_AMOUNT + 1}, ("amount", "too_large")),
        ({"amount": -LARGEST_AMOUNT - 1}, ("amount", "too_small")),
        ({"reason": ""}, ("reason", "blank")),
        ({"reason": "x" * 501}, ("reason", "max_length")),
        ({"reason": "a\x00"}, ("body", "not_readable")),
        ({"reference": "x" * 101}, ("reference", "max_length")),
        ({"seller_id": 10**9}, ("seller_id", "no_such_seller")),
        ({"seller_id": "1"}, ("seller_id", "not_an_integer")),
        ({"seller_id": 2**63}, ("seller_id", "too_large")),
        ({"note": "x"}, ("note", "unknown_field")),
    ],
    ids=str,
)
def test_bad_input_is_said_to_be(acme: Organization, changed: dict[str, Any], fault: tuple[str, str]) -> None:
    body = {"seller_id": acme.member.id, "amount": 5, "reason": "x", **changed}
    answer = acme.owner.client.post("/adjustments", body, key="k")
    assert (answer.status, answer.faults) == (400, {fault})


def test_a_threshold_is_an_amount_or_nothing(acme: Organization) -> None:
    for bad in (0, -1, "5", 5.0, True, LARGEST_AMOUNT + 1):
        assert acme.owner.client.patch("/settings", {"four_eyes_from": bad}).status == 400
    demand_two_from(acme, LARGEST_AMOUNT)
    assert acme.owner.client.patch("/settings", {"duplicate_window": 60}).json["four_eyes_from"] == LARGEST_AMOUNT


def test_nothing_is_asked_of_a_suspended_organization(acme: Organization) -> None:
    arguments: dict[str, Any] = {
        "organization": acme.row, "seller_id": acme.member.id, "idempotency_key": "k", "amount": 5, "reason": "x",
        "asked_by": "owner", "asked_by_id": acme.owner.user.pk,
    }  # fmt: skip
    with acme.context:
        made = create_adjustment(**arguments)
        acme.row.status = "suspended"
        assert create_adjustment(**arguments).is_replay
        with pytest.raises(OrganizationSuspended):
            create_adjustment(**arguments | {"idempotency_key": "other"})
        with pytest.raises(OrganizationSuspended):
            approve_adjustment(
                organization=acme.row, adjustment_id=uuid.uuid4(), decided_by="owner", decided_by_id=acme.owner.user.pk
            )
        assert Entry.objects.get().reference == made.row.pk


# --- At once ----------------------------------------------------------------------------------------------------------


def test_one_key_from_20_threads_is_one_adjustment(acme: Organization) -> None:
    answers = together([partial(adjust, acme.owner, acme.member.id, 700, key="k")] * 20)
    assert Counter(answer.status for answer in answers) == {201: 1, 200: 19}
    assert acme.member.balance() == 700
    # For two sellers, whose locks are two: one of them.
    sellers = [acme.member.id, acme.neighbour.id] * 8
    answers = together([partial(adjust, acme.owner, seller, 9, key="other") for seller in sellers])
    assert Counter(answer.status for answer in answers) == {201: 1, 200: 7, 422: 8}
    assert acme.member.balance() + acme.neighbour.balance() == 709


def test_of_decisions_at_once_one_is_made(acme: Organization, second: Person) -> None:
    third = make_person(acme.row, "third-owner", acme.owner.client.address)
    demand_two_from(acme, 1)
    for _ in range(4):
        before = acme.member.balance()
        path = f"/adjustments/{adjust(acme.owner, acme.member.id, 100).json['id']}"
        answers = together(
            [partial(one.client.post, f"{path}/approve") for one in (second, third)] * 3
            + [partial(one.client.post, f"{path}/reject", {"reason": "no"}) for one in (acme.owner, third)]
            + [partial(acme.owner.client.post, f"{path}/approve")] * 2  # in another session: the same person
        )
        status = acme.owner.client.get(path).json["status"]
        made = [answer for answer in answers if answer.status == 200 and "Idempotent-Replayed" not in answer.headers]
        assert [answer.json["status"] for answer in made] == [status]
        assert acme.member.balance() - before == (100 if status == "approved" else 0)
    with acme.context:
        assert not Adjustment.objects.filter(status="approved", decided_by="owner").exists()


def test_sales_and_negative_adjustments_at_once_end_exactly(acme: Organization, second: Person) -> None:
    member = acme.member
    give_credit(acme.row, member.id, 50_000)
    demand_two_from(acme, 2000)
    waiting = [adjust(acme.owner, member.id, -2000).json["id"] for _ in range(10)]
    calls = [partial(member.sell, 1000)] * 40
    calls += [partial(adjust, acme.owner, member.id, -1000)] * 20
    calls += [partial(second.client.post, f"/adjustments/{one}/approve") for one in waiting]
    answers = in_threads(calls[::3] + calls[1::3] + calls[2::3], 16)
    refused = Counter(answer.code for answer in answers if answer.status >= 400)
    assert set(refused) == {"insufficient_credit"}
    assert member.balance() in (0, 1000)
    with acme.context:
        amounts = Entry.objects.filter(seller=member.id).values_list("amount", flat=True)
        assert sum(amounts) == member.balance()
        assert len(amounts) == 1 + sum(answer.status < 400 for answer in answers)


# --- Credit requests --------------------------------------------------------------------------------------------------


def test_a_large_credit_request_needs_two_people(acme: Organization, second: Person) -> None:
    member, owner = acme.member, acme.owner
    demand_two_from(acme, 50_000)
    small = owner.client.post(f"/credit-requests/{ask(member, 49_999)}/approve")
    assert (small.json["status"], small.json["approvals"]) == ("approved", 1)
    path = f"/credit-requests/{ask(member, 50_000)}"
    assert member.client.get(path).json["approvals"] == 0
    first = owner.client.post(f"{path}/approve")
    assert (decided(first), first.json["approvals"]) == ((200, "pending", None), 1)
    again = owner.client.post(f"{path}/approve")
    assert (decided(again), again.json["approvals"]) == ((200, "pending", "true"), 1)
    demand_two_from(acme, None)  # once one was recorded, the second is needed
    assert decided(owner.client.post(f"{path}/approve")) == (200, "pending", "true")
    assert member.balance() == 49_999
    approved = second.client.post(f"{path}/approve")
    assert (decided(approved), approved.json["approvals"]) == ((200, "approved", None), 2)
    assert approved.json["decided_by"] == "second-owner"
    assert decided(owner.client.post(f"{path}/approve")) == (200, "approved", "true")
    assert member.balance() == 99_999
    # The threshold is that of the first approval.
    later = f"/credit-requests/{ask(member, 50_000)}"
    demand_two_from(acme, 50_000)
    assert owner.client.post(f"{later}/approve").json["status"] == "pending"
    assert decided(owner.client.post(f"{later}/reject", {"reason": "no"})) == (200, "rejected", None)
    assert decided(second.client.post(f"{later}/approve"))[1] == "already_decided"
    assert member.client.get(later).json["approvals"] == 1
    assert member.balance() == 99_999


def test_one_persons_approvals_at_once_are_one(acme: Organization, second: Person) -> None:
    demand_two_from(acme, 1)
    for _ in range(4):
        before = acme.member.balance()
        path = f"/credit-requests/{ask(acme.member, 100)}"
        answers = together([partial(acme.owner.client.post, f"{path}/approve")] * 8)
        assert Counter(map(decided, answers)) == {(200, "pending", None): 1, (200, "pending", "true"): 7}
        assert acme.member.balance() == before
        answers = together([partial(one.client.post, f"{path}/approve") for one in (second, acme.owner)] * 4)
        assert {answer.status for answer in answers} == {200}
        assert acme.member.balance() == before + 100
    with acme.context:
        assert not CreditRequest.objects.filter(first_approved_by="second-owner").exists()


def test_a_bank_reference_is_used_once(acme: Organization) -> None:
    def request(person: Person, reference: Any, key: str = "", amount: int = 5000) -> Answer:
        body = {"amount": amount, "bank_reference": reference}
        return person.client.post("/credit-requests", body, key=key or uuid.uuid4().hex)

    first = request(acme.member, " TRX  ۱۲۳۴ 5678 ", "k")
    assert (first.status, first.json["bank_reference"]) == (201, "TRX 12345678")
    assert request(acme.member, "TRX 12345678", "k").headers["Idempotent-Replayed"] == "true"
    assert request(acme.member, "TRX 999", "k").code == "idempotency_key_reused"
    assert acme.member.client.post("/credit-requests", {"amount": 5000}, key="k").code == "idempotency_key_reused"
    for person in (acme.member, acme.neighbour):
        assert (request(person, "TRX 1234 5678").status, request(person, "TRX ٠12").status) == (
            409, 201 if person is acme.member else 409,
        )  # fmt: skip
    for same in ("TRX 12345678", "TRX 12\u200c34\u200d5678", "\u200cTRX 12345678"):
        assert request(acme.member, same).code == "bank_reference_used", same
    assert acme.member.client.post("/credit-requests", {"amount": 5000}, key="none").json["bank_reference"] is None
    assert ask(acme.neighbour)  # as many as there may be without one
    acme.owner.client.post(f"/credit-requests/{first.json['id']}/reject", {"reason": "not paid"})
    assert request(acme.neighbour, "TRX 12345678").status == 201
    for bad in ("", "x" * 101, 5, None, "a\x00", "a\u200f"):
        assert request(acme.member, bad).status == 400, bad
    # Two at once, under two locks.
    answers = together([partial(request, one, "same") for one in (acme.member, acme.neighbour)] * 4)
    assert Counter((answer.status, answer.code) for answer in answers) == {
        (201, None): 1,
        (409, "bank_reference_used"): 7,
    }


# --- What was decided stays -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credit_adjustment SET amount = amount + 1",
        "UPDATE credit_adjustment SET status = 'pending', decided_at = NULL WHERE status <> 'pending'",
        "UPDATE credit_adjustment SET decided_by = 'nobody' WHERE status <> 'pending'",
        "UPDATE credit_adjustment SET asked_by_id = 1",
        "DELETE FROM credit_adjustment",
        "TRUNCATE credit_adjustment",
        "UPDATE credit_creditrequest SET amount = amount + 1",
        "UPDATE credit_creditrequest SET bank_reference = 'x'",
        "UPDATE credit_creditrequest SET status = 'rejected', decided_at = now() WHERE status = 'approved'",
        "UPDATE credit_creditrequest SET first_approved_by_id = 5 WHERE first_approved_at IS NOT NULL",
        "DELETE FROM credit_creditrequest",
        "TRUNCATE credit_creditrequest",
    ],
)
def test_documents_keep_what_they_say(acme: Organization, second: Person, statement: str) -> None:
    give_credit(acme.row, acme.member.id, 5000)
    adjust(acme.owner, acme.member.id)
    demand_two_from(acme, 1)
    adjust(acme.owner, acme.member.id)
    acme.owner.client.post(f"/credit-requests/{ask(acme.member)}/approve")
    with (
        acme.context,
        pytest.raises(DatabaseError, match=r"refused|permission denied|cannot truncate"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
