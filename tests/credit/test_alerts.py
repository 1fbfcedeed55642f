"""Alerts: raised once for each crossing, with their messages, in the transaction of what they tell of; sent once."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from email.message import Message
from functools import partial
from typing import Any

import pytest
from django.core import mail
from django.db import connection, transaction
from django.utils import timezone
from django_tenants.utils import tenant_context

from credit.alerts import sending
from credit.alerts.sending import AlertWork
from credit.alerts.services import change_alert_settings, change_threshold, send_test
from credit.alerts.words import TEST, said
from credit.models import Account, Alert, AlertMessage, WebhookMessage
from credit.services import create_credit_request, switch_child, update_seller
from credit.webhooks.services import create_webhook
from recharge.delivery.settlement import settle_recharge
from recharge.delivery.watch import WatchWork
from recharge.models import Recharge
from recharge.operators import Operator
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from tenants import wakeups
from tenants.models import Organization as Row
from tenants.worker import Worker
from tests.support.locks import sell_pending
from tests.support.sms_gateway import CUT, Gateway, sms_gateway
from tests.support.visitor import Visitor, shown
from tests.support.world import Organization, ask, give_credit, make_seller

THRESHOLD = 50_000
NUMBER = "+989121234567"
GATEWAY_BODY = '{"receptor": "{to}", "message": "{text}"}'


def low(row: Row) -> list[Alert]:
    with tenant_context(row):
        return list(Alert.objects.filter(kind="balance_low").order_by("pk"))


def told(row: Row) -> list[dict[str, Any]]:
    with tenant_context(row):
        return [one.data for one in WebhookMessage.objects.filter(event="balance.low").order_by("pk")]


def messages(row: Row) -> list[AlertMessage]:
    with tenant_context(row):
        return list(AlertMessage.objects.order_by("pk"))


def listen(acme: Organization) -> None:
    with acme.context:
        create_webhook(
            organization=acme.row,
            seller_id=acme.member.id,
            url="https://hooks.example.com/x",
            events=["balance.low"],
        )


def put_threshold(acme: Organization, **body: Any) -> Any:
    return acme.member.client.request("PUT", "/alerts/threshold", json={"alert_below": THRESHOLD, **body})


def test_an_alert_of_a_newer_release_is_no_test(acme: Organization) -> None:
    test = said(TEST, {})
    newer = said("moon_landed", {"count": 1})
    assert "test" in test
    assert newer != test
    assert "moon_landed" in newer


# --- Once for each crossing -------------------------------------------------------------------------------------------


def test_a_crossing_is_told_once_and_again_after_it_was_over(acme: Organization) -> None:
    listen(acme)
    give_credit(acme.row, acme.member.id, 60_000)
    answer = acme.owner.client.patch(f"/sellers/{acme.member.id}", {"alert_below": THRESHOLD})
    assert answer.json["alert_below"] == THRESHOLD
    acme.member.sell(10_000)  # exactly the threshold is not below it
    assert low(acme.row) == []
    acme.member.sell(10_000)
    acme.member.sell(10_000)
    (alert,) = low(acme.row)
    assert alert.data == {"seller_id": acme.member.id, "balance": 40_000, "threshold": THRESHOLD}
    assert told(acme.row) == [alert.data]
    assert [(one.channel, one.recipient, one.alert_id) for one in messages(acme.row)] == [("mail", "", alert.pk)]
    (listed,) = acme.member.client.get("/alerts?state=open&kind=balance_low").json["results"]
    assert (listed["id"], listed["data"], listed["cleared_at"]) == (str(alert.pk), alert.data, None)

    give_credit(acme.row, acme.member.id, 10_000)  # still below
    assert low(acme.row)[0].cleared_at is None
    give_credit(acme.row, acme.member.id, 10_000)  # 50,000: not below
    assert low(acme.row)[0].cleared_at is not None
    assert acme.member.client.get("/alerts?state=open").json["results"] == []
    acme.member.sell(5000)
    assert [alert.data["balance"] for alert in low(acme.row)] == [40_000, 45_000]
    assert len(told(acme.row)) == len(messages(acme.row)) == 2


def test_a_bulk_call_that_crosses_is_told_once(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 60_000)
    put_threshold(acme)
    items = [{"idempotency_key": str(n), "phone_number": "09121234567", "amount": 5000} for n in range(6)]
    assert acme.member.client.post("/recharges/bulk", {"items": items}).json["created"] == 6
    assert [alert.data["balance"] for alert in low(acme.row)] == [30_000]


def test_of_many_at_the_threshold_one_crosses_it(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 90_000)
    put_threshold(acme)
    ready = threading.Barrier(8)

    def sell(_: int) -> int:
        ready.wait()
        return int(acme.member.sell(10_000).status)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(sell, range(8))) == [201] * 8
    assert len(low(acme.row)) == len(messages(acme.row)) == 1
    assert low(acme.row)[0].data["balance"] == 40_000


def test_what_is_rolled_back_is_not_told(acme: Organization) -> None:
    """In the sale's own transaction: what a crash takes away, it takes away whole, and what commits has its message."""
    give_credit(acme.row, acme.member.id, 60_000)
    put_threshold(acme)
    item = Item(NUMBER, "mci", 20_000, uuid.uuid4().hex)
    with tenant_context(acme.row), transaction.atomic():
        sell_recharge(organization=acme.row, seller_id=acme.member.id, item=item)
        assert Alert.objects.count() == AlertMessage.objects.count() == 1
        transaction.set_rollback(True)
    assert acme.member.balance() == 60_000
    assert low(acme.row) == messages(acme.row) == []


