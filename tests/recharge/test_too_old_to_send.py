"""What is too old to be sent fails and is refunded without being sent; how old that is is a setting."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django_tenants.utils import tenant_context

from recharge.delivery.gateways import Answer, Delivery
from recharge.delivery.work import DeliveryWork
from recharge.models import Attempt, Recharge
from recharge.reports.books import find_faults
from tenants.models import Organization as Row
from tenants.services import activate_organization, suspend_organization
from tenants.worker import Worker
from tests.recharge.test_worker import UNSENT, Answering, due, old, record, statuses, step
from tests.support.bad_input import table
from tests.support.locks import sell_pending
from tests.support.world import Organization, give_credit

DAY = timedelta(days=1)


@pytest.fixture
def pending(acme: Organization) -> Organization:
    """acme, with three pending recharges of 5,000 Tomans, and 85,000 left."""
    give_credit(acme.row, acme.member.id, 100_000)
    for _ in range(3):
        sell_pending(acme.row, acme.member.id)
    return acme


def attempts(row: Row) -> list[tuple[Any, ...]]:
    with tenant_context(row):
        return list(Attempt.objects.order_by("recharge_id", "number").values_list("action", "number", "outcome"))


def test_what_no_worker_took_for_a_day_is_refunded_and_never_sent(pending: Organization) -> None:
    old(pending.row, DAY)
    Worker([DeliveryWork()]).run_once()
    assert statuses(pending.row) == ["failed"] * 3
    assert attempts(pending.row) == []
    with tenant_context(pending.row):
        rows = Recharge.objects.values_list("failure", "attempts", "submitted_at", "submitted_through", "due_at")
        assert set(rows) == {("not_sent", 0, None, None, None)}
        assert find_faults() == []
    assert pending.member.balance() == 100_000


def test_a_suspended_organization_s_recharges_are_too_old_once_it_is_active_again(pending: Organization) -> None:
    suspend_organization(slug="acme")
    old(pending.row, DAY)
    Worker([DeliveryWork()]).run_once()
    assert statuses(pending.row) == ["pending"] * 3
    activate_organization(slug="acme")
    Worker([DeliveryWork()]).run_once()
    assert (statuses(pending.row), attempts(pending.row)) == (["failed"] * 3, [])


def test_how_old_that_is_is_a_setting(pending: Organization) -> None:
    assert pending.owner.client.get("/settings").json["send_within"] == 900
    old(pending.row, timedelta(minutes=30))
    assert pending.owner.client.patch("/settings", {"send_within": 3600}).json["send_within"] == 3600
    Worker([DeliveryWork()]).run_once()
    assert statuses(pending.row) == ["succeeded"] * 3


@pytest.mark.parametrize(
    ("given", "code"),
    table(
        ("below the least", 29, "too_small"),
        ("above a day", 86_401, "too_large"),
        ("a text", "900", "not_an_integer"),
        ("null", None, "null"),
    ),
)
def test_a_time_that_can_not_be_is_refused(acme: Organization, given: Any, code: str) -> None:
    answer = acme.owner.client.patch("/settings", {"send_within": given})
    assert answer.status == 400
    assert [error["field"] for error in answer.json["errors"]] == ["send_within"]
    assert acme.owner.client.get("/settings").json["send_within"] == 900


def test_what_may_have_been_submitted_is_asked_about_however_old_it_is(pending: Organization) -> None:
    step(pending.row, Answering(Answer(Delivery.UNKNOWN)))  # and the worker dies
    old(pending.row, DAY)
    Worker([DeliveryWork()]).run_once()
    assert {action for action, *_ in attempts(pending.row)} == {"submit", "inquire"}
    assert "failed" not in statuses(pending.row)


@pytest.mark.parametrize("answer", [UNSENT, Answer(Delivery.MISSING)], ids=["unsent", "missing"])
def test_what_was_tried_in_vain_is_not_sent_again_when_it_is_too_old(pending: Organization, answer: Answer) -> None:
    row = pending.row
    if answer.delivery == Delivery.MISSING:
        step(row, Answering(answer))
        due(row)
    record(row, Answering(answer), step(row, Answering(answer)))
    assert statuses(row) == ["pending"] * 3
    old(row)
    before = attempts(row)
    good = Answering(Answer(Delivery.SUCCEEDED))
    record(row, good, step(row, good))
    assert statuses(row) == ["failed"] * 3
    assert attempts(row) == before
    assert pending.member.balance() == 100_000


def test_a_claim_to_refund_that_another_worker_s_submission_has_overtaken_refunds_nothing(
    pending: Organization,
) -> None:
    row = pending.row
    old(row)
    slow = Answering(UNSENT)
    overtaken = step(row, slow)
    assert {task.action for task, _ in overtaken} == {"expire"}
    assert pending.owner.client.patch("/settings", {"send_within": 86_400}).status == 200
    due(row)
    good = Answering(Answer(Delivery.SUCCEEDED))
    sent = step(row, good)
    record(row, slow, overtaken)
    assert statuses(row) == ["pending"] * 3
    record(row, good, sent)
    assert statuses(row) == ["succeeded"] * 3
    assert pending.member.balance() == 85_000


def test_many_workers_at_once_refund_each_of_them_once(pending: Organization) -> None:
    for seller in (pending.neighbour,):
        give_credit(pending.row, seller.id, 100_000)
        for _ in range(20):
            sell_pending(pending.row, seller.id)
    old(pending.row, DAY)

    def work(_: int) -> None:
        try:
            Worker([DeliveryWork()]).run_once()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert statuses(pending.row) == ["failed"] * 23
    assert (pending.member.balance(), pending.neighbour.balance()) == (100_000, 100_000)
    with tenant_context(pending.row):
        assert find_faults() == []
