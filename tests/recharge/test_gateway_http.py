"""The http gateway against an operator that misbehaves: what each thing that can go wrong is taken for, and what never
happens because of it."""

import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django import Settings

from recharge.delivery.gateways import Answer, Delivery, GatewayMisconfigured
from recharge.delivery.gateways import http as module
from recharge.delivery.gateways.http import HttpGateway, close_idle_connections
from recharge.delivery.gateways.instant import InstantGateway
from recharge.delivery.gateways.kinds import gateways_of, make_gateway
from recharge.delivery.gateways.simulator import SimulatorGateway
from recharge.models import GatewaySettings, OperatorSettings, Recharge
from shared.outbound.secrets import encrypt
from tests.support import commands
from tests.support.certificates import make_certificate
from tests.support.mobile_operator import KEY_ID, SECRET, MisbehavingOperator, operating
from tests.support.waiting import wait_until
from tests.support.world import Organization, give_credit

NUMBER = "+989121234567"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MisbehavingOperator]:
    with operating(tmp_path_factory.mktemp("operator")) as running:
        yield running


@pytest.fixture(autouse=True)
def tidy(settings: Settings, operator: MisbehavingOperator) -> Iterator[None]:
    """The operator is at a private address, and polite again before each test; no connection is left."""
    settings.ALLOW_PRIVATE_ADDRESSES = True
    operator.behave("succeed")
    operator.behave("", inquiries=True)
    yield
    close_idle_connections()


def gateway_to(url: str, trusted: Path | None, **given) -> HttpGateway:
    return HttpGateway(
        **{
            "organization_id": 1,
            "url": url,
            "key_id": KEY_ID,
            "secret": SECRET,
            "connect_timeout": 1.0,
            "read_timeout": 1.0,
            "trusted": str(trusted) if trusted else None,
        }
        | given
    )


@pytest.fixture
def gateway(operator: MisbehavingOperator) -> HttpGateway:
    return gateway_to(operator.url, operator.certificate)


def submit(gateway: HttpGateway, reference: uuid.UUID) -> Answer:
    return gateway.submit(reference, NUMBER, "mci", 5000)


def inquire(gateway: HttpGateway, reference: uuid.UUID) -> Answer:
    return gateway.inquire(reference, NUMBER, "mci", 5000)


# What the operator does when it is asked, and what that is taken for; then what an inquiry finds out, and how often the
# number was topped up.
SUBMISSIONS = [
    ("succeed", "succeeded", "succeeded", 1),
    ("succeed:slow", "succeeded", "succeeded", 1),
    ("succeed:twice", "succeeded", "succeeded", 1),
    ("succeed:client_error", "succeeded", "succeeded", 1),
    ("fail", "failed", "failed", 0),
    ("fail:client_error", "failed", "failed", 0),
    ("unsure", "unknown", "unknown", 0),
    ("refuse", "unsent", "missing", 0),
    ("refuse:client_error", "unsent", "missing", 0),
    ("forget:hang", "unknown", "missing", 0),
    ("forget:cut", "unknown", "missing", 0),
    ("succeed:hang", "unknown", "succeeded", 1),
    ("succeed:cut", "unknown", "succeeded", 1),
    ("succeed:cut_midway", "unknown", "succeeded", 1),
    ("succeed:drip", "unknown", "succeeded", 1),
    ("succeed:garbage", "unknown", "succeeded", 1),
    ("succeed:too_large", "unknown", "succeeded", 1),
    ("succeed:server_error", "unknown", "succeeded", 1),
    ("succeed:bare_client_error", "unknown", "succeeded", 1),
    ("succeed:redirect", "unknown", "succeeded", 1),
    ("succeed:another_reference", "unknown", "succeeded", 1),
    ("succeed:unheard_word", "unknown", "succeeded", 1),
    # That it failed was said in a way that is not certain.
    ("fail:server_error", "unknown", "failed", 0),
    ("fail:another_reference", "unknown", "failed", 0),
    ("fail:cut_midway", "unknown", "failed", 0),
    ("fail:bare_client_error", "unknown", "failed", 0),
    ("fail:redirect", "unknown", "failed", 0),
]