def test_what_the_operator_takes_back_clears_it(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 60_000)
    put_threshold(acme)
    acme.member.sell(20_000)
    (alert,) = low(acme.row)
    with tenant_context(acme.row):
        sold = Recharge.objects.get()
    resolved = acme.owner.client.post(f"/recharges/{sold.pk}/resolve", {"status": "failed", "reason": "taken back"})
    assert resolved.status == 200, resolved
    assert acme.member.balance() == 60_000
    assert low(acme.row)[0].cleared_at is not None
    assert [one.pk for one in low(acme.row)] == [alert.pk]


def test_a_threshold_that_is_set_tells_nothing_and_clears_what_it_ends(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 40_000)
    put_threshold(acme)
    acme.member.sell(5000)  # it was below before
    assert low(acme.row) == []
    put_threshold(acme, alert_below=35_000)
    acme.member.sell(5000)
    (alert,) = low(acme.row)
    assert alert.cleared_at is None
    put_threshold(acme, alert_below=None)
    assert low(acme.row)[0].cleared_at is not None
    acme.member.sell(5000)
    assert len(low(acme.row)) == 1


def test_credit_that_pays_what_is_owed_does_not_flicker(row: Row) -> None:
    """It is above the threshold for a moment that nobody sees: the alert is neither cleared nor raised anew."""
    seller_id = make_seller(row, "debtor", 60_000).pk
    with tenant_context(row):
        change_threshold(organization=row, seller_id=seller_id, alert_below=THRESHOLD)
    item = Item(NUMBER, "telekish", 20_000, "first")
    late = sell_pending(row, seller_id, amount=20_000)
    settle_recharge(organization=row, recharge_id=late, status=Recharge.Status.FAILED, failure="barred")
    sell_recharge(organization=row, seller_id=seller_id, item=replace(item, amount=60_000))
    settle_recharge(organization=row, recharge_id=late, status=Recharge.Status.SUCCEEDED, failure="")
    with tenant_context(row):
        assert Recharge.objects.get(pk=late).late == "owed"
    assert [alert.cleared_at is None for alert in low(row)] == [False, True]
    give_credit(row, seller_id, 60_000)
    with tenant_context(row):
        assert Account.objects.get(pk=seller_id).balance == 40_000
    assert [alert.cleared_at is None for alert in low(row)] == [False, True]
    assert len(messages(row)) == 2


# --- What may be settled ----------------------------------------------------------------------------------------------


