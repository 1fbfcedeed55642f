"""Which URLs a webhook may have, as far as that can be told before its host's name is looked up, at each call.

Read by hand, and strictly: where two parsers could differ about which host is meant, it is no URL for us.
"""

import ipaddress
import re
from dataclasses import dataclass

from django.conf import settings

from shared.outbound.addresses import is_public

LONGEST_URL = 2000
"""Characters."""

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?](?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?"
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class UrlRefused(ValueError):
    """A URL that is not called; ``code`` names the reason and the message says it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL. ``host`` is a name in lower case or an IP address without brackets; ``target`` is the path
    and the query."""

    is_tls: bool
    host: str
    port: int
    target: str


def parse_url(url: str) -> Url:
    """The parts of a URL that may be called.

    Raises:
        UrlRefused: it is not an https URL without user information and fragment, or leads into a private network.
    """
    match = _URL.fullmatch(url)
    if match is None or len(url) > LONGEST_URL:
        raise UrlRefused(
            "invalid",
            f"This must be a URL of at most {LONGEST_URL} ASCII characters, as https://hooks.example.com/recharges, "
            "without a user, a password or a fragment; other characters are percent-encoded.",
        )
    scheme, host = match["scheme"].lower(), match["host"].lower()
    if scheme != "https" and not (scheme == "http" and settings.ALLOW_PRIVATE_ADDRESSES):
        raise UrlRefused("not_https", "This must begin with https://.")
    port = int(match["port"] or _PORTS[scheme])
    if not 1 <= port <= 65535:
        raise UrlRefused("invalid", "A port is a number from 1 to 65535.")
    target = match["target"] or "/"
    return Url(scheme == "https", _checked_host(host), port, target if target[0] == "/" else f"/{target}")


def _checked_host(host: str) -> str:
    try:
        literal = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        labels = host.split(".")
        # A name that ends in a number is another writing of an IPv4 address (127.1, 0x7f.0.0.1, 2130706433).
        if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)) or re.match(r"[0-9]+$|0x", labels[-1]):
            raise UrlRefused("invalid", "This is not a host's name.") from None
        return host
    if (literal.version == 6) != host.startswith("["):
        raise UrlRefused("invalid", "An IPv6 address stands in brackets.")
    if not is_public(str(literal)) and not settings.ALLOW_PRIVATE_ADDRESSES:
        raise UrlRefused("private_address", "This address is not a public one.")
    return str(literal)
