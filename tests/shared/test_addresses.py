"""Which addresses are public, and that a connection goes to one that was checked."""

import socket
import time
from typing import Any

import pytest

from shared.outbound.addresses import AddressNotPublic, connect_to, is_public

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "192.0.0.8",
    "192.88.99.1",
    "3fff::1",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]
PUBLIC = ["1.1.1.1", "185.143.233.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_inside_some_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_others_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0.0.0.0", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "::1", "[::1]"]
)
def test_no_way_to_write_it_gets_there(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with pytest.raises((AddressNotPublic, socket.gaierror)):
            connect_to(host, listening.getsockname()[1], deadline=time.monotonic() + 1, private_too=False)
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[tuple[str, int]]) -> None:
    """The system's resolver says these things, one after another."""
    told = iter(answers)

    def say(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in next(told)]

    monkeypatch.setattr(socket, "getaddrinfo", say)


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, [("1.1.1.1", 443), ("10.0.0.1", 443)])
    with pytest.raises(AddressNotPublic):
        connect_to("operator.example", 443, deadline=time.monotonic() + 1, private_too=False)


def test_a_name_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second answer, after the check, could be another address: then the resolver here would run out of answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        resolving(monkeypatch, [listening.getsockname()])
        with connect_to("operator.example", 443, deadline=time.monotonic() + 1, private_too=True) as connection:
            assert connection.getpeername() == listening.getsockname()


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as listening:
        closed.bind(("127.0.0.1", 0))
        resolving(monkeypatch, [closed.getsockname(), listening.getsockname()])
        with connect_to("operator.example", 443, deadline=time.monotonic() + 1, private_too=True) as connection:
            assert connection.getpeername() == listening.getsockname()


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".example", "a..b", "\udcff.example", ""])
def test_a_name_that_is_none_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - its many kinds are all that may come
        connect_to(host, 1, deadline=time.monotonic() + 1, private_too=True)