NO_THRESHOLDS = [
    ({}, ("alert_below", "required")),
    ({"alert_below": 0}, ("alert_below", "too_small")),
    ({"alert_below": -1}, ("alert_below", "too_small")),
    ({"alert_below": "50000"}, ("alert_below", "not_an_integer")),
    ({"alert_below": 50000.0}, ("alert_below", "not_an_integer")),
    ({"alert_below": 10**13}, ("alert_below", "too_large")),
    ({"alert_below": 1, "by_mail": "yes"}, ("by_mail", "invalid")),
    ({"alert_below": 1, "phone_number": "123"}, ("phone_number", "invalid_phone_number")),
    ({"alert_below": 1, "below": 1}, ("below", "unknown_field")),
]


def test_a_threshold_that_can_not_be(acme: Organization) -> None:
    for body, fault in NO_THRESHOLDS:
        answer = acme.member.client.request("PUT", "/alerts/threshold", json=body)
        assert (answer.status, answer.faults) == (400, {fault}), body


def test_a_sellers_preferences_are_kept(acme: Organization) -> None:
    assert acme.member.client.get("/alerts/threshold").json == {
        "alert_below": None,
        "by_mail": True,
        "phone_number": None,
    }
    answer = put_threshold(acme, by_mail=False, phone_number="۰۹۱۲ ۱۲۳ ۴۵۶۷")
    assert answer.json == {"alert_below": THRESHOLD, "by_mail": False, "phone_number": NUMBER}
    assert put_threshold(acme, alert_below=10).json == {"alert_below": 10, "by_mail": False, "phone_number": NUMBER}
    assert acme.neighbour.client.get("/alerts/threshold").json["alert_below"] is None


GOOD = {"sms_url": "https://sms.example.com/send", "sms_body": GATEWAY_BODY}


NO_CHANNELS = [
    ({"mail_to": ["nobody"]}, ("mail_to", "invalid_email")),
    ({"mail_to": [f"a{n}@example.com" for n in range(11)]}, ("mail_to", "max_length")),
    ({"mail_to": "a@example.com"}, ("mail_to", "not_a_list")),
    ({"sms_to": ["021 1234"]}, ("sms_to.0", "not_a_mobile_number")),
    ({"language": "de"}, ("language", "invalid_choice")),
    ({"unknown_after": 5}, ("unknown_after", "too_small")),
    ({"failing_percent": 101}, ("failing_percent", "too_large")),
    ({"failing_least": 0}, ("failing_least", "too_small")),
    (GOOD | {"sms_url": "http://sms.example.com/"}, ("sms_url", "not_https")),
    (GOOD | {"sms_url": "https://10.0.0.7/send"}, ("sms_url", "private_address")),
    (GOOD | {"sms_url": "https://[::1]/send"}, ("sms_url", "private_address")),
    (GOOD | {"sms_url": "https://127.1/send"}, ("sms_url", "invalid")),
    (GOOD | {"sms_url": "https://user:x@sms.example.com/"}, ("sms_url", "invalid")),
    (GOOD | {"sms_url": "https://{to}.example.com/"}, ("sms_url", "place_in_host")),
    (GOOD | {"sms_url": "ftp://sms.example.com/"}, ("sms_url", "not_https")),
    (GOOD | {"sms_url": "https://sms.example.com/ک"}, ("sms_url", "invalid")),
    (GOOD | {"sms_body": '{"to": "{to}"}'}, ("sms_body", "place_missing")),
    (GOOD | {"sms_body": '{"to": {to}, "text": {text}}'}, ("sms_body", "not_json")),
    (GOOD | {"sms_method": "GET"}, ("sms_body", "body_not_sent")),
    (GOOD | {"sms_method": "DELETE"}, ("sms_method", "invalid_choice")),
    (GOOD | {"sms_content_type": "text/plain"}, ("sms_content_type", "invalid_choice")),
    (GOOD | {"sms_header": "Host", "sms_secret": "x"}, ("sms_header", "invalid_header")),
    (GOOD | {"sms_header": "X-Key: a", "sms_secret": "x"}, ("sms_header", "invalid_header")),
    (GOOD | {"sms_header": "X-API-Key"}, ("sms_secret", "header_without_secret")),
    (GOOD | {"sms_secret": "line\nend"}, ("sms_secret", "invalid_secret")),
]


