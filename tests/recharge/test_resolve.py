"""``POST /recharges/{id}/resolve``, and what an admin sees of a recharge's delivery."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from credit.models import Entry
from recharge.delivery.gateways import Answer as GatewayAnswer
from recharge.delivery.gateways import Delivery
from recharge.delivery.settlement import resolve_recharge, settle_recharge
from recharge.delivery.work import DeliveryWork, Result
from recharge.models import Attempt, Recharge
from recharge.selling.errors import RechargeChanged
from recharge.selling.queries import MOST_ATTEMPTS
from tenants.working_role import as_owner
from tests.support.bad_input import NO_UUIDS, NOT_JSON, SOME_BODIES, SOME_CONTENT_TYPES, Refusal, invalid, table
from tests.support.client import Answer
from tests.support.crowd import together
from tests.support.locks import advisory_locks, holding_lock, sell_pending
from tests.support.logs import ServerLog
from tests.support.tables import nothing_written
from tests.support.waiting import wait_until
from tests.support.world import Organization, give_credit, make_person

LARGEST_BALANCE = 2**53 - 1


@pytest.fixture
def pending(acme: Organization) -> str:
    """The id of a recharge of 4,000 of acme's member, who had 5,000 Tomans."""
    give_credit(acme.row, acme.member.id, 5000)
    return str(sell_pending(acme.row, acme.member.id, 4000))


def resolve(organization: Organization, recharge_id: str, status: Any, reason: Any = "asked them") -> Answer:
    return organization.owner.client.post(f"/recharges/{recharge_id}/resolve", {"status": status, "reason": reason})


def tell(organization: Organization, recharge_id: str, status: str) -> None:
    """As a worker does."""
    settle_recharge(
        organization=organization.row,
        recharge_id=uuid.UUID(recharge_id),
        status=Recharge.Status(status),
        failure="barred" if status == "failed" else "",
    )


S, F, U = "succeeded", "failed", "unknown"
SPEND, FILL = "the seller spends all there is", "the seller gets 4,000 more"


@pytest.mark.parametrize(
    ("before", "status", "answered", "late", "balance", "kinds"),
    table(
        ("pending, succeeded", [], S, 200, None, 1000, ["recharge"]),
        ("pending, failed", [], F, 200, None, 5000, ["recharge", "refund"]),
        ("unknown, succeeded", [U], S, 200, None, 1000, ["recharge"]),
        ("unknown, failed", [U], F, 200, None, 5000, ["recharge", "refund"]),
        ("failed, delivered after all", [F], S, 200, "charged", 1000, ["recharge", "refund", "late_charge"]),
        ("the same without credit", [F, SPEND], S, 200, "owed", 0, ["recharge", "refund"]),
        ("owed, still without credit", [F, SPEND, S], S, 200, "owed", 0, ["recharge", "refund"]),
        ("owed, and not delivered at all", [F, SPEND, S], F, 200, None, 0, ["recharge", "refund"]),
        ("succeeded, taken back", [S], F, 200, "reversed", 5000, ["recharge", "reversal"]),
        ("taken back, succeeded", [S, F], S, 409, "reversed", 5000, ["recharge", "reversal"]),
    ),
)
def test_it_settles_what_was_cleared_up(
    acme: Organization,
    pending: str,
    before: list[str],
    status: str,
    answered: int,
    late: str | None,
    balance: int,
    kinds: list[str],
) -> None:
    for event in before:
        if event == SPEND:
            assert acme.member.sell(acme.member.balance()).status == 201
        elif event == FILL:
            give_credit(acme.row, acme.member.id, 4000)
        else:
            tell(acme, pending, event)
    with acme.context:  # a worker is to ask once more
        Recharge.objects.filter(pk=pending).update(due_at="2999-01-01T00:00:00Z")
    answer = resolve(acme, pending, status)
    assert (answer.status, answer.code) == (answered, "already_settled" if answered == 409 else None)
    assert "Idempotent-Replayed" not in answer.headers
    shown = acme.owner.client.get(f"/recharges/{pending}").json
    assert shown["late"] == late
    assert acme.member.balance() == balance
    with acme.context:
        entries = Entry.objects.filter(reference=pending).order_by("number")
        assert [entry.kind for entry in entries] == kinds
        assert (Recharge.objects.get(pk=pending).due_at is None) == (answered == 200)
    if answered == 200:
        assert answer.json == shown
        assert (shown["status"], shown["failure"]) == (status, "asked them" if status == F else None)
        assert shown["attempts"][-1] | {"started_at": 0} == {
            "number": len(shown["attempts"]),
            "action": "resolve",
            "gateway": "sandbox",
            "started_at": 0,
            "latency_ms": 0,
            "outcome": status,
            "reason": "asked them",
            "operator_reference": "",
            "answer": "",
            "by": "owner",
        }


