"""Connects to addresses that somebody outside gave, if they are public, and to no other.

A name is resolved here, each of its addresses is checked, and the connection goes to the very address that was checked.
To check a name and then connect to it by name asks twice, and the second answer may be another.
"""

import ipaddress
import socket
import time

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOBODYS = [ipaddress.ip_network(network) for network in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")]
"""Special-purpose networks (IANA's registries) that older Pythons take for global."""


class AddressNotPublic(Exception):
    """The name stands for an address inside some network: this machine's own, its neighbours', a cloud's metadata."""


def is_public(address: str) -> bool:
    """Whether the whole internet agrees on what this address is. What is written as an IPv6 address and reaches an IPv4
    one is as public as that."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    if isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local:  # given up by RFC 3879, and still routed inside
        return False
    if any(ip in network for network in _NOBODYS):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def connect_to(host: str, port: int, *, deadline: float, private_too: bool) -> socket.socket:
    """A TCP connection to ``host``, made before ``deadline`` (of the monotonic clock): to the first of its addresses
    that takes it. Only the look-up of the name is bounded by the system's resolver alone.

    Raises:
        AddressNotPublic: one of its addresses isn't, and ``private_too`` is false.
        OSError: there is no such name, or nothing there that answers.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # no name that could be looked up
        raise OSError(str(error)) from None
    if not private_too:
        for *_, address in found:
            if not is_public(str(address[0])):
                raise AddressNotPublic(f"{host} is at {address[0]}")
    failure = OSError(f"{host} has no address")
    for left, (family, kind, protocol, _, address) in zip(range(len(found), 0, -1), found, strict=True):
        connection = socket.socket(family, kind, protocol)
        try:
            # One that doesn't answer leaves time for the others.
            connection.settimeout(max(0.001, (deadline - time.monotonic()) / left))
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
    raise failure