def test_channels_that_can_not_be(acme: Organization) -> None:
    for body, fault in NO_CHANNELS:
        answer = acme.owner.client.patch("/alerts/settings", body)
        assert (answer.status, answer.faults) == (400, {fault}), body
    assert acme.owner.client.get("/alerts/settings").json["sms_url"] == ""


def test_a_secret_is_never_shown(acme: Organization) -> None:
    given = GOOD | {"sms_header": "X-API-Key", "sms_secret": "only-acme-knows"}
    answer = acme.owner.client.patch("/alerts/settings", given)
    assert answer.json["has_secret"] is True
    assert "only-acme-knows" not in answer.body.decode()
    assert "only-acme-knows" not in acme.owner.client.get("/audit").body.decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT sms_secret FROM org_acme.credit_alertsettings")
        assert "only-acme-knows" not in cursor.fetchone()[0]


# --- Sending ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def gateway(settings: Any) -> Any:
    settings.ALLOW_PRIVATE_ADDRESSES = True
    with sms_gateway() as running:
        yield running


def set_up(row: Row, gateway: Gateway, **more: Any) -> None:
    with tenant_context(row):
        change_alert_settings(
            organization=row,
            **{
                "sms_url": f"{gateway.url}/send?from=recharge",
                "sms_body": GATEWAY_BODY,
                "sms_header": "X-API-Key",
                "sms_secret": "only-acme-knows",
                "language": "en",
                **more,
            },
        )


def cross(row: Row, seller_id: int) -> None:
    sell_recharge(organization=row, seller_id=seller_id, item=Item(NUMBER, "mci", 5000, uuid.uuid4().hex))


def work() -> None:
    Worker([AlertWork()]).run_once()


def all_due(row: Row) -> None:
    with tenant_context(row):
        AlertMessage.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - timedelta(seconds=1))


def state(row: Row) -> list[tuple[str, str, int]]:
    return [(one.channel, one.status, one.attempts) for one in messages(row)]


def test_a_seller_is_told_by_mail_and_short_message_once(acme: Organization, gateway: Gateway) -> None:
    set_up(acme.row, gateway)
    user = acme.member.user
    user.email, user.language = "member@acme.example", "fa"
    user.save()
    give_credit(acme.row, acme.member.id, THRESHOLD)
    with acme.context:
        change_threshold(organization=acme.row, seller_id=acme.member.id, alert_below=THRESHOLD, phone_number=NUMBER)
    cross(acme.row, acme.member.id)
    work()
    work()
    assert state(acme.row) == [("mail", "sent", 1), ("sms", "sent", 1)] or state(acme.row) == [
        ("sms", "sent", 1),
        ("mail", "sent", 1),
    ]
    (asked,) = gateway.asked
    assert (asked.method, asked.path) == ("POST", "/send?from=recharge")
    assert asked.headers["x-api-key"] == "only-acme-knows"
    assert asked.headers["content-type"] == "application/json"
    sms = next(one for one in messages(acme.row) if one.channel == "sms")
    assert asked.headers["idempotency-key"] == str(sms.pk)
    sent = json.loads(asked.body)
    assert sent["receptor"] == "09121234567"
    assert "۴۵٬۰۰۰" in sent["message"]
    (letter,) = mail.outbox
    assert letter.to == ["member@acme.example"]
    assert "۴۵٬۰۰۰" in letter.subject
    written: Message = letter.message()
    mailed = next(one for one in messages(acme.row) if one.channel == "mail")
    assert written["Message-ID"] == f"<{mailed.pk}@recharge.test>"