@pytest.mark.parametrize(
    ("behaviour", "taken_for", "found_out", "effects"), SUBMISSIONS, ids=[s[0] for s in SUBMISSIONS]
)
def test_what_a_submission_is_taken_for(
    operator: MisbehavingOperator, gateway: HttpGateway, behaviour: str, taken_for: str, found_out: str, effects: int
) -> None:
    operator.behave(behaviour)
    reference = uuid.uuid4()
    began = time.monotonic()
    assert submit(gateway, reference).delivery == taken_for
    assert time.monotonic() - began < 2.5, "both time limits together are 2 seconds"
    assert inquire(gateway, reference).delivery == found_out
    record = operator.records().get(str(reference))
    assert (record.effects if record else 0) == effects
    assert operator.complaints() == []


INQUIRIES = [
    (":slow", "succeeded"),
    (":twice", "succeeded"),
    (":client_error", "succeeded"),
    ("unsure", "unknown"),
    *[
        (f":{seen}", "unknown")
        for seen in (
            "hang",
            "cut",
            "cut_midway",
            "drip",
            "garbage",
            "too_large",
            "server_error",
            "bare_client_error",
            "redirect",
            "another_reference",
            "unheard_word",
        )
    ],
]


@pytest.mark.parametrize(("behaviour", "taken_for"), INQUIRIES, ids=[i[0] for i in INQUIRIES])
def test_what_an_inquiry_is_taken_for(
    operator: MisbehavingOperator, gateway: HttpGateway, behaviour: str, taken_for: str
) -> None:
    reference = uuid.uuid4()
    submit(gateway, reference)
    operator.behave(behaviour, inquiries=True)
    assert inquire(gateway, reference).delivery == taken_for
    record = operator.records()[str(reference)]
    assert (record.effects, record.submits) == (1, 1)


@pytest.mark.parametrize(
    ("behaviour", "end", "effects"), [("accept", "succeeded", 1), ("accept_then_fail", "failed", 0)]
)
def test_what_was_accepted_ends_later(
    operator: MisbehavingOperator, gateway: HttpGateway, behaviour: str, end: str, effects: int
) -> None:
    operator.behave(behaviour)
    reference = uuid.uuid4()
    assert submit(gateway, reference).delivery == "accepted"
    deadline = time.monotonic() + 10
    while (answer := inquire(gateway, reference)).delivery == "accepted":
        assert time.monotonic() < deadline
    assert answer.delivery == end
    assert operator.records()[str(reference)].effects == effects


def test_a_reference_that_comes_again_is_the_same_recharge(operator: MisbehavingOperator, gateway: HttpGateway) -> None:
    reference = uuid.uuid4()
    assert [submit(gateway, reference).delivery for _ in range(3)] == ["succeeded"] * 3
    record = operator.records()[str(reference)]
    assert (record.effects, record.submits) == (1, 3)
    assert operator.complaints() == [], "each request has a nonce of its own"


def test_an_answer_is_passed_on(operator: MisbehavingOperator, gateway: HttpGateway) -> None:
    operator.behave("fail")
    reference = uuid.uuid4()
    answer = submit(gateway, reference)
    assert answer.reason == "number_barred"
    assert answer.operator_reference == f"op-{str(reference)[-4:]}"
    assert answer.raw.startswith('HTTP 200: {"reference": ')


def test_secrets_that_come_back_are_not_kept(operator: MisbehavingOperator, gateway: HttpGateway) -> None:
    operator.behave("succeed:echo")
    answer = submit(gateway, uuid.uuid4())
    assert answer.delivery == "succeeded"
    assert KEY_ID in answer.raw, "it is an echo"
    assert SECRET not in answer.raw
    assert '"Recharge-Signature": "v1=…"' in answer.raw
    assert SECRET not in repr(gateway)


