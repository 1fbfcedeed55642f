"""Traces, as a collector gets them of real servers, workers and receivers of webhooks."""

import uuid
from collections.abc import Iterator
from functools import partial

import pytest

from credit.models import WebhookMessage
from credit.webhooks.services import create_webhook
from recharge.models import Recharge
from tests.support import waiting
from tests.support.bad_input import table
from tests.support.collector import collecting
from tests.support.logs import ServerLog
from tests.support.receiver import receiving
from tests.support.traced import SALE, Traced, sale_in, trace_of, traced, world_at
from tests.support.world import World

pytestmark = pytest.mark.slow

wait_until = partial(waiting.wait_until, seconds=60)


@pytest.fixture(scope="module")
def running(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with collecting() as collector, traced(tmp_path_factory.mktemp("traces") / "log", collector) as one:
        yield one


@pytest.fixture
def there(running: Traced) -> Iterator[World]:
    """Both organizations, at that server; what its worker has begun has ended when they go."""
    world = world_at(running.server)
    yield world
    with world.acme.context:
        wait_until(lambda: not Recharge.objects.filter(status="pending").exists(), "all is delivered")
        wait_until(lambda: not WebhookMessage.objects.filter(status="pending").exists(), "all is told")


# --- One sale ---------------------------------------------------------------------------------------------------------


def test_a_sale_is_one_trace_from_its_request_to_its_webhook(
    way: None, running: Traced, there: World, settings: object
) -> None:
    acme, log = there.acme, ServerLog(running.server.log)
    settings.ALLOW_PRIVATE_ADDRESSES = True  # type: ignore[attr-defined]
    with receiving() as receiver:
        with acme.context:
            create_webhook(organization=acme.row, seller_id=None, url=receiver.url, events=["recharge.succeeded"])
        sold = acme.member.sell(5000)
        assert sold.status == 201
        recharge_id = sold.json["id"]
        trace, sale = sale_in(recharge_id)
        steps = ("sell_recharge", "recharge_sell", "submit_recharge", "gateway", "send_webhook")
        spans = running.collector.wait_for(trace, SALE, *steps)
        (received,) = receiver.received

    spans.pop("pg_notify", None)  # the worker is rung for, if it was not a moment ago
    assert {name: (span.kind, span.parent) for name, span in spans.items()} == {
        SALE: ("server", ""),
        "sell_recharge": ("internal", spans[SALE].id),
        "recharge_sell": ("client", sale),
        "submit_recharge": ("consumer", sale),
        "gateway": ("client", spans["submit_recharge"].id),
        "send_webhook": ("client", sale),
    }
    assert spans["sell_recharge"].id == sale
    assert received.headers["traceparent"] == f"00-{trace}-{spans['send_webhook'].id}-01"
    # What came first stands first, and each within what it is a part of.
    assert spans[SALE].began <= spans["sell_recharge"].began <= spans["recharge_sell"].began
    assert spans["recharge_sell"].ended <= spans["sell_recharge"].ended <= spans[SALE].ended
    assert spans["recharge_sell"].ended < spans["gateway"].began < spans["gateway"].ended < spans["send_webhook"].began
    assert not any(span.is_failure or span.links for span in spans.values())
    assert {span.service for span in spans.values()} == {"recharge"}
    assert {span.attributes["recharge.organization"] for span in spans.values()} == {"acme"}
    assert spans[SALE].attributes["http.response.status_code"] == 201
    assert spans["gateway"].attributes["recharge.outcome"] == "succeeded"
    assert spans["send_webhook"].attributes["recharge.status"] == 204
    assert spans["submit_recharge"].attributes["recharge.id"] == recharge_id
    assert log.wait_for("request", sold.headers["X-Request-ID"])["trace_id"] == trace


def test_nothing_secret_is_sent(running: Traced, there: World, settings: object) -> None:
    acme, before = there.acme, len(running.collector.bodies)
    settings.ALLOW_PRIVATE_ADDRESSES = True  # type: ignore[attr-defined]
    with receiving() as receiver:
        with acme.context:
            _, secret = create_webhook(
                organization=acme.row, seller_id=None, url=receiver.url, events=["recharge.failed"]
            )
        headers = {"X-Request-ID": "09127654310", "tracestate": "a=09127654310"}
        client = acme.member.client
        key = "an-idempotency-key"
        body = {"phone_number": "09127654310", "amount": 5000}  # which fails
        sold = client.post("/recharges", body, key=key, headers=headers)
        running.collector.wait_for(trace_of(sold.json["id"]), SALE, "send_webhook")
        parent = {"traceparent": f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01", **headers}
        client.get(f"/recharges?phone_number=09127654310&token={client.token}", headers=parent)
        client.get(f"/recharges/{client.token}", headers=parent)
        last = client.request("INVENTED", "/recharges/09127654310", headers=parent)
        assert last.status in (403, 404, 405)
        done = uuid.uuid4().hex
        client.get("/balance", headers={"traceparent": f"00-{done}-00f067aa0ba902b7-01"})
        running.collector.wait_for(done, "GET /api/v1/balance")
    sent = b"".join(running.collector.bodies[before:])
    for text in (
        *("912765", "7654310", str(client.token), str(client.token).split(".")[2], "eyJ", "INVENTED"),
        *(secret, receiver.url, str(receiver.port), key, acme.member.username, "number_barred"),
    ):
        assert text.encode() not in sent, text
    assert sold.json["id"].encode() in sent
    assert b"other" in sent


# --- Other requests ---------------------------------------------------------------------------------------------------


def test_a_client_that_traces_finds_the_sale_in_its_trace_and_a_link_to_the_recharges(
    way: None, running: Traced, there: World
) -> None:
    log, given, span = ServerLog(running.server.log), uuid.uuid4().hex, "00f067aa0ba902b7"
    body = {"phone_number": "09121234567", "amount": 5000}
    sold = there.acme.member.client.post(
        "/recharges", body, key=uuid.uuid4().hex, headers={"traceparent": f"00-{given}-{span}-01"}
    )
    own = running.collector.wait_for(given, SALE, "sell_recharge", "recharge_sell")
    assert own[SALE].parent == span
    assert own["sell_recharge"].parent == own[SALE].id
    assert own["recharge_sell"].parent == own["sell_recharge"].id
    assert log.wait_for("request", sold.headers["X-Request-ID"])["trace_id"] == given
    sale = sale_in(sold.json["id"])
    assert own["sell_recharge"].links == [sale]
    of_it = running.collector.wait_for(sale[0], "sell_recharge", "submit_recharge", "gateway")
    assert (of_it["sell_recharge"].id, of_it["sell_recharge"].parent) == (sale[1], "")
    assert of_it["sell_recharge"].links == [(given, own["sell_recharge"].id)]
    assert of_it["submit_recharge"].parent == sale[1]


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "given",
    table(
        ("empty", ""),
        ("no dashes", f"00{TRACE}{SPAN}01"),
        ("capitals", f"00-{TRACE.upper()}-{SPAN}-01"),
        ("too short", f"00-{TRACE[:-1]}-{SPAN}-01"),
        ("a trace of zeros", f"00-{'0' * 32}-{SPAN}-01"),
        ("a span of zeros", f"00-{TRACE}-{'0' * 16}-01"),
        ("the version that is none", f"ff-{TRACE}-{SPAN}-01"),
        ("more than the version has", f"00-{TRACE}-{SPAN}-01-more"),
        ("two", f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01"),
        ("very long", f"01-{TRACE}-{SPAN}-01-{'x' * 5000}"),
        ("not ASCII", "۰۰-۴"),
    ),
)
def test_a_header_that_names_no_span_is_as_none(running: Traced, there: World, given: str) -> None:
    body = {"phone_number": "09121234567", "amount": 5000}
    headers = {"traceparent": given.encode()}
    sold = there.acme.member.client.post("/recharges", body, key=uuid.uuid4().hex, headers=headers)
    assert sold.status == 201
    assert running.collector.wait_for(trace_of(sold.json["id"]), SALE)[SALE].parent == ""


def trace_in_log(log: ServerLog, request_id: str) -> str:
    trace: str = log.wait_for("request", request_id)["trace_id"]
    return trace


def test_a_sale_that_is_sent_again_is_linked_to_its_first(way: None, running: Traced, there: World) -> None:
    log, key = ServerLog(running.server.log), uuid.uuid4().hex
    first, again = there.acme.member.sell(5000, key=key), there.acme.member.sell(5000, key=key)
    assert (first.status, again.status) == (201, 200)
    trace = trace_in_log(log, again.headers["X-Request-ID"])
    assert trace != trace_of(first.json["id"])
    spans = running.collector.wait_for(trace, SALE, "sell_recharge")
    assert spans["sell_recharge"].links == [sale_in(first.json["id"])]
    assert "sell_recharge" in running.collector.wait_for(trace_of(first.json["id"]), SALE)


def test_a_refusal_says_its_code_and_is_no_failure(way: None, running: Traced, there: World) -> None:
    log = ServerLog(running.server.log)
    refused = there.acme.member.sell(5_000_000)
    assert refused.status == 402
    trace = trace_in_log(log, refused.headers["X-Request-ID"])
    spans = running.collector.wait_for(trace, SALE, "sell_recharge")
    assert spans["sell_recharge"].attributes["error.type"] == "insufficient_credit"
    assert not any(span.is_failure for span in spans.values())


def test_a_bulk_sale_is_linked_to_each_of_its_recharges(running: Traced, there: World) -> None:
    log = ServerLog(running.server.log)
    items = [
        {"phone_number": "09121234567", "amount": amount, "idempotency_key": uuid.uuid4().hex, "allow_duplicate": True}
        for amount in (5000, 6000, 950_000)
    ]
    done = there.acme.member.client.post("/recharges/bulk", {"items": items})
    made = [result["recharge"]["id"] for result in done.json["results"] if "recharge" in result]
    assert len(made) == 2
    trace = trace_in_log(log, done.headers["X-Request-ID"])
    spans = running.collector.wait_for(trace, "POST /api/v1/recharges/bulk", "sell_recharges", "recharge_sell_bulk")
    assert spans["sell_recharges"].links == [sale_in(one) for one in made]
    for one in made:
        of_it = running.collector.wait_for(trace_of(one), "sell_recharges", "submit_recharge")
        assert of_it["sell_recharges"].links == [(trace, spans["sell_recharges"].id)]
        assert of_it["submit_recharge"].parent == of_it["sell_recharges"].id == sale_in(one)[1]


def test_health_has_no_trace(running: Traced, there: World) -> None:
    log = ServerLog(running.server.log)
    for path in ("/livez", "/readyz"):
        answer = there.acme.anyone.get(path)
        assert "trace_id" not in log.wait_for("request", answer.headers["X-Request-ID"])