def test_who_has_no_address_and_who_wants_no_mail(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, THRESHOLD)
    put_threshold(acme)
    cross(acme.row, acme.member.id)
    work()
    assert state(acme.row) == [("mail", "failed", 1)]
    assert messages(acme.row)[0].error == "The seller's account has no address."
    put_threshold(acme, by_mail=False)
    give_credit(acme.row, acme.member.id, 5000)
    cross(acme.row, acme.member.id)
    assert len(low(acme.row)) == 2
    assert len(messages(acme.row)) == 1


@pytest.mark.parametrize(
    ("answer", "status", "attempts"),
    [
        *((answer, "pending", 1) for answer in (401, 403, 408, 425, 429, 503, 500, 502, 504)),
        *((answer, "failed", 1) for answer in (400, 302, CUT)),
        (200, "sent", 1),
    ],
)
def test_what_has_most_likely_not_arrived_is_tried_again_and_nothing_else(
    row: Row, gateway: Gateway, answer: int | str, status: str, attempts: int
) -> None:
    set_up(row, gateway, sms_to=[NUMBER])
    with tenant_context(row):
        assert send_test(organization=row) == 1
    gateway.answer = answer
    work()
    assert state(row) == [("sms", status, attempts)]
    assert "only-acme-knows" not in messages(row)[0].error
    gateway.answer = 200
    all_due(row)
    work()
    assert [one.status for one in messages(row)] == ["failed" if status == "failed" else "sent"]
    assert len({one.headers["idempotency-key"] for one in gateway.asked}) == 1
    assert len(gateway.asked) == (2 if status == "pending" else 1)


@pytest.mark.parametrize(("answer", "attempts"), [(500, 3), (502, 3), (504, 3), (401, 5), (503, 5)])
def test_what_may_have_arrived_after_all_is_tried_three_times(
    row: Row, gateway: Gateway, answer: int, attempts: int
) -> None:
    """What has certainly not arrived is tried on and on."""
    set_up(row, gateway, sms_to=[NUMBER])
    with tenant_context(row):
        send_test(organization=row)
    gateway.answer = answer
    for _ in range(5):
        work()
        all_due(row)
    assert state(row) == [("sms", "failed" if attempts == 3 else "pending", attempts)]
    assert len(gateway.asked) == attempts


def test_it_is_given_up_in_time(row: Row, gateway: Gateway) -> None:
    set_up(row, gateway, sms_to=[NUMBER])
    with tenant_context(row):
        send_test(organization=row)
        AlertMessage.objects.update(give_up_at=timezone.now())
    gateway.answer = 503
    work()
    assert state(row) == [("sms", "failed", 1)]


def test_a_worker_that_died_is_made_up_for_and_one_that_lives_is_not(row: Row, gateway: Gateway) -> None:
    set_up(row, gateway, sms_to=[NUMBER])
    with tenant_context(row):
        send_test(organization=row)
        died = AlertWork()
        (task,) = died.claim(row, 10)
        assert AlertWork().claim(row, 10) == []  # while the other has time
    all_due(row)  # its time is over
    work()
    assert state(row) == [("sms", "sent", 1)]
    # What it says after all is of no use.
    with tenant_context(row):
        died.record(row, [(task, sending.Result("retry", 5.0, "late"))])
    assert state(row) == [("sms", "sent", 1)]


def test_a_gateway_inside_the_network_is_not_called(row: Row, gateway: Gateway, settings: Any) -> None:
    """Also one whose name leads there only now."""
    set_up(row, gateway, sms_to=[NUMBER], sms_url=f"https://localhost:{gateway.port}/send")
    with tenant_context(row):
        send_test(organization=row)
    settings.ALLOW_PRIVATE_ADDRESSES = False
    work()
    assert state(row) == [("sms", "failed", 1)]
    assert messages(row)[0].error == "The gateway's address is not a public one."
    assert gateway.asked == []


def test_a_get_carries_all_in_its_address(row: Row, gateway: Gateway) -> None:
    url = f"{gateway.url}/{{secret}}/send?to={{to}}&text={{text}}"
    set_up(row, gateway, sms_to=[NUMBER], sms_url=url, sms_method="GET", sms_body="", sms_header="")
    with tenant_context(row):
        send_test(organization=row)
    work()
    (asked,) = gateway.asked
    assert asked.path.startswith("/only-acme-knows/send?to=09121234567&text=Acme%3A%20This%20is%20a%20test")
    assert (asked.method, asked.body) == ("GET", "")


