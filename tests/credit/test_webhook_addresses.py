"""Where webhooks are sent: to public addresses alone, each checked at the time of the call, by TLS that is verified."""

import socket
import ssl
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credit.webhooks import sending
from shared.outbound.secrets import encrypt
from tenants.models import Organization as Row
from tests.support.bad_input import table
from tests.support.certificates import make_certificate
from tests.support.receiver import Receiver, receiving


def leads_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Has names lead to these addresses, at one look-up after the other; returns the names that are looked up."""
    real, asked, left = socket.getaddrinfo, [], list(answers)

    def look_up(host: str, port: Any, *rest: Any, **options: Any) -> list[Any]:
        try:
            return real(host, port, *rest, **options | {"flags": socket.AI_NUMERICHOST})
        except socket.gaierror:
            asked.append(host)
            numbers = left.pop(0) if len(left) > 1 else left[0]
            return [found for number in numbers for found in real(number, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def connections_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that something tries to connect to; nobody answers."""
    tried: list[str] = []

    def connect(self: socket.socket, place: tuple[Any, ...]) -> None:
        tried.append(place[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


def task_for(url: str) -> sending.Task:
    now = datetime.now(UTC)
    secret = encrypt("whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")
    return sending.Task(
        uuid.uuid4(), uuid.uuid4(), url, secret, "", "recharge.failed", "{}", 0, now, now + timedelta(days=1), now
    )


PRIVATE = table(
    ("loopback", "127.0.0.1"),
    ("another loopback", "127.8.8.8"),
    ("this host", "0.0.0.0"),
    ("this network", "0.1.2.3"),
    ("10/8", "10.1.2.3"),
    ("172.16/12", "172.31.255.255"),
    ("192.168/16", "192.168.0.1"),
    ("cloud metadata", "169.254.169.254"),
    ("carrier's NAT", "100.64.0.1"),
    ("protocol assignments", "192.0.0.1"),
    ("documentation", "203.0.113.7"),
    ("benchmarks", "198.18.0.1"),
    ("multicast", "224.0.0.1"),
    ("multicast, global", "233.252.0.1"),
    ("reserved", "240.0.0.1"),
    ("broadcast", "255.255.255.255"),
    ("IPv6 loopback", "::1"),
    ("IPv6 unspecified", "::"),
    ("IPv4-mapped loopback", "::ffff:127.0.0.1"),
    ("IPv4-mapped, in hexadecimal", "::ffff:a9fe:a9fe"),
    ("IPv4-compatible loopback", "::127.0.0.1"),
    ("link-local", "fe80::1"),
    ("site-local", "fec0::1"),
    ("unique local", "fd00:ec2::254"),
    ("IPv6 multicast", "ff0e::1"),
    ("6to4 of a private one", "2002:a00:1::1"),
    ("Teredo", "2001:0:a00:1::1"),
    ("NAT64 of loopback", "64:ff9b::7f00:1"),
    ("NAT64, local", "64:ff9b:1::808:808"),
    ("IPv6 documentation", "2001:db8::1"),
    ("discard-only", "100::1"),
)


@pytest.mark.parametrize("number", PRIVATE)
@pytest.mark.parametrize("place", ["alone", "beside a public one"])
def test_no_name_leads_into_a_private_network(monkeypatch: pytest.MonkeyPatch, number: str, place: str) -> None:
    leads_to(monkeypatch, [number] if place == "alone" else ["93.184.215.14", number])
    tried = connections_of(monkeypatch)
    answer = sending.send(task_for("https://hooks.example.com/x"))
    assert (answer.status_code, answer.error) == (None, "The host's address is not public.")
    assert tried == []


@pytest.mark.parametrize("number", PRIVATE)
def test_no_number_does(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    tried = connections_of(monkeypatch)
    host = f"[{number}]" if ":" in number else number
    assert sending.send(task_for(f"https://{host}/x")).error == "This address is not a public one."
    assert tried == []


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "127.0.0.1.", "localhost", "LOCALHOST", "127.0.0.01"],
)
def test_other_writings_of_this_host_do_not_either(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    tried = connections_of(monkeypatch)
    assert sending.send(task_for(f"https://{host}/x")).error
    assert tried == []


@pytest.mark.parametrize("number", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_a_public_address_is_called(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    leads_to(monkeypatch, [number])
    tried = connections_of(monkeypatch)
    assert sending.send(task_for("https://hooks.example.com/x")).error == "The connection was refused."
    assert tried == [number]


def test_a_name_that_changes_after_the_check_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the address that was checked is the one that is called."""
    asked = leads_to(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    tried = connections_of(monkeypatch)
    sending.send(task_for("https://hooks.example.com/x"))
    assert (asked, tried) == (["hooks.example.com"], ["93.184.215.14"])


def test_it_is_checked_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    tried = connections_of(monkeypatch)
    errors = [sending.send(task_for("https://hooks.example.com/x")).error for _ in range(2)]
    assert errors == ["The connection was refused.", "The host's address is not public."]
    assert tried == ["93.184.215.14"]


def test_another_address_of_the_host_is_tried_when_one_takes_no_connection(
    row: Row, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    url = f"http://hooks.example.com:{receiver.port}/x"
    assert sending.send(task_for(url)).status_code == 204
    assert receiver.received[0].headers["host"] == f"hooks.example.com:{receiver.port}"


def test_a_proxy_in_the_environment_is_not_asked(row: Row, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert sending.send(task_for(receiver.url)).status_code == 204
        assert (len(receiver.received), proxy.received) == (1, [])


def test_plain_http_and_private_addresses_need_the_setting(receiver: Receiver, settings: Any) -> None:
    assert settings.ALLOW_PRIVATE_ADDRESSES is False
    assert sending.send(task_for(receiver.url)).error == "This must begin with https://."
    assert receiver.received == []


@pytest.mark.parametrize(
    ("certified", "trusted", "check"),
    [
        ("hooks.example.com", True, lambda answer: answer.status_code == 204),
        ("hooks.example.com", False, lambda answer: "certificate is not good" in answer.error),
        ("other.example.com", True, lambda answer: "certificate is not good: Hostname mismatch" in answer.error),
    ],
    ids=["good", "by nobody we trust", "for another host"],
)
def test_the_certificate_must_be_the_hosts(
    row: Row,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certified: str,
    trusted: bool,
    check: Callable[[sending.Answer], bool],
) -> None:
    certificate = make_certificate(tmp_path, host=certified)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    sending._tls.cache_clear()
    leads_to(monkeypatch, ["127.0.0.1"])
    try:
        with receiving(tls=tls) as receiver:
            answer = sending.send(task_for(f"https://hooks.example.com:{receiver.port}/x"))
            assert check(answer), answer
            assert len(receiver.received) == (answer.status_code == 204)
    finally:
        sending._tls.cache_clear()
