"""Webhooks are sent: signed, at least once, for a day; and exist only for what happened."""

import json
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_tenants.utils import tenant_context

from credit.models import WebhookAttempt, WebhookEndpoint, WebhookMessage
from credit.services import approve_credit_request, create_credit_request, reject_credit_request
from credit.webhooks import sending, services
from credit.webhooks.sending import PAUSES, WebhookWork
from recharge.delivery.settlement import resolve_recharge, settle_recharge
from recharge.models import Recharge
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge, sell_recharges
from tenants import wakeups
from tenants.models import Organization as Row
from tenants.worker import Worker
from tenants.working_role import as_owner
from tests.support import commands
from tests.support.bad_input import table
from tests.support.locks import sell_pending
from tests.support.receiver import CUT, DRIP, ENDLESS, GARBAGE, HANG, Receiver, receiving
from tests.support.sessions import somebody_waits
from tests.support.waiting import wait_until
from tests.support.world import Organization, database_url, give_credit, make_seller


def listen(row: Row, receiver: Receiver, seller_id: int | None, events: list[str] | None = None) -> WebhookEndpoint:
    """An endpoint that leads to the receiver, which knows its secret."""
    with tenant_context(row):
        endpoint, secret = services.create_webhook(
            organization=row, seller_id=seller_id, url=receiver.url, events=events or services.events_for(seller_id)
        )
    receiver.secrets.append(secret)
    return endpoint


def sell(row: Row, seller_id: int) -> uuid.UUID:
    """A recharge that succeeds at once."""
    sold = sell_recharge(
        organization=row,
        seller_id=seller_id,
        item=Item("+989121234567", "mci", 5000, uuid.uuid4().hex),
    )
    return uuid.UUID(sold.row.id)


def work() -> None:
    """What is due is sent, by a worker that has just started."""
    Worker([WebhookWork()]).run_once()


def everything_is_due(row: Row) -> None:
    with tenant_context(row):
        WebhookMessage.objects.filter(due_at__isnull=False).update(due_at="2020-01-01T00:00:00Z")


def work_again(row: Row) -> None:
    everything_is_due(row)
    work()


def the_message(row: Row) -> WebhookMessage:
    with tenant_context(row):
        return WebhookMessage.objects.get()


def attempts(row: Row) -> list[WebhookAttempt]:
    with tenant_context(row):
        return list(WebhookAttempt.objects.order_by("id"))


def endpoint_now(row: Row) -> WebhookEndpoint:
    with tenant_context(row):
        return WebhookEndpoint.objects.get()


# --- What is sent -----------------------------------------------------------------------------------------------------