def test_a_test_needs_somebody_to_be_told(acme: Organization) -> None:
    assert acme.owner.client.post("/alerts/test").code == "no_channel"
    acme.owner.client.patch("/alerts/settings", {"mail_to": ["a@acme.example", "b@acme.example"]})
    since = acme.owner.client.get("/audit?action=alert.tested").json["results"]
    answer = acme.owner.client.post("/alerts/test")
    assert (since, answer.status, answer.json) == ([], 202, {"messages": 2})
    assert len(acme.owner.client.get("/audit?action=alert.tested").json["results"]) == 1
    work()
    assert sorted(one.to[0] for one in mail.outbox) == ["a@acme.example", "b@acme.example"]


# --- What concerns admins ---------------------------------------------------------------------------------------------


def look() -> None:
    Worker([WatchWork()]).run_once()


def raised(row: Row) -> list[tuple[str, str, bool]]:
    with tenant_context(row):
        return [(one.kind, one.subject, one.cleared_at is None) for one in Alert.objects.order_by("pk")]


def aged(row_id: uuid.UUID, table: str, minutes: int, *, triggers: bool = True) -> None:
    """Its id, and so its age, becomes one of that long ago."""
    with connection.cursor() as cursor:
        if triggers:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute("SELECT uuid7_at(now() - %s * interval '1 minute')", [minutes])
        cursor.execute(f"UPDATE {table} SET id = %s WHERE id = %s", [*cursor.fetchone(), row_id])
        if triggers:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def test_requests_that_wait_are_raised_once_cleared_and_raised_again(acme: Organization) -> None:
    acme.owner.client.patch("/alerts/settings", {"requests_after": 5, "mail_to": ["desk@acme.example"]})
    with acme.context, transaction.atomic():
        aged(uuid.UUID(ask(acme.member)), "credit_creditrequest", 4)
    look()
    assert raised(acme.row) == []
    with acme.context, transaction.atomic():
        aged(uuid.UUID(ask(acme.member)), "credit_creditrequest", 6)
    look()
    look()
    assert raised(acme.row) == [("requests_waiting", "", True)]
    assert [(one.channel, one.recipient) for one in messages(acme.row)] == [("mail", "desk@acme.example")]
    with acme.context:
        assert Alert.objects.get().data == {"count": 1, "is_more": False, "minutes": 5}
    for request in acme.owner.client.get("/credit-requests?status=pending").json["results"]:
        acme.owner.client.post(f"/credit-requests/{request['id']}/reject", {"reason": "No."})
    look()
    assert raised(acme.row) == [("requests_waiting", "", False)]
    with acme.context, transaction.atomic():
        aged(uuid.UUID(ask(acme.member)), "credit_creditrequest", 6)
    look()
    assert raised(acme.row) == [("requests_waiting", "", False), ("requests_waiting", "", True)]


def test_a_worker_looks_again_while_something_is_open(acme: Organization) -> None:
    def seconds() -> float | None:
        watch = WatchWork()
        with acme.context:
            watch.claim(acme.row, 1)
        return watch.seconds_until_due(acme.row)

    assert seconds() is None
    give_credit(acme.row, acme.member.id, 1_000_000)
    request = ask(acme.member)
    assert 50 < (seconds() or 0) <= 60
    acme.owner.client.post(f"/credit-requests/{request}/reject", {"reason": "No."})
    assert seconds() is None
    sold = sell_pending(acme.row, acme.member.id)
    assert seconds() is None  # it is delivered before anybody is told of it
    settle_recharge(organization=acme.row, recharge_id=sold, status=Recharge.Status.UNKNOWN)
    assert seconds() is not None
    settle_recharge(organization=acme.row, recharge_id=sold, status=Recharge.Status.SUCCEEDED)
    assert seconds() is None
    for seller_id, waits in ((acme.member.id, False), (None, True)):
        with acme.context, connection.cursor() as cursor:
            cursor.execute("SELECT alert_raise('balance_low', %s, %s, '{}')", [str(seller_id), seller_id])
        assert (seconds() is not None) == waits  # its seller's own are none of the organization's