def test_nor_are_they_where_something_else_belongs() -> None:
    secret = 'an odd "secret" of رمز'
    with answering(
        said(f'"status": "failed", "reason": {json.dumps(secret)}, "operator_reference": "{SECRET}"')
    ) as url:
        assert submit(gateway_to(url, None), REFERENCE).operator_reference == "…"
        answer = submit(gateway_to(url, None, secret=secret), REFERENCE)
    assert answer.reason == ""
    assert "odd" not in answer.raw


@pytest.mark.parametrize("change", [{"secret": "another"}, {"key_id": "nobody"}])
def test_a_wrong_signature_is_refused_and_counts_as_unsent(
    operator: MisbehavingOperator, change: dict[str, str]
) -> None:
    wrong = gateway_to(operator.url, operator.certificate, **change)
    reference = uuid.uuid4()
    assert submit(wrong, reference).delivery == "unsent"
    assert inquire(wrong, reference).delivery == "unknown", "that it is not told does not mean that it never came"
    assert len(operator.complaints()) == 2
    assert str(reference) not in operator.records()


# --- Before anything was sent -----------------------------------------------------------------------------------------


def refusing_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def silent_url() -> Iterator[str]:
    """Takes connections, and says nothing at all: no TLS either."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def full_url() -> Iterator[str]:
    """A server that does not take connections any more."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


def unsent(gateway: HttpGateway) -> bool:
    """Says so to a submission, and knows as little as before after an inquiry; within the time limit."""
    began = time.monotonic()
    submitted, inquired = submit(gateway, uuid.uuid4()).delivery, inquire(gateway, uuid.uuid4()).delivery
    assert time.monotonic() - began < 4
    return (submitted, inquired) == (Delivery.UNSENT, Delivery.UNKNOWN)


def test_a_refused_connection_is_unsent() -> None:
    assert unsent(gateway_to(refusing_url(), None))


def test_a_name_that_does_not_exist_is_unsent() -> None:
    assert unsent(gateway_to("https://nowhere.invalid", None))


def test_no_connection_in_time_is_unsent() -> None:
    with full_url() as url:
        assert unsent(gateway_to(url, None))


def test_no_handshake_in_time_is_unsent() -> None:
    with silent_url() as url:
        assert unsent(gateway_to(url, None))


def test_a_certificate_that_is_not_trusted_is_unsent(operator: MisbehavingOperator) -> None:
    before = len(operator.records())
    assert unsent(gateway_to(operator.url, None))
    assert len(operator.records()) == before


def test_a_certificate_of_another_host_is_unsent(tmp_path: Path) -> None:
    """It is trusted, and made for another name."""
    certificate = make_certificate(tmp_path, host="operator.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    heard = []

    def serve(listening: socket.socket) -> None:
        for _ in range(2):
            plain, _ = listening.accept()
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    heard.append(connection.recv(100))
            except OSError:
                plain.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        assert unsent(gateway_to(f"https://127.0.0.1:{listening.getsockname()[1]}", certificate))
        thread.join()
    assert not any(heard)


def test_a_private_address_is_not_spoken_to_unless_that_is_allowed(
    operator: MisbehavingOperator, gateway: HttpGateway, settings: Settings
) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = False
    before = operator.connections()
    assert unsent(gateway)
    assert operator.connections() == before + 1, "the question itself"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "operator.example",
        "https://",
        "https:///v1",
        "ftp://operator.example",
        "//operator.example",
        "https://user:pass@operator.example",
        "https://operator.example?x=1",
        "https://operator.example#x",
        "https://operator.example:99999",
        "https://operator.example:port",
        "https://[::1",
    ],
)
def test_an_address_that_is_none_makes_no_gateway(url: str) -> None:
    with pytest.raises(GatewayMisconfigured):
        gateway_to(url, None)


