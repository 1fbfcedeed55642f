"""A mobile operator that is reached by JSON over HTTPS. This is the whole protocol, for who implements the other side.

Two requests, both ``POST`` with ``Content-Type: application/json``, to the gateway's url and below it:

``/recharges``   top up this number by this amount
``/inquiries``   what has become of this reference? Nothing is to be done because of it

Both carry the same body; ``amount`` is in Tomans, ``phone_number`` is E.164::

    {"reference": "0199…", "phone_number": "+989121234567", "operator": "mci", "amount": 5000}

**The same reference is the same recharge.** It may come more than once; only the first has an effect, and what has come
of it is answered each time.

The answer is a JSON object of at most 64 KiB, within the gateway's time limits::

    {"reference": "0199…", "status": "succeeded", "reason": "", "operator_reference": "A-1", "ask_again_after": 30}

``reference``           that of the request; an answer about another one counts as none
``status``              ``accepted``: taken over, the end is not known yet
                        ``succeeded``: it was topped up
                        ``failed``: it was not and will not be, certainly
                        ``unknown``: it can't be said now
                        ``missing``: (to an inquiry) this reference never came
                        ``refused``: this request is not taken, as if it never came (a bad signature, too many); it is
                        sent again later
``reason``              optional, of ``failed``: a word or two, which the seller is shown
``operator_reference``  optional: the operator's own number
``ask_again_after``     optional: seconds until an inquiry makes sense; after ``succeeded`` and ``failed``, that the end
                        may yet change

The answer's HTTP status is 2xx or 4xx, whichever suits: the body alone says what happened. Anything else (3xx, 5xx, no
answer in time, no such object, another status word) leaves open what happened, and is followed by inquiries; a
recharge is never taken for failed because of it. Redirects are not followed.

Every request is signed::

    Recharge-Key-Id:     the key's id
    Recharge-Timestamp:  Unix time in seconds; refuse what is more than 5 minutes off
    Recharge-Nonce:      32 hexadecimal digits, random; refuse one that has come before
    Recharge-Signature:  v1=… the HMAC-SHA256 under the secret, in hexadecimal, of these six lines, joined by newlines:
                             v1
                             POST
                             the path of the request, as sent
                             the timestamp
                             the nonce
                             the SHA-256 of the body, in hexadecimal

Where this side makes traces, ``traceparent`` (W3C Trace Context) is there, too. Nothing depends on it.
"""

import hashlib
import hmac
import http.client
import json
import secrets
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar
from uuid import UUID

import urllib3
from django.conf import settings
from urllib3.connection import HTTPConnection
from urllib3.util import parse_url

from recharge.delivery.gateways import Answer, Delivery, GatewayMisconfigured, GatewayOptions
from shared import tracing
from shared.outbound.addresses import AddressNotPublic, connect_to
from shared.strict_json import NotJSON, parse_json

LARGEST_ANSWER = 64 * 1024
"""Bytes."""

LONGEST_PAUSE = 24 * 60 * 60.0
SHORTEST_PAUSE = 0.5
"""Seconds: what an operator may ask for with ``ask_again_after``."""

IDLE_SECONDS = 20.0
"""A connection that was idle for longer is not used again: what lies between forgets connections without a word, and to
send into such a one is to wait for nothing until the time-out."""

MOST_IDLE = 128
"""Connections that are kept, of all gateways of this process."""