def test_a_sale_is_told_of_with_a_good_signature(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    recharge_id = sell(row, seller_id)
    work()
    (got,) = receiver.received
    message = the_message(row)
    assert got.verified_by == receiver.secrets
    assert got.message_id == f"msg_{message.pk}"
    assert got.path == "/hook?from=recharge"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["content-type"] == "application/json"
    assert (got.json["type"], got.json["data"]["id"]) == ("recharge.succeeded", str(recharge_id))
    assert datetime.fromisoformat(got.json["timestamp"]) == message.created_at
    assert got.json["timestamp"].endswith("Z")
    assert got.body == json.dumps(got.json, separators=(",", ":"), ensure_ascii=False).encode()
    assert (message.status, message.due_at, message.attempts) == ("delivered", None, 1)
    (attempt,) = attempts(row)
    assert (attempt.status_code, attempt.error, attempt.answer) == (204, "", "")
    assert 0 <= attempt.latency_ms < 5000
    assert attempt.attempted_at == message.delivered_at


def test_each_event_is_told_of(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    with tenant_context(row):
        asked = [
            create_credit_request(organization=row, seller_id=seller_id, idempotency_key=key, amount=5, note="")
            for key in "ab"
        ]
        who = {"organization": row, "decided_by": "owner", "decided_by_id": 1}
        approve_credit_request(request_id=asked[0].row.pk, **who)
        approve_credit_request(request_id=asked[0].row.pk, **who)  # told of once
        reject_credit_request(request_id=asked[1].row.pk, reason="نه", **who)
    recharges = [sell_pending(row, seller_id), sell_pending(row, seller_id)]
    settle_recharge(organization=row, recharge_id=recharges[0], status=Recharge.Status.FAILED, failure="barred")
    settle_recharge(organization=row, recharge_id=recharges[1], status=Recharge.Status.SUCCEEDED, failure="")
    resolve_recharge(
        organization=row, recharge_id=recharges[1], status=Recharge.Status.FAILED, reason="taken back", by="owner"
    )
    work()
    told = sorted((got.json["type"], got.json["data"]["id"]) for got in receiver.received)
    assert told == sorted(
        [
            ("credit_request.approved", str(asked[0].row.pk)),
            ("credit_request.rejected", str(asked[1].row.pk)),
            ("recharge.failed", str(recharges[0])),
            ("recharge.succeeded", str(recharges[1])),
            ("recharge.reversed", str(recharges[1])),
        ]
    )
    assert all(got.verified_by for got in receiver.received)


def test_what_is_told_is_what_the_api_shows(acme: Organization, receiver: Receiver, settings: Any) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = True
    listen(acme.row, receiver, None)
    request = acme.member.client.post("/credit-requests", {"amount": 50_000}, key="k").json
    acme.owner.client.post(f"/credit-requests/{request['id']}/approve")
    sold = acme.member.sell().json
    work()
    told = {got.json["type"]: got.json["data"] for got in receiver.received}
    assert told == {
        "credit_request.approved": acme.member.client.get(f"/credit-requests/{request['id']}").json,
        "recharge.succeeded": acme.member.client.get(f"/recharges/{sold['id']}").json,
    }


def test_each_sale_of_a_bulk_call_is_told_of(acme: Organization, receiver: Receiver, settings: Any) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = True
    give_credit(acme.row, acme.member.id, 10_000)
    listen(acme.row, receiver, acme.member.id)
    items = [{"idempotency_key": str(n), "phone_number": "09121234567", "amount": 5000} for n in range(3)]
    sold = acme.member.client.post("/recharges/bulk", {"items": items}).json
    assert (sold["created"], sold["refused"]) == (2, 1)
    work()
    told = [got.json["data"] for got in receiver.received]
    assert sorted(told, key=str) == sorted((one["recharge"] for one in sold["results"][:2]), key=str)


def test_an_endpoint_hears_of_its_own_seller_and_its_own_events_only(row: Row, seller_id: int) -> None:
    other_id = make_seller(row, "other", 100_000).pk
    with receiving() as own, receiving() as others, receiving() as all_of_them, receiving() as failures:
        listen(row, own, seller_id)
        listen(row, others, other_id)
        listen(row, all_of_them, None)
        listen(row, failures, seller_id, ["recharge.failed"])
        sales = [sell(row, seller_id), sell(row, other_id)]
        work()
        heard = [{got.json["data"]["id"] for got in one.received} for one in (own, others, all_of_them, failures)]
        assert [len(one.received) for one in (own, others, all_of_them, failures)] == [1, 1, 2, 0]
    first, second = map(str, sales)
    assert heard == [{first}, {second}, {first, second}, set()]


def test_the_other_organization_hears_nothing(row: Row, receiver: Receiver, seller_id: int) -> None:
    globex = Row.objects.get(slug="globex")
    listen(globex, receiver, None)
    sell(row, seller_id)
    work()
    assert receiver.received == []


def test_what_is_rolled_back_is_told_to_nobody(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    with tenant_context(row):
        with transaction.atomic():
            sell(row, seller_id)
            assert WebhookMessage.objects.count() == 1
            transaction.set_rollback(True)
        assert WebhookMessage.objects.count() == 0
    work()
    assert receiver.received == []


def test_a_refused_sale_and_a_replayed_one_are_told_to_nobody(
    acme: Organization, receiver: Receiver, settings: Any
) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = True
    listen(acme.row, receiver, None)
    assert acme.member.sell().status == 402
    with acme.context:
        assert WebhookMessage.objects.count() == 0
    give_credit(acme.row, acme.member.id, 10_000)
    assert [acme.member.sell(key="k").status for _ in range(2)] == [201, 200]
    with acme.context:
        assert WebhookMessage.objects.filter(event="recharge.succeeded").count() == 1


# --- Secrets ----------------------------------------------------------------------------------------------------------


def test_for_a_day_after_a_rotation_both_secrets_verify(row: Row, receiver: Receiver, seller_id: int) -> None:
    endpoint = listen(row, receiver, seller_id)
    with tenant_context(row):
        _, secret = services.rotate_secret(webhook_id=endpoint.pk, seller_id=seller_id)
    receiver.secrets.append(secret)
    sell(row, seller_id)
    work()
    assert receiver.received[-1].verified_by == receiver.secrets
    assert len(receiver.received[-1].headers["webhook-signature"].split(" ")) == 2

    with tenant_context(row):
        WebhookEndpoint.objects.update(previous_secret_until=timezone.now() - timedelta(seconds=1))
    sell(row, seller_id)
    work()
    assert receiver.received[-1].verified_by == [secret]
    assert len(receiver.received[-1].headers["webhook-signature"].split(" ")) == 1


def test_secrets_are_stored_encrypted(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    stored = endpoint_now(row).secret
    assert receiver.secrets[0] not in stored
    assert receiver.secrets[0].removeprefix("whsec_") not in stored


def test_a_secret_of_another_key_is_an_error_that_says_so(
    row: Row, receiver: Receiver, seller_id: int, settings: Any
) -> None:
    listen(row, receiver, seller_id)
    settings.SECRET_KEY = "another-" * 10
    sell(row, seller_id)
    work()
    assert receiver.received == []
    assert [attempt.error for attempt in attempts(row)] == ["The secret can't be read here; create a new one."]
    assert the_message(row).status == "pending"


# --- What is not taken ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status_code", "error"),
    table(
        ("500", 500, 500, ""),
        ("404", 404, 404, ""),
        ("a redirect", 302, 302, ""),
        ("nothing", HANG, None, "No answer in time."),
        ("a header without end", DRIP, None, "No answer in time."),
        ("a closed connection", CUT, None, "No answer that can be read (RemoteDisconnected)."),
        ("no HTTP", GARBAGE, None, "No answer that can be read (BadStatusLine)."),
    ),
)
def test_it_is_tried_again_under_the_same_id(
    row: Row,
    receiver: Receiver,
    seller_id: int,
    monkeypatch: pytest.MonkeyPatch,
    answer: int | str,
    status_code: int | None,
    error: str,
) -> None:
    monkeypatch.setattr(sending, "READ_SECONDS", 0.2)
    monkeypatch.setattr(sending, "CALL_SECONDS", 0.5)
    listen(row, receiver, seller_id)
    sell(row, seller_id)
    receiver.answer = answer
    with receiving() as elsewhere:
        receiver.location = elsewhere.url if answer == 302 else ""
        work()
        assert elsewhere.received == []
    message = the_message(row)
    assert (message.status, message.attempts) == ("pending", 1)
    assert message.due_at
    assert 0 < (message.due_at - timezone.now()).total_seconds() < 7
    assert [(one.status_code, one.error) for one in attempts(row)] == [(status_code, error)]
    assert endpoint_now(row).failing_since is not None

    work()  # it is not due yet
    assert len(receiver.received) == 1
    receiver.answer, receiver.location = 200, ""
    work_again(row)
    assert [got.message_id for got in receiver.received] == [f"msg_{message.pk}"] * 2
    assert receiver.received[0].body == receiver.received[1].body
    assert all(got.verified_by for got in receiver.received)
    assert the_message(row).status == "delivered"
    assert endpoint_now(row).failing_since is None


def test_of_what_is_answered_the_beginning_is_kept(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    sell(row, seller_id)
    receiver.answer = ENDLESS
    work()
    (attempt,) = attempts(row)
    assert (the_message(row).status, attempt.status_code) == ("delivered", 200)
    assert attempt.answer == "\ufffdx" * 250


def test_nobody_listens(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    sell(row, seller_id)
    with socket.socket() as reserved:  # bound, and not listening
        reserved.bind(("127.0.0.1", 0))
        with tenant_context(row):
            WebhookEndpoint.objects.update(url=f"http://127.0.0.1:{reserved.getsockname()[1]}/")
        work()
    assert [attempt.error for attempt in attempts(row)] == ["The connection was refused."]


def test_the_pauses_grow_over_a_day_and_then_it_is_given_up(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    sell(row, seller_id)
    receiver.answer = 500
    passed = 0.0
    for number in range(1, 30):
        work_again(row)
        message = the_message(row)
        assert message.attempts == number
        if message.status != "pending":
            break
        assert message.due_at
        pause = (message.due_at - timezone.now()).total_seconds()
        left = (message.give_up_at - timezone.now()).total_seconds()
        longest = PAUSES[min(number - 1, len(PAUSES) - 1)] * 1.2
        assert min(left, longest / 1.2 * 0.8) - 2 < pause < min(longest, left) + 2
        passed += pause
        with tenant_context(row):  # so much time passes
            WebhookMessage.objects.update(give_up_at=message.give_up_at - timedelta(seconds=pause))
    assert message.status == "failed"
    assert message.due_at is None
    assert 86_300 < passed < 86_500
    assert 9 <= number <= 13
    work()
    assert len(receiver.received) == number
    assert len(attempts(row)) == min(20, number)
    assert endpoint_now(row).disabled == ""


def test_after_410_nothing_is_sent_there_any_more(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    receiver.answer = 410
    for _ in range(3):
        sell(row, seller_id)
    work()
    assert endpoint_now(row).disabled == "gone"
    with tenant_context(row):
        assert set(WebhookMessage.objects.values_list("status", "due_at")) == {("failed", None)}
    sell(row, seller_id)
    with tenant_context(row):
        assert WebhookMessage.objects.count() == 3  # there is nobody to tell


@pytest.mark.parametrize(
    ("failing_for", "given_up", "disabled"),
    [
        (timedelta(days=5, hours=1), True, "failing"),
        (timedelta(days=5, hours=1), False, ""),
        (timedelta(days=4), True, ""),
    ],
)
def test_after_five_days_of_failures_it_is_disabled(
    row: Row, receiver: Receiver, seller_id: int, failing_for: timedelta, given_up: bool, disabled: str
) -> None:
    listen(row, receiver, seller_id)
    receiver.answer = 500
    for _ in range(2):
        sell(row, seller_id)
    with tenant_context(row):
        WebhookEndpoint.objects.update(failing_since=timezone.now() - failing_for)
        if given_up:
            first = WebhookMessage.objects.earliest("id")
            WebhookMessage.objects.filter(pk=first.pk).update(give_up_at=timezone.now())
    work()
    assert endpoint_now(row).disabled == disabled
    with tenant_context(row):
        statuses = sorted(WebhookMessage.objects.values_list("status", flat=True))
    assert statuses == (["failed"] * 2 if disabled else sorted(["failed" if given_up else "pending", "pending"]))


def test_one_message_that_arrives_ends_the_five_days(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    with tenant_context(row):
        WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(days=6))
    sell(row, seller_id)
    work()
    assert (endpoint_now(row).failing_since, endpoint_now(row).disabled) == (None, "")


def test_what_waits_for_a_disabled_endpoint_is_given_up(row: Row, receiver: Receiver, seller_id: int) -> None:
    endpoint = listen(row, receiver, seller_id)
    sell(row, seller_id)
    with tenant_context(row):
        services.update_webhook(webhook_id=endpoint.pk, seller_id=seller_id, is_active=False)
    assert the_message(row).status == "failed"
    with tenant_context(row):  # written by a sale that had found it enabled
        WebhookMessage.objects.update(status="pending", due_at=timezone.now())
    work()
    assert the_message(row).status == "failed"
    assert receiver.received == []


def test_who_does_not_answer_is_left_alone_for_a_while(row: Row, receiver: Receiver, seller_id: int) -> None:
    """A thousand messages to somebody who hangs must not keep the worker's threads from the others."""
    listen(row, receiver, seller_id)
    receiver.answer = 500
    for _ in range(20):
        sell(row, seller_id)
    Worker([WebhookWork()], threads=1).run_once()
    assert len(receiver.received) == 5
    with tenant_context(row):
        assert WebhookMessage.objects.filter(status="pending", attempts=0).count() == 15
        assert WebhookAttempt.objects.count() == 5


def test_a_resent_message_is_sent_again_under_its_id_and_for_another_day(
    row: Row, receiver: Receiver, seller_id: int
) -> None:
    endpoint = listen(row, receiver, seller_id)
    sell(row, seller_id)
    work()
    with tenant_context(row):
        WebhookMessage.objects.update(give_up_at=timezone.now() - timedelta(days=3))
    message = the_message(row)

    def resend() -> None:
        with tenant_context(row):
            services.resend_message(
                organization=row, webhook_id=endpoint.pk, seller_id=seller_id, message_id=message.pk
            )

    resend()
    receiver.answer = 500
    work()
    assert (the_message(row).status, the_message(row).attempts) == ("pending", 1)
    receiver.answer = 204
    work_again(row)
    assert the_message(row).status == "delivered"
    assert [got.message_id for got in receiver.received] == [f"msg_{message.pk}"] * 3
    assert len({got.body for got in receiver.received}) == 1

    for _ in range(20):
        resend()
        work()
    assert len(receiver.received) == 23
    assert len(attempts(row)) == 20


# --- Workers ----------------------------------------------------------------------------------------------------------


def claim(row: Row, limit: int = 16) -> list[sending.Task]:
    with tenant_context(row):
        return WebhookWork().claim(row, limit)


def test_a_message_is_claimed_by_one_worker_until_its_time_is_over(
    row: Row, receiver: Receiver, seller_id: int
) -> None:
    listen(row, receiver, seller_id)
    for _ in range(5):
        sell(row, seller_id)
    claims = [claim(row, 3), claim(row, 3), claim(row, 3)]
    assert [len(tasks) for tasks in claims] == [3, 2, 0]
    assert len({task.id for tasks in claims for task in tasks}) == 5
    everything_is_due(row)  # they were all killed
    work()
    assert len({got.message_id for got in receiver.received}) == 5


@pytest.mark.parametrize(
    ("late", "first"), [(204, 500), (500, 204), (500, 500), (204, 204)], ids=lambda status: str(status)
)
def test_the_answer_of_a_worker_that_took_too_long(
    row: Row, receiver: Receiver, seller_id: int, late: int, first: int
) -> None:
    """What has arrived has arrived; a late failure changes nothing of what another worker has done since."""
    listen(row, receiver, seller_id)
    sell(row, seller_id)
    slow, fast = WebhookWork(), WebhookWork()
    with tenant_context(row):
        (task,) = slow.claim(row, 5)
    everything_is_due(row)
    with tenant_context(row):
        (again,) = fast.claim(row, 5)
        receiver.answer = first
        fast.record(row, [(again, fast.carry_out(row, again))])
    before = the_message(row)
    with tenant_context(row):
        receiver.answer = late
        slow.record(row, [(task, slow.carry_out(row, task))])
    after = the_message(row)
    assert after.status == ("delivered" if 204 in (late, first) else "pending")
    if late == 500:
        assert after.due_at == before.due_at
    assert len(attempts(row)) == 2


def test_a_message_that_was_deleted_while_it_was_sent_holds_nobody_up(
    row: Row, receiver: Receiver, seller_id: int
) -> None:
    endpoint = listen(row, receiver, seller_id)
    other = listen(row, receiver, None)
    sell(row, seller_id)
    worker = WebhookWork()
    with tenant_context(row):
        tasks = worker.claim(row, 5)
        done = [(task, worker.carry_out(row, task)) for task in tasks]
        services.delete_webhook(webhook_id=endpoint.pk, seller_id=seller_id)
        worker.record(row, done)
        assert [message.endpoint_id for message in WebhookMessage.objects.all()] == [other.pk]
    assert the_message(row).status == "delivered"


def test_of_one_endpoint_a_worker_holds_only_some_messages_and_does_not_ask_for_more(
    row: Row, receiver: Receiver, seller_id: int
) -> None:
    listen(row, receiver, seller_id)
    for _ in range(18):
        sell(row, seller_id)
    worker = WebhookWork()
    with tenant_context(row):
        tasks = worker.claim(row, 64)
        assert (len(tasks), worker.claim(row, 64)) == (4, [])
        assert worker.seconds_until_due(row) is None
        worker.record(row, [(task, worker.carry_out(row, task)) for task in tasks[:1]])
        assert len(worker.claim(row, 64)) == 13  # it is quick: 16, less the three that it has


def test_nothing_is_due_where_nothing_waits(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    with tenant_context(row):
        assert WebhookWork().seconds_until_due(row) is None
        sell(row, seller_id)
        due_in = WebhookWork().seconds_until_due(row)
    assert due_in is not None
    assert due_in <= 0


def test_the_command_sends_what_is_due(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    sell(row, seller_id)
    done = commands.run("deliver", "--once", environment={"ALLOW_PRIVATE_ADDRESSES": "on"})
    assert done.returncode == 0, done.stderr
    assert [got.verified_by for got in receiver.received] == [receiver.secrets]
    assert the_message(row).status == "delivered"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda row, seller_id: give_credit(row, seller_id, 5), "credit_request.approved"),
        (lambda row, seller_id: sell(row, seller_id), "recharge.succeeded"),
        (lambda row, seller_id: sell_in_bulk(row, seller_id), "recharge.succeeded"),
        (lambda row, seller_id: reverse(row, seller_id), "recharge.reversed"),
    ],
    ids=["an approval", "a sale", "a bulk call", "a reversal"],
)
def test_what_is_to_be_told_wakes_the_workers(
    row: Row, receiver: Receiver, seller_id: int, change: Callable[[Row, int], Any], told: str
) -> None:
    sell(row, seller_id)  # before anybody listens
    listen(row, receiver, seller_id)
    worker = Worker([WebhookWork()])

    def run() -> None:
        worker.run()
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(is_listened, "the worker listens")
        wakeups._given.clear()  # or the seller's first credit, of a moment ago, was the hint for this one too
        change(row, seller_id)
        wait_until(lambda: bool(receiver.received), "it is told")  # long before a worker looks by itself
    finally:
        worker.stop()
        thread.join()
    assert [got.json["type"] for got in receiver.received] == [told]


def sell_in_bulk(row: Row, seller_id: int) -> None:
    items = [Item("+989121234567", "mci", 1000, "bulk")]
    sell_recharges(organization=row, seller_id=seller_id, items=items, atomic=False)


def reverse(row: Row, seller_id: int) -> None:
    """Takes back what was sold before anybody listened."""
    with tenant_context(row):
        recharge_id = Recharge.objects.get(seller_id=seller_id).pk
    resolve_recharge(
        organization=row, recharge_id=recharge_id, status=Recharge.Status.FAILED, reason="taken_back", by="owner"
    )


def is_listened() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database())"
        )
        found: bool = cursor.fetchone()[0]
        return found


# --- Deleting while sales go on ---------------------------------------------------------------------------------------


def test_a_sale_neither_waits_for_a_deletion_nor_fails_by_it(row: Row, receiver: Receiver, seller_id: int) -> None:
    listen(row, receiver, seller_id)
    other = psycopg2.connect(database_url())
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT id FROM org_acme.credit_webhookendpoint FOR UPDATE")  # as webhook_purge does
            sell(row, seller_id)
    finally:
        other.close()
    with tenant_context(row):
        assert WebhookMessage.objects.count() == 0


def test_a_deletion_waits_for_the_sale_that_has_just_written_a_message(
    row: Row, receiver: Receiver, seller_id: int
) -> None:
    endpoint = listen(row, receiver, seller_id)

    def delete() -> None:
        with tenant_context(row):
            services.delete_webhook(webhook_id=endpoint.pk, seller_id=seller_id)
        connection.close()

    thread = threading.Thread(target=delete)
    with as_owner(), tenant_context(row), transaction.atomic():  # past a pooler, where the deletion waits
        sell(row, seller_id)
        thread.start()
        wait_until(lambda: somebody_waits("transactionid"), "the deletion waits")
    thread.join()
    with tenant_context(row):
        assert WebhookMessage.objects.count() == WebhookEndpoint.objects.count() == 0


def test_a_deletion_that_was_cut_off_is_finished_by_the_next(row: Row, receiver: Receiver, seller_id: int) -> None:
    first, second = listen(row, receiver, seller_id), listen(row, receiver, seller_id)
    sell(row, seller_id)
    with tenant_context(row):
        WebhookEndpoint.objects.filter(pk=first.pk).update(disabled="deleted")
        assert list(services.webhooks()) == [second]
        services.delete_webhook(webhook_id=second.pk, seller_id=seller_id)
        assert WebhookEndpoint.objects.count() == 0


def test_a_message_that_its_worker_claims_again_is_recorded_by_both_and_goes_once_at_least(
    row: Row, receiver: Receiver, seller_id: int
) -> None:
    """As after half a minute in which the database did not answer, and nothing could be extended."""
    listen(row, receiver, seller_id)
    sell(row, seller_id)
    work = WebhookWork()
    with tenant_context(row):
        (first,) = work.claim(row, 10)
        WebhookMessage.objects.update(due_at=timezone.now())
        (again,) = work.claim(row, 10)
        assert again.id == first.id
        for task in (first, again):
            work.record(row, [(task, work.carry_out(row, task))])
        assert work.claim(row, 10) == []
        assert WebhookMessage.objects.get().status == "delivered"
    assert len(receiver.received) == 2