def test_plain_http_is_for_development_alone(settings: Settings) -> None:
    with operating() as plain:
        assert submit(gateway_to(plain.url, None), uuid.uuid4()).delivery == "succeeded"
        close_idle_connections()
        settings.ALLOW_PRIVATE_ADDRESSES = False
        with pytest.raises(GatewayMisconfigured):
            gateway_to(plain.url, None)


@pytest.mark.parametrize("change", [{"secret": ""}, {"key_id": "a\r\nX-Evil: 1"}, {"key_id": "کلید"}])
def test_settings_that_can_not_be_sent_make_no_gateway(change: dict[str, str]) -> None:
    with pytest.raises(GatewayMisconfigured):
        gateway_to("https://operator.example", None, **change)


# --- What a raw server can do -----------------------------------------------------------------------------------------


@contextmanager
def answering(*pieces: bytes, pause: float = 0) -> Iterator[str]:
    """A plain server that says the same bytes to whoever connects, and closes."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    data = b""
                    while not data.endswith(b"}"):
                        data += connection.recv(65536)
                    for piece in pieces:
                        connection.sendall(piece)
                        if stopped.wait(pause):
                            return
                except OSError:
                    pass

    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stopped.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


REFERENCE = uuid.UUID("0199aaaa-0000-7000-8000-000000000001")


def http_answer(body: bytes, *headers: bytes) -> bytes:
    head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), b"Connection: close", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def said(rest: str) -> bytes:
    return http_answer(f'{{"reference": "{REFERENCE}", {rest}}}'.encode())


UNCLEAR = {
    "nothing": b"",
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "a wild status line": b"HTTP/1.1 banana OK\r\n\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    "a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
    "continue, for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "a wild length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    "a wild chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "an empty body": http_answer(b""),
    "an array": http_answer(b"[]"),
    "null": http_answer(b"null"),
    "too deep": http_answer(b"[" * 60_000),
    "a long number": http_answer(b"1" * 60_000),
    "compressed": http_answer(b"\x1f\x8b\x08\x00\x00", b"Content-Encoding: gzip"),
    "no reference": http_answer(b'{"status": "failed"}'),
    "a reference that is none": http_answer(b'{"reference": ["x"], "status": "failed"}'),
    "no status": said('"reason": "x"'),
    "a status that is no word": said('"status": {"failed": true}'),
    "two statuses": said('"status": "succeeded", "status": "failed"'),
    "missing, of a submission": said('"status": "missing"'),
    "unsent is no word of the operator's": said('"status": "unsent"'),
    "another case": said('"status": "FAILED"'),
    "NUL": said(r'"status": "failed", "reason": "\u0000"'),
    "half a surrogate pair": said(r'"status": "failed", "reason": "\ud800"'),
    "NaN": said('"status": "failed", "ask_again_after": NaN'),
}


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_answer_is_none(answer: bytes) -> None:
    with answering(answer) as url:
        assert submit(gateway_to(url, None), REFERENCE).delivery == "unknown"


DETAILS = [
    ('"status": "failed"', Answer(Delivery.FAILED)),
    ('"status": "failed", "reason": 7', Answer(Delivery.FAILED)),
    ('"status": "failed", "reason": " Bad  number! "', Answer(Delivery.FAILED, reason="bad_number")),
    ('"status": "failed", "reason": "شماره نادرست"', Answer(Delivery.FAILED, reason="شماره_نادرست")),
    ('"status": "succeeded", "reason": "fine"', Answer(Delivery.SUCCEEDED)),
    ('"status": "succeeded", "operator_reference": 12', Answer(Delivery.SUCCEEDED)),
    ('"status": "accepted", "ask_again_after": 30', Answer(Delivery.ACCEPTED, ask_again_after=30.0)),
    ('"status": "accepted", "ask_again_after": 0', Answer(Delivery.ACCEPTED, ask_again_after=0.5)),
    ('"status": "accepted", "ask_again_after": -1e300', Answer(Delivery.ACCEPTED, ask_again_after=0.5)),
    ('"status": "accepted", "ask_again_after": 1e999', Answer(Delivery.ACCEPTED, ask_again_after=86400.0)),
    (f'"status": "accepted", "ask_again_after": {"9" * 400}', Answer(Delivery.ACCEPTED, ask_again_after=86400.0)),
    ('"status": "accepted", "ask_again_after": true', Answer(Delivery.ACCEPTED)),
    ('"status": "accepted", "ask_again_after": "30"', Answer(Delivery.ACCEPTED)),
]


@pytest.mark.parametrize(("rest", "expected"), DETAILS, ids=[rest[:60] for rest, _ in DETAILS])
def test_what_else_an_answer_says(rest: str, expected: Answer) -> None:
    with answering(said(rest)) as url:
        answer = submit(gateway_to(url, None), REFERENCE)
    assert (answer.delivery, answer.reason, answer.operator_reference, answer.ask_again_after) == (
        expected.delivery,
        expected.reason,
        expected.operator_reference,
        expected.ask_again_after,
    )


def test_lengths_are_bounded() -> None:
    with answering(said(f'"status": "failed", "reason": "{"x" * 5000}", "operator_reference": "{"y" * 5000}"')) as url:
        answer = submit(gateway_to(url, None), REFERENCE)
    assert (len(answer.reason), len(answer.operator_reference), len(answer.raw)) == (200, 100, 1000)


def test_headers_that_drip_end_with_the_time_limit() -> None:
    with answering(*[b"%c" % byte for byte in said('"status": "succeeded"')], pause=0.05) as url:
        began = time.monotonic()
        assert submit(gateway_to(url, None), REFERENCE).delivery == "unknown"
        assert time.monotonic() - began < 1.5


# --- Connections ------------------------------------------------------------------------------------------------------


def test_connections_are_used_again(operator: MisbehavingOperator, gateway: HttpGateway) -> None:
    before = operator.connections()
    for _ in range(5):
        assert submit(gateway, uuid.uuid4()).delivery == "succeeded"
    assert operator.connections() == before + 2, "one, and that of the question itself"


def test_a_gateway_that_is_made_again_uses_them_too_but_another_organization_does_not(
    operator: MisbehavingOperator,
) -> None:
    before = operator.connections()
    for organization_id in (1, 1, 2):
        gateway = gateway_to(operator.url, operator.certificate, organization_id=organization_id)
        assert submit(gateway, uuid.uuid4()).delivery == "succeeded"
    assert operator.connections() == before + 3


def test_one_that_the_operator_has_closed_is_not_used_again(tmp_path: Path) -> None:
    with operating(tmp_path) as short_lived:
        gateway = gateway_to(short_lived.url, short_lived.certificate)
        assert submit(gateway, uuid.uuid4()).delivery == "succeeded"
    assert submit(gateway, uuid.uuid4()).delivery == "unsent"


def test_one_that_was_idle_for_long_is_not_used_again(
    operator: MisbehavingOperator, gateway: HttpGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = operator.connections()
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    for _ in range(3):
        assert submit(gateway, uuid.uuid4()).delivery == "succeeded"
    assert operator.connections() == before + 4


def test_an_answer_too_many_is_not_taken_for_the_next_one(operator: MisbehavingOperator, gateway: HttpGateway) -> None:
    operator.behave("succeed:twice", ending="67")
    operator.behave("fail", ending="68")
    try:
        for _ in range(5):
            assert submit(gateway, uuid.uuid4()).delivery == "succeeded"
            # It may come after the next request was sent; then that has no answer.
            assert gateway.submit(uuid.uuid4(), "+989121234568", "mci", 5000).delivery in ("failed", "unknown")
    finally:
        operator.behave(ending="67")
        operator.behave(ending="68")


def test_many_threads_each_get_their_own_answer(operator: MisbehavingOperator, gateway: HttpGateway) -> None:
    operator.behave("fail", ending="11")
    references = [uuid.uuid4() for _ in range(200)]

    def ask(number: int) -> bool:
        phone_number, expected = ("+989121234511", "failed") if number % 3 == 0 else (NUMBER, "succeeded")
        answer = gateway.submit(references[number], phone_number, "mci", 5000)
        return (answer.delivery, answer.operator_reference[-4:]) == (expected, str(references[number])[-4:])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))
    operator.behave(ending="11")


# --- Settings ---------------------------------------------------------------------------------------------------------


def test_gateways_are_made_from_their_settings(
    acme: Organization, operator: MisbehavingOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with acme.context:
        row = GatewaySettings.objects.create(
            name="mci-direct",
            kind="http",
            url=operator.url,
            key_id=KEY_ID,
            secret=encrypt(SECRET),
            connect_timeout_ms=1500,
        )
        sandbox = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        trainer = GatewaySettings.objects.create(name="trainer", kind="instant")
        gateways = gateways_of(acme.row)
    assert isinstance(gateways[trainer.pk], InstantGateway)
    assert isinstance(gateways[sandbox.pk], SimulatorGateway)
    made = gateways[row.pk]
    assert isinstance(made, HttpGateway)
    assert (made.secret, made.connect_timeout, made.read_timeout) == (SECRET, 1.5, 10.0)
    # As an installation would trust an authority of its own.
    module._context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(operator.certificate))
    try:
        assert make_gateway(acme.row, row).submit(uuid.uuid4(), NUMBER, "mci", 5000).delivery == "succeeded"
    finally:
        module._context.cache_clear()


def test_a_gateway_that_can_not_be_made_is_left_out(acme: Organization) -> None:
    with acme.context:
        good = GatewaySettings.objects.create(name="good", kind="simulator")
        GatewaySettings.objects.create(name="odd", kind="telex")
        GatewaySettings.objects.create(name="unreadable", kind="http", url="https://operator.example", secret="x")
        GatewaySettings.objects.create(name="nowhere", kind="http", url="nowhere", secret=encrypt("x"))
        assert set(gateways_of(acme.row)) == {good.pk}


# --- With a worker ----------------------------------------------------------------------------------------------------


def test_a_worker_gets_all_of_them_delivered_once(acme: Organization, operator: MisbehavingOperator) -> None:
    """Whatever the operator does: each ends as the operator did it, and none was topped up twice."""
    # Mostly it answers: a gateway that doesn't is left alone for a while, which is another test's matter.
    well = ["succeed", "succeed", "succeed", "fail", "fail", "accept", "accept_then_fail"]
    operator.behave(*well, "succeed:cut", "succeed:garbage")
    give_credit(acme.row, acme.member.id, 100_000)
    with acme.context:
        direct = GatewaySettings.objects.create(
            name="direct",
            kind="http",
            url=operator.url,
            key_id=KEY_ID,
            secret=encrypt(SECRET),
        )
        OperatorSettings.objects.create(operator="mci", gateway=direct)
    for number in range(30):
        assert acme.member.sell(1000, phone_number=f"091212345{number:02}").status == 201

    worker = commands.start(
        "deliver", environment={"SSL_CERT_FILE": str(operator.certificate), "ALLOW_PRIVATE_ADDRESSES": "on"}
    )
    try:
        wait_until(lambda: all(status in ("succeeded", "failed") for status in statuses(acme).values()), seconds=60)
    finally:
        worker.terminate()
        output, errors = worker.communicate(timeout=20)
    assert worker.returncode == 0, output + errors
    records = operator.records()
    ended = statuses(acme)
    assert {reference: records[reference].status for reference in ended} == ended
    effects = {reference: records[reference].effects for reference in ended}
    assert effects == {reference: int(status == "succeeded") for reference, status in ended.items()}
    assert acme.member.balance() == 100_000 - 1000 * sum(effects.values())
    assert operator.complaints() == []


def statuses(organization: Organization) -> dict[str, str]:
    with organization.context:
        return {str(row.pk): row.status for row in Recharge.objects.all()}