@pytest.mark.parametrize("status", [S, F])
def test_the_same_again_changes_nothing(acme: Organization, pending: str, status: str) -> None:
    first = resolve(acme, pending, status)
    with nothing_written():
        again = resolve(acme, pending, status, "another reason")
    assert (first.status, again.status) == (200, 200)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json


def test_what_the_worker_has_settled_is_a_replay(acme: Organization, pending: str) -> None:
    tell(acme, pending, S)
    with nothing_written():
        answer = resolve(acme, pending, S)
    assert (answer.status, answer.headers.get("Idempotent-Replayed")) == (200, "true")
    assert answer.json["attempts"] == []


def test_nothing_changes_what_was_taken_back(acme: Organization, pending: str) -> None:
    tell(acme, pending, S)
    assert resolve(acme, pending, F).json["late"] == "reversed"
    with nothing_written():
        assert resolve(acme, pending, S).code == "already_settled"
        assert resolve(acme, pending, F).headers["Idempotent-Replayed"] == "true"


def test_it_corrects_itself_and_keeps_both(acme: Organization, pending: str) -> None:
    second = make_person(acme.row, "second-owner", acme.owner.client.address)
    resolve(acme, pending, F, "they say no")
    body = {"status": S, "reason": "they say yes"}
    corrected = second.client.post(f"/recharges/{pending}/resolve", body).json
    assert [(attempt["outcome"], attempt["reason"], attempt["by"]) for attempt in corrected["attempts"]] == [
        (F, "they say no", "owner"),
        (S, "they say yes", "second-owner"),
    ]
    assert (corrected["late"], corrected["failure"]) == ("charged", None)


def test_the_log_says_who_did_what(acme: Organization, pending: str, log: Path) -> None:
    server_log = ServerLog(log)
    answer = resolve(acme, pending, F)
    line = server_log.wait_for("recharge_resolved", answer.headers["X-Request-ID"])
    assert (line["organization"], line["by"], line["recharge"]) == ("acme", "owner", pending)
    assert (line["status"], line["settlement"]) == (F, "settled")


def test_of_many_at_once_one_refunds(acme: Organization, pending: str) -> None:
    answers = together([lambda: resolve(acme, pending, F)] * 8)
    assert {answer.status for answer in answers} == {200}
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len({str(answer.json) for answer in answers}) == 1
    assert acme.member.balance() == 5000


@pytest.mark.breaks_the_books  # a balance that no documents come to
def test_a_refund_beyond_the_largest_balance_is_refused(acme: Organization, pending: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (org_acme.ledger_post(%s, %s, 'adjustment', %s, gen_random_uuid())).posted",
            [acme.row.pk, acme.member.id, LARGEST_BALANCE - 1000],
        )
    with nothing_written():
        answer = resolve(acme, pending, F)
    assert (answer.status, answer.code) == (409, "balance_limit_exceeded")


def test_a_seller_who_is_busy_is_503(acme: Organization, pending: str) -> None:
    with holding_lock(acme.row, acme.member.id), nothing_written():
        answer = resolve(acme, pending, F)
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "seller_busy", "1")


@pytest.mark.parametrize(
    ("body", "fault"),
    table(
        ("no status", {"reason": "x"}, ("status", "required")),
        ("still unknown", {"status": "unknown", "reason": "x"}, ("status", "invalid_choice")),
        ("still pending", {"status": "pending", "reason": "x"}, ("status", "invalid_choice")),
        ("capitals", {"status": "FAILED", "reason": "x"}, ("status", "invalid_choice")),
        ("true", {"status": True, "reason": "x"}, ("status", "invalid_choice")),
        ("a list", {"status": ["failed"], "reason": "x"}, ("status", "invalid_choice")),
        ("null", {"status": None, "reason": "x"}, ("status", "null")),
        ("no reason", {"status": "failed"}, ("reason", "required")),
        ("an empty reason", {"status": "failed", "reason": " "}, ("reason", "blank")),
        ("no reason for a success", {"status": "succeeded", "reason": ""}, ("reason", "blank")),
        ("a reason of 201 characters", {"status": "failed", "reason": "x" * 201}, ("reason", "max_length")),
        ("a number for a reason", {"status": "failed", "reason": 7}, ("reason", "invalid")),
        ("a reason that is null", {"status": "failed", "reason": None}, ("reason", "null")),
        ("somebody else's name", {"status": "failed", "reason": "x", "by": "second"}, ("by", "unknown_field")),
    ),
)
def test_it_refuses_the_field(acme: Organization, pending: str, body: dict[str, Any], fault: tuple[str, str]) -> None:
    with nothing_written():
        invalid(fault).check(acme.owner.client.post(f"/recharges/{pending}/resolve", body))