def test_it_looks_again_soon_at_what_came_just_after_a_look(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 1_000_000)
    watch = WatchWork()
    with acme.context:
        watch.claim(acme.row, 1)
        assert watch.seconds_until_due(acme.row) is None
        ask(acme.member)
        watch.claim(acme.row, 1)  # it rang for the worker
        assert 50 < (watch.seconds_until_due(acme.row) or 0) <= 60


def test_what_admins_may_have_to_be_told_of_rings_for_the_workers(acme: Organization) -> None:
    dealer = make_seller(acme.row, "dealer").pk

    def place(seller_id: int, parent_id: int | None) -> None:
        update_seller(organization=acme.row, seller_id=seller_id, parent_id=parent_id)

    def rings(what: Callable[[], object]) -> bool:
        wakeups._given.clear()
        with acme.context:
            what()
        return list(wakeups._given) == [acme.row.pk]

    assert rings(
        lambda: create_credit_request(
            organization=acme.row, seller_id=acme.member.id, idempotency_key="rings", amount=5000, note=""
        )
    )
    assert rings(lambda: change_alert_settings(organization=acme.row, failing_least=5))
    # What a dealer was asked for is the organization's to decide when he is switched off, or the asker moves.
    assert rings(lambda: place(acme.member.id, dealer))
    assert rings(lambda: place(acme.member.id, None))
    assert rings(lambda: update_seller(organization=acme.row, seller_id=dealer, is_active=False))
    assert not rings(lambda: update_seller(organization=acme.row, seller_id=dealer, is_active=True))
    with acme.context:
        place(dealer, acme.member.id)
    switch = partial(switch_child, organization=acme.row, dealer_id=acme.member.id, seller_id=dealer)
    assert rings(lambda: switch(is_active=False))
    assert not rings(lambda: switch(is_active=True))


@pytest.fixture
def rewriting(row: Row) -> Iterator[None]:
    """The triggers that keep recharges as they were stand back, so that time can pass."""

    def triggers(what: str) -> None:
        with tenant_context(row), connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE recharge_recharge {what} TRIGGER USER")

    triggers("DISABLE")
    yield
    triggers("ENABLE")


@pytest.mark.breaks_the_books
@pytest.mark.usefixtures("rewriting")
def test_unknown_outcomes_and_failing_operators(row: Row, seller_id: int) -> None:
    give_credit(row, seller_id, 1_000_000)
    old = sell_pending(row, seller_id)
    with tenant_context(row), connection.cursor() as cursor:
        cursor.execute("UPDATE recharge_recharge SET status = 'unknown'")
    look()
    assert raised(row) == []
    with tenant_context(row):
        aged(old, "recharge_recharge", 61, triggers=False)
    look()
    assert raised(row) == [("unknown_outcomes", "", True)]

    for _ in range(12):
        sell_pending(row, seller_id)
    with tenant_context(row), connection.cursor() as cursor:
        fail = (
            "UPDATE recharge_recharge SET status = 'failed', failure = 'x', due_at = NULL, completed_at = now()"
            " WHERE id IN (SELECT id FROM recharge_recharge WHERE status = 'pending' ORDER BY id LIMIT %s)"
        )
        operator = Recharge.objects.filter(status="pending").values_list("operator", flat=True)[0]
        cursor.execute(fail, [9])
        look()
        assert len(raised(row)) == 1  # fewer than ten
        cursor.execute(fail, [1])
        look()
        look()
        assert [one[:2] for one in raised(row)] == [("unknown_outcomes", ""), ("operator_failing", operator)]
        alert = Alert.objects.get(kind="operator_failing")
        assert alert.data == {
            "operator": operator, "name": str(Operator(operator).label), "name_fa": Operator(operator).persian,
            "failed": 10, "total": 10, "minutes": 15,
        }  # fmt: skip
        cursor.execute(
            "UPDATE recharge_recharge SET status = 'succeeded', completed_at = now() WHERE status = 'pending'"
        )
        look()
        assert raised(row)[1] == ("operator_failing", operator, True)  # 10 of 12
        cursor.execute("SELECT id FROM recharge_recharge WHERE status = 'failed'")
        for (id_,) in cursor.fetchall():
            aged(id_, "recharge_recharge", 30, triggers=False)
        look()
        assert raised(row)[1] == ("operator_failing", operator, False)


