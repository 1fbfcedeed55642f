"""No slow receiver keeps other people's messages waiting: neither another organization's nor those of the same one's
other endpoints."""

import pytest
from django_tenants.utils import tenant_context

from credit.models import WebhookMessage
from credit.webhooks import sending
from credit.webhooks.sending import WebhookWork
from tenants.models import Organization as Row
from tests.credit.test_webhook_delivery import listen, sell
from tests.recharge.test_worker import is_heard, working
from tests.support.receiver import HANG, Receiver, receiving
from tests.support.waiting import wait_until
from tests.support.world import give_credit, make_seller

SLOW_MESSAGES = 60


@pytest.fixture(autouse=True)
def _calls_last_until_they_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "READ_SECONDS", 60.0)
    monkeypatch.setattr(sending, "CALL_SECONDS", 60.0)


def test_an_endpoint_that_hangs_keeps_nobody_elses_messages_waiting(
    row: Row, receiver: Receiver, seller_id: int
) -> None:
    globex = Row.objects.get(slug="globex")
    others_id = make_seller(globex, "others", 100_000).pk
    neighbour_id = make_seller(row, "neighbour", 100_000).pk
    give_credit(row, seller_id, 1_000_000)
    receiver.answer = HANG
    with receiving() as others, receiving() as neighbours:
        listen(row, receiver, seller_id, ["recharge.succeeded"])
        listen(row, neighbours, neighbour_id)
        listen(globex, others, others_id)
        for _ in range(SLOW_MESSAGES):
            sell(row, seller_id)
        with tenant_context(row):  # as old as a day's: what comes later is due after all of them
            WebhookMessage.objects.update(due_at="2020-01-01T00:00:00Z")
        with working(WebhookWork()):
            try:
                wait_until(lambda: len(receiver.received) == 2, "the slow one has two calls")
                wait_until(is_heard, "it listens")
                sell(globex, others_id)
                sell(row, neighbour_id)
                wait_until(lambda: len(others.received) == 1, "the other organization's message has arrived")
                wait_until(lambda: len(neighbours.received) == 1, "the same organization's other endpoint's too")
                assert len(receiver.received) == 2  # which still hang
            finally:
                receiver.answer = 204
                receiver.released.set()


def test_many_endpoints_that_hang_leave_the_others_their_part(row: Row, seller_id: int) -> None:
    """An organization may have as many endpoints as there are calls at once."""
    globex = Row.objects.get(slug="globex")
    others_id = make_seller(globex, "others", 100_000).pk
    with receiving() as slow, receiving() as others:
        slow.answer = HANG
        for _ in range(10):
            listen(row, slow, seller_id)
        listen(globex, others, others_id)
        for _ in range(6):
            sell(row, seller_id)
        with working(WebhookWork()):
            try:
                wait_until(lambda: len(slow.received) == 8, "half of the calls are one organization's")
                wait_until(is_heard, "it listens")
                sell(globex, others_id)
                wait_until(lambda: len(others.received) == 1, "the other's message has arrived")
                assert len(slow.received) == 8  # which still hang
            finally:
                slow.answer = 204
                slow.released.set()


def test_what_is_claimed_is_what_has_waited_longest_of_each_endpoint(row: Row, seller_id: int) -> None:
    with receiving() as one, receiving() as other:
        first, second = listen(row, one, seller_id), listen(row, other, seller_id)
        for _ in range(6):
            sell(row, seller_id)
        with tenant_context(row):
            due = list(WebhookMessage.objects.order_by("due_at", "id").values_list("id", "endpoint_id"))
            claimed = WebhookWork().claim(row, 64)
            assert WebhookWork().seconds_until_due(row) is not None
    for endpoint in (first, second):
        theirs = [id_ for id_, endpoint_id in due if endpoint_id == endpoint.pk]
        assert sorted(task.id for task in claimed if task.endpoint_id == endpoint.pk) == sorted(theirs[:4])


def test_many_slow_endpoints_of_one_seller_leave_a_place_for_anothers(row: Row, seller_id: int) -> None:
    other_id = make_seller(row, "other", 100_000).pk
    with receiving() as slow, receiving() as quick, tenant_context(row):
        for _ in range(10):
            listen(row, slow, seller_id)
        theirs = listen(row, quick, other_id)
        for _ in range(6):
            sell(row, seller_id)
        work = WebhookWork()
        while work.claim(row, 64):
            pass  # none of them is answered
        sell(row, other_id)
        assert [task.endpoint_id for task in work.claim(row, 64)] == [theirs.pk]