def test_a_reason_has_200_characters_of_any_kind(acme: Organization, pending: str) -> None:
    assert resolve(acme, pending, F, "😀" * 200).json["failure"] == "😀" * 200


@pytest.mark.parametrize(("body", "refusal"), SOME_BODIES)
def test_it_refuses_the_body(acme: Organization, pending: str, body: bytes, refusal: Refusal) -> None:
    with nothing_written():
        refusal.check(acme.owner.client.request("POST", f"/recharges/{pending}/resolve", body=body))


@pytest.mark.parametrize("content_type", SOME_CONTENT_TYPES)
def test_it_refuses_another_content_type(acme: Organization, pending: str, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    NOT_JSON.check(acme.owner.client.request("POST", f"/recharges/{pending}/resolve", body=b"{}", headers=headers))


@pytest.mark.parametrize("recharge_id", NO_UUIDS)
def test_no_recharge_is_at_a_bad_address(acme: Organization, recharge_id: str) -> None:
    Refusal(404, "not_found").check(resolve(acme, recharge_id, F))


# --- Attempts ---------------------------------------------------------------------------------------------------------


def test_an_admin_sees_what_was_done_and_a_seller_does_not(acme: Organization, pending: str) -> None:
    work = DeliveryWork()
    with acme.context:
        (task,) = work.claim(acme.row, 5)
        answer = GatewayAnswer(Delivery.UNKNOWN, operator_reference="7", raw="<html>")
        work.record(acme.row, [(task, Result(answer, 1234, 5.0))])
    shown = acme.owner.client.get(f"/recharges/{pending}").json
    (attempt,) = shown["attempts"]
    assert attempt.pop("started_at") >= shown["created_at"]
    assert attempt == {
        "number": 1,
        "action": "submit",
        "gateway": "sandbox",
        "latency_ms": 1234,
        "outcome": "unknown",
        "reason": "",
        "operator_reference": "7",
        "answer": "<html>",
        "by": "",
    }
    assert (shown["gateway"], shown["status"]) == ("sandbox", "unknown")
    seen = acme.member.client.get(f"/recharges/{pending}").json
    assert seen == {name: value for name, value in shown.items() if name not in ("gateway", "sold_by", "attempts")}
    assert seen in acme.owner.client.get("/recharges").json["results"]


def test_an_attempt_that_is_not_answered_is_open(acme: Organization, pending: str) -> None:
    with acme.context:
        DeliveryWork().claim(acme.row, 5)
    (attempt,) = acme.owner.client.get(f"/recharges/{pending}").json["attempts"]
    assert (attempt["outcome"], attempt["latency_ms"]) == ("open", None)


def test_of_very_many_attempts_the_last_are_shown(acme: Organization, pending: str) -> None:
    with acme.context:
        made = Recharge.objects.get(pk=pending).created_at
        Attempt.objects.bulk_create(
            Attempt(
                recharge_id=pending,
                number=number,
                action="inquire",
                gateway="sandbox",
                started_at=made,
                outcome="unknown",
            )
            for number in range(1, MOST_ATTEMPTS + 8)
        )
    attempts = acme.owner.client.get(f"/recharges/{pending}").json["attempts"]
    assert [attempt["number"] for attempt in attempts] == list(range(8, MOST_ATTEMPTS + 8))


def test_a_recharge_that_was_sold_and_delivered_at_once_had_none(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 5000)
    sold = acme.member.sell().json
    assert acme.owner.client.get(f"/recharges/{sold['id']}").json == sold | {
        "gateway": "instant",
        "sold_by": "member",
        "attempts": [],
    }


def test_who_resolves_what_they_saw_is_not_overtaken(acme: Organization) -> None:
    """A worker settles it while the admin's answer waits for the lock: nothing that was not agreed to is done."""
    give_credit(acme.row, acme.member.id, 10_000)
    recharge_id = sell_pending(acme.row, acme.member.id)

    def ask() -> object:
        try:
            with acme.context:
                return resolve_recharge(
                    organization=acme.row,
                    recharge_id=recharge_id,
                    status=Recharge.Status.FAILED,
                    reason="asked",
                    by="owner",
                    expected=("pending", ""),
                )
        except RechargeChanged as problem:
            return problem
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with holding_lock(acme.row, acme.member.id):
            answer = pool.submit(ask)
            wait_until(lambda: any(not granted for _, _, granted in advisory_locks()), "it waits for the lock")
            # It moves no money, and so waits for no lock. It goes past a pooler, where the admin waits.
            with as_owner(), acme.context:
                settle_recharge(organization=acme.row, recharge_id=recharge_id, status=Recharge.Status.SUCCEEDED)
        assert isinstance(answer.result(), RechargeChanged)
    with acme.context:
        assert Recharge.objects.get(pk=recharge_id).status == "succeeded"
