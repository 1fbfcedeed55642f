"""Addresses that others give and the product calls: which may be called, and where they lead at this moment.

Whoever may name an address could make the server call its own network with it. So only public addresses are called,
and the look-up that is checked is the one that is used: asked again, a name may answer something else (DNS rebinding).
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from django.conf import settings

LONGEST_URL = 2000
"""Characters."""

_PORTS = {"http": 80, "https": 443}

# By hand, and strictly: where two parsers could differ about which host is meant, it is no address for us.
_URL = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?](?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?"
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NEVER: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = [
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.IPv6Network("2001::/23"),  # Teredo and other protocols' own
    ipaddress.IPv6Network("2001:db8::/32"),  # for documentation
    ipaddress.IPv6Network("2002::/16"),  # 6to4: leads to any IPv4 address
    ipaddress.IPv6Network("3fff::/20"),  # for documentation
]


class AddressRefused(ValueError):
    """An address that is not called; ``code`` names the reason and the message says it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a URL. ``host`` is a name in lower case or an IP address without brackets; ``target`` is the path
    and the query."""

    is_tls: bool
    host: str
    port: int
    target: str


def parse_url(url: str) -> Address:
    """The parts of a URL that may be called, as far as can be told without looking up its name.

    Raises:
        AddressRefused: it is not an https URL without user information and fragment, or leads into a private network.
    """
    match = _URL.fullmatch(url)
    if match is None or len(url) > LONGEST_URL:
        raise AddressRefused(
            "invalid",
            f"This must be a URL of at most {LONGEST_URL} ASCII characters, as https://hooks.example.com/recharges, "
            "without a user, a password or a fragment; other characters are percent-encoded.",
        )
    scheme, host = match["scheme"].lower(), match["host"].lower()
    if scheme != "https" and not (scheme == "http" and settings.ALLOW_PRIVATE_ADDRESSES):
        raise AddressRefused("not_https", "This must begin with https://.")
    port = int(match["port"] or _PORTS[scheme])
    if not 1 <= port <= 65535:
        raise AddressRefused("invalid", "A port is a number from 1 to 65535.")
    target = match["target"] or "/"
    return Address(scheme == "https", _checked_host(host), port, target if target[0] == "/" else f"/{target}")


def _checked_host(host: str) -> str:
    try:
        literal = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        labels = host.split(".")
        # A name that ends in a number is another writing of an IPv4 address (127.1, 0x7f.0.0.1, 2130706433).
        if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)) or re.match(r"[0-9]+$|0x", labels[-1]):
            raise AddressRefused("invalid", "This is not a host's name.") from None
        return host
    if isinstance(literal, IPv6Address) != host.startswith("["):
        raise AddressRefused("invalid", "An IPv6 address stands in brackets.")
    if not is_public(literal) and not settings.ALLOW_PRIVATE_ADDRESSES:
        raise AddressRefused("private_address", "This address is not a public one.")
    return str(literal)


def look_up(address: Address) -> list[str]:
    """The IP addresses that a host's name leads to now, each of which may be called.

    Raises:
        AddressRefused: one of them is not public.
        OSError: the name leads nowhere, or nobody answers that question.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label too long for the resolver's own encoding
        raise AddressRefused("invalid", "This is not a host's name.") from None
    numbers = list(dict.fromkeys(str(place[0]) for *_, place in found))
    # All of them: a name that leads to both kinds is made to pass at one look and not at the next.
    if not settings.ALLOW_PRIVATE_ADDRESSES and not all(is_public(ipaddress.ip_address(number)) for number in numbers):
        raise AddressRefused("private_address", "The host's address is not a public one.")
    return numbers


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an IP address is one of the public internet's, for one host, in whatever writing.

    (IANA's special-purpose registries; ``is_global`` alone lets multicast and, before Python 3.12.4, 6to4 through.)
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:  # how a network that has only IPv6 reaches IPv4
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _GLOBAL_UNICAST or address.scope_id:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NEVER)