@dataclass(frozen=True, slots=True)
class HttpGateway:
    """See the module. The time-outs are seconds: one to get connected, one for all between request and answer."""

    kind: ClassVar[str] = "http"

    organization_id: int
    url: str
    key_id: str
    secret: str = field(repr=False)
    connect_timeout: float
    read_timeout: float
    trusted: str | None = None
    """A file of certificates (PEM) to trust instead of the system's."""

    @classmethod
    def of(cls, options: GatewayOptions) -> "HttpGateway":
        """The gateway that an organization has set up.

        Raises:
            GatewayMisconfigured: the settings are not such that anything could be sent.
        """
        return cls(
            organization_id=options.organization_id,
            url=options.url,
            key_id=options.key_id,
            secret=options.secret,
            connect_timeout=options.connect_timeout,
            read_timeout=options.read_timeout,
        )

    def __post_init__(self) -> None:
        """
        Raises:
            GatewayMisconfigured: the settings are not such that anything could be sent.
        """
        _place_of(self.url, plain_too=settings.ALLOW_PRIVATE_ADDRESSES)
        if not self.secret or not self.key_id.isascii() or not self.key_id.isprintable():
            raise GatewayMisconfigured("An http gateway needs a secret, and a key id of ASCII characters.")

    def submit(self, reference: UUID, phone_number: str, operator: str, amount: int) -> Answer:
        return self._ask("/recharges", Delivery.UNSENT, reference, phone_number, operator, amount)

    def inquire(self, reference: UUID, phone_number: str, operator: str, amount: int) -> Answer:
        return self._ask("/inquiries", Delivery.UNKNOWN, reference, phone_number, operator, amount)

    def _ask(
        self, path: str, nothing_sent: Delivery, reference: UUID, phone_number: str, operator: str, amount: int
    ) -> Answer:
        """``nothing_sent``: what it means for this request that it was not taken."""
        place = _place_of(self.url, plain_too=settings.ALLOW_PRIVATE_ADDRESSES)
        body = json.dumps(
            {"reference": str(reference), "phone_number": phone_number, "operator": operator, "amount": amount},
            separators=(",", ":"),
        ).encode()
        headers = self._headers(place.path + path, body)
        pool_key = (self.organization_id, place, self.trusted)

        connection = _idle.take(pool_key)
        try:
            connection = connection or _connect(place, self.connect_timeout, self.trusted)
        except AddressNotPublic:
            return Answer(nothing_sent, raw="not sent: the address is not a public one", is_answer=False)
        except OSError as error:  # also of TLS, and of looking up the name
            return Answer(nothing_sent, raw=f"not sent: no connection ({type(error).__name__})", is_answer=False)

        # From here on it may have got there, whatever is seen of it.
        try:
            status, answered, reusable = _exchange(connection, place.path + path, body, headers, self.read_timeout)
        except TimeoutError:
            connection.close()
            return Answer(Delivery.UNKNOWN, raw="no answer in time", is_answer=False)
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            connection.close()
            return Answer(Delivery.UNKNOWN, raw=f"no answer ({type(error).__name__})", is_answer=False)

        def clean(text: str) -> str:
            # As it is, and as JSON writes it.
            signature = headers["Recharge-Signature"].removeprefix("v1=")
            for known in (self.secret, json.dumps(self.secret)[1:-1], signature):
                text = text.replace(known, "…")
            return text

        raw = clean(f"HTTP {status}: {answered.decode(errors='replace')}")[:1000]
        answer = _read(status, answered, raw, reference, nothing_sent, clean)
        # A connection that has answered another request than this one would answer the next one wrongly, too.
        if reusable and answer is not None:
            _idle.give(pool_key, connection)
        else:
            connection.close()
        return answer or Answer(Delivery.UNKNOWN, raw=raw, is_answer=False)

    def _headers(self, path: str, body: bytes) -> dict[str, str]:
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        signed = "\n".join(["v1", "POST", path, timestamp, nonce, hashlib.sha256(body).hexdigest()])
        signature = hmac.new(self.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        return {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "recharge",
            "Recharge-Key-Id": self.key_id,
            "Recharge-Timestamp": timestamp,
            "Recharge-Nonce": nonce,
            "Recharge-Signature": f"v1={signature}",
            **tracing.outgoing(),
        }


def _read(
    status: int, body: bytes, raw: str, reference: UUID, nothing_sent: Delivery, clean: Callable[[str], str]
) -> Answer | None:
    """What an answer says; None if that is not clear. ``clean`` takes the secrets out of a text."""
    if not (200 <= status < 300 or 400 <= status < 500) or len(body) > LARGEST_ANSWER:
        return None
    try:
        said = parse_json(body)
    except NotJSON:
        return None
    if not isinstance(said, dict) or said.get("reference") != str(reference):
        return None
    is_inquiry = nothing_sent == Delivery.UNKNOWN
    match said.get("status"):
        case "refused":
            delivery = nothing_sent
        case "missing" if is_inquiry:
            delivery = Delivery.MISSING
        case "accepted" | "succeeded" | "failed" | "unknown" as word:
            delivery = Delivery(word)
        case _:
            return None
    return Answer(
        delivery,
        reason=_snake_case(clean(_string(said.get("reason")))) if delivery == Delivery.FAILED else "",
        operator_reference=clean(_string(said.get("operator_reference")))[:100],
        raw=raw,
        ask_again_after=_pause(said.get("ask_again_after")),
    )


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _snake_case(text: str) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
    return "_".join(words)[:200]


def _pause(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(min(max(value, SHORTEST_PAUSE), LONGEST_PAUSE))


# --- Connections ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    is_tls: bool
    host: str
    port: int
    path: str


@lru_cache(maxsize=1000)
def _place_of(url: str, *, plain_too: bool) -> _Place:
    """
    Raises:
        GatewayMisconfigured: this is no address of a gateway.
    """
    try:
        parsed = parse_url(url)
    except urllib3.exceptions.LocationParseError:
        raise GatewayMisconfigured("The url of a gateway must be one.") from None
    if parsed.scheme != "https" and not (parsed.scheme == "http" and plain_too):
        raise GatewayMisconfigured("The url of a gateway must begin with https://.")
    if not parsed.host or parsed.auth or parsed.query is not None or parsed.fragment is not None:
        raise GatewayMisconfigured("The url of a gateway must have a host, and no user, query or fragment.")
    is_tls = parsed.scheme == "https"
    port = parsed.port or (443 if is_tls else 80)
    return _Place(is_tls, parsed.host.strip("[]"), port, (parsed.path or "").rstrip("/"))


class _Bounded(socket.socket):
    """A socket that reads until a moment, and not for so long per piece: a server that drips its answer, or the headers
    of it, byte by byte could keep a thread for hours. (So does its TLS sibling.)"""

    deadline: float

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        self.settimeout(_seconds_left(self.deadline))
        return super().recv_into(*arguments, **options)


class _BoundedTLS(ssl.SSLSocket):
    deadline: float

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        self.settimeout(_seconds_left(self.deadline))
        return super().recv_into(*arguments, **options)


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@lru_cache(maxsize=16)
def _context(trusted: str | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, the certificate and the host's name verified. Made once: reading the certificates that a system
    trusts takes some 20 ms."""
    context = ssl.create_default_context(cafile=trusted)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _BoundedTLS
    return context


def _connect(place: _Place, timeout: float, trusted: str | None) -> HTTPConnection:
    """A connection on which nothing has been sent, TLS being agreed on. urllib3's own pools connect and send in one,
    and of what goes wrong they don't tell on which side of the sending it was; and here that is the question.

    Raises:
        AddressNotPublic, OSError: there is none.
    """
    deadline = time.monotonic() + timeout
    plain = connect_to(place.host, place.port, deadline=deadline, private_too=settings.ALLOW_PRIVATE_ADDRESSES)
    connection = HTTPConnection(place.host, place.port)
    connection.auto_open = 0  # never one that was not checked
    if not place.is_tls:
        connection.sock = _Bounded(fileno=plain.detach())
        return connection
    try:
        plain.settimeout(_seconds_left(deadline))
        connection.sock = _context(trusted).wrap_socket(plain, server_hostname=place.host)
    except BaseException:
        plain.close()
        raise
    return connection


def _exchange(
    connection: HTTPConnection, path: str, body: bytes, headers: dict[str, str], timeout: float
) -> tuple[int, bytes, bool]:
    """Sends, and reads the answer: its status, the body (one byte too many if it is too large), and whether the
    connection can be used again. All of it within ``timeout`` seconds.

    Raises:
        TimeoutError, OSError, http.client.HTTPException, urllib3.exceptions.HTTPError: there is none, or half of one.
    """
    bounded = connection.sock
    assert isinstance(bounded, _Bounded | _BoundedTLS)
    bounded.deadline = time.monotonic() + timeout
    connection.timeout = timeout
    connection.request("POST", path, body, headers, preload_content=False, decode_content=False)
    response = connection.getresponse()
    try:
        answered = response.read(LARGEST_ANSWER + 1)
    except urllib3.exceptions.ReadTimeoutError:
        raise TimeoutError from None
    finally:
        response.close()
    return response.status, answered, connection.sock is not None and len(answered) <= LARGEST_ANSWER


class _IdleConnections:
    """Connections between two requests, those of a gateway for this gateway alone. (One pool for all, since a process
    has the gateways of a thousand organizations, and only so many open files.)"""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: deque[tuple[float, object, HTTPConnection]] = deque()
        """Since when (of the monotonic clock), whose, and what; in the order in which they came."""

    def take(self, key: object) -> HTTPConnection | None:
        """The one that came last, if there is one that can be used."""
        while True:
            with self._lock:
                found = next((item for item in reversed(self._idle) if item[1] == key), None)
                if found is None:
                    return None
                self._idle.remove(found)
            since, _, connection = found
            # Closed from the other side, or (worse) with more to be read, which would be taken for the next answer.
            if time.monotonic() < since + IDLE_SECONDS and connection.is_connected:
                return connection
            connection.close()

    def give(self, key: object, connection: HTTPConnection) -> None:
        now = time.monotonic()
        spent = []
        with self._lock:
            self._idle.append((now, key, connection))
            while len(self._idle) > MOST_IDLE or self._idle[0][0] < now - IDLE_SECONDS:
                spent.append(self._idle.popleft()[2])
        for old in spent:
            old.close()

    def close(self) -> None:
        """Closes them all."""
        with self._lock:
            spent, self._idle = list(self._idle), deque()
        for *_, connection in spent:
            connection.close()


_idle = _IdleConnections()


def close_idle_connections() -> None:
    """For the end of a process, and of a test."""
    _idle.close()