# --- In the console ---------------------------------------------------------------------------------------------------


def test_a_line_stands_there_until_it_is_read_or_over(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, THRESHOLD)
    visitor = Visitor.signed_in(acme.member)
    answer = visitor.submit("/alerts/threshold", {"alert_below": "50,000", "by_mail": "on", "phone_number": ""})
    assert (answer.status, answer.headers["Location"]) == (302, "/alerts")
    acme.member.sell(5000)
    line = "Your balance is 45,000 Tomans, less than 50,000."
    assert line in shown(visitor.get("/sell"))
    assert line not in shown(Visitor.signed_in(acme.neighbour).get("/sell"))
    assert line in shown(visitor.get("/alerts"))
    (alert,) = low(acme.row)
    assert visitor.submit("/sell", {}, to=f"/alerts/{alert.pk}/read").status == 302
    assert line not in shown(visitor.get("/sell"))
    assert line in shown(visitor.get("/alerts"))
    give_credit(acme.row, acme.member.id, 5000)
    acme.member.sell(5000)
    assert line in shown(visitor.get("/sell"))
    give_credit(acme.row, acme.member.id, 5000)
    assert line not in shown(visitor.get("/sell"))


def test_an_alert_is_read_by_whose_it_is(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, THRESHOLD)
    put_threshold(acme)
    acme.member.sell(5000)
    (alert,) = low(acme.row)
    for other in (acme.neighbour, acme.owner):
        assert other.client.post(f"/alerts/{alert.pk}/read").code == "not_found"
        assert other.client.get("/alerts").json["results"] == []
    assert acme.member.client.post(f"/alerts/{alert.pk}/read").json["read_by"] == "member"
    again = acme.member.client.post(f"/alerts/{alert.pk}/read")
    assert (again.status, again.json["read_by"]) == (200, "member")


def test_an_admin_settles_channels_and_a_sellers_threshold_on_pages(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    answer = visitor.submit(f"/sellers/{acme.member.id}/threshold", {"alert_below": "۲۰٬۰۰۰"})
    assert answer.status == 302
    with acme.context:
        assert Account.objects.get(pk=acme.member.id).alert_below == 20_000
    fields: dict[str, Any] = {
        "mail_to": "a@acme.example, b@acme.example",
        "sms_to": "0912 123 4567، 09351234567",
        "language": "fa",
        "unknown_after": "60",
        "requests_after": "120",
        "failing_percent": "50",
        "failing_least": "10",
        "failing_window": "15",
        "sms_url": "https://sms.example.com/send",
        "sms_method": "POST",
        "sms_content_type": "application/json",
        "sms_body": GATEWAY_BODY,
        "sms_header": "",
        "sms_secret": "",
    }
    wrong = visitor.submit("/alerts/settings", fields | {"sms_url": "https://192.168.1.1/x"})
    assert wrong.status == 422
    assert "inside a private network" in shown(wrong)
    assert visitor.submit("/alerts/settings", fields).status == 302
    stored = acme.owner.client.get("/alerts/settings").json
    assert stored["mail_to"] == ["a@acme.example", "b@acme.example"]
    assert stored["sms_to"] == [NUMBER, "+989351234567"]
    assert 'value="09121234567, 09351234567"' in visitor.get("/alerts/settings").body.decode()
    assert visitor.submit("/alerts/settings", {}, to="/alerts/test").status == 302
    assert "This is a test" in shown(visitor.get("/alerts/settings"))
