"""The fast path and Django give the same answers, whatever is sent: a request that is ordinary in every way is
answered by recharge/api/fast_path.py, any other by the views of REST framework.

Two servers answer here, of which one has the fast path switched off. (The tests of sales say by a mark that they are to
be run both ways; see the fixture ``way``.)
"""

import json
import random
import re
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.db import ProgrammingError
from django.db import connection as django_connection
from django_tenants.utils import tenant_context

from credit.models import Seller
from recharge.api import fast_path
from recharge.models import Recharge
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from shared.identity.realm import Realm
from shared.identity.tokens import AccessToken, name_realm
from tenants import models
from tenants.routing import forget_routes, organization_at
from tests.recharge.test_commissions import set_rate
from tests.support.logs import ServerLog
from tests.support.server import Server, serving, working_environment
from tests.support.world import Organization, World, give_credit

JSON = "application/json"
connection: Any = django_connection


@pytest.fixture(scope="module")
def usual(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that sends every request to Django."""
    environment = working_environment() | {"FAST_PATH": "off"}
    log = tmp_path_factory.mktemp("usual") / "log"
    with serving(log, workers=1, environment=environment) as running:
        yield running


# --- What is sent -----------------------------------------------------------------------------------------------------


@dataclass
class Sent:
    """A request as it goes over the socket."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    version: str = "HTTP/1.1"
    length: str | None = "right"
    """What Content-Length says; "right" and None as they say."""
    chunked: bool = False

    def set(self, name: str, value: str | None) -> None:
        self.headers = [(known, old) for known, old in self.headers if known.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))

    def add(self, name: str, value: str) -> None:
        self.headers.append((name, value))

    def encoded(self) -> bytes:
        lines = [f"{self.method} {self.target} {self.version}", *(f"{name}: {value}" for name, value in self.headers)]
        body = self.body
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
            half = len(body) // 2
            pieces = [body[:half], body[half:]] if half else [body]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"
        elif self.length == "right":
            if body:
                lines.append(f"Content-Length: {len(body)}")
        elif self.length is not None:
            lines.append(f"Content-Length: {self.length}")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def a_sale(organization: Organization, recharge_id: str) -> Sent:
    body = json.dumps({"phone_number": "09121234567", "amount": 5000}).encode()
    return Sent(
        "POST", "/api/v1/recharges", [*as_member(organization), ("Idempotency-Key", KEY), ("Content-Type", JSON)], body
    )


def a_balance(organization: Organization, recharge_id: str) -> Sent:
    return Sent("GET", "/api/v1/balance", as_member(organization))


def a_recharge(organization: Organization, recharge_id: str) -> Sent:
    return Sent("GET", f"/api/v1/recharges/{recharge_id}", as_member(organization))


def as_member(organization: Organization) -> list[tuple[str, str]]:
    return [("Host", organization.host), ("Authorization", f"Bearer {organization.member.client.token}")]


KEY = "a-key-of-its-own"
CALLS = [a_sale, a_balance, a_recharge]

# --- What may be odd about it -----------------------------------------------------------------------------------------

Oddity = Callable[[Sent], None]


def header(name: str, value: str | None) -> Oddity:
    def change(sent: Sent) -> None:
        sent.set(name, value)

    return change


def another(name: str, value: str) -> Oddity:
    def change(sent: Sent) -> None:
        sent.add(name, value)

    return change


def attribute(name: str, value: Any) -> Oddity:
    def change(sent: Sent) -> None:
        setattr(sent, name, value)

    return change


def target(change_target: Callable[[str], str]) -> Oddity:
    def change(sent: Sent) -> None:
        sent.target = change_target(sent.target)

    return change


def twice(name: str) -> Oddity:
    def change(sent: Sent) -> None:
        sent.headers += [(known, value) for known, value in sent.headers if known == name]

    return change


def host(change_host: Callable[[str], str]) -> Oddity:
    def change(sent: Sent) -> None:
        sent.set("Host", change_host(dict(sent.headers).get("Host", "")))

    return change


def token(change_header: Callable[[str], str]) -> Oddity:
    def change(sent: Sent) -> None:
        sent.set("Authorization", change_header(dict(sent.headers).get("Authorization", "")))

    return change


def sale(**values: Any) -> Oddity:
    return attribute("body", json.dumps({"phone_number": "09121234567", "amount": 5000} | values).encode())


ODDITIES: dict[str, Oddity] = {
    "nothing": lambda sent: None,
    "HTTP/1.0": attribute("version", "HTTP/1.0"),
    "chunked": attribute("chunked", True),
    "chunked and a length": lambda sent: (attribute("chunked", True)(sent), sent.add("Content-Length", "5"))[0],
    "Expect": header("Expect", "100-continue"),
    "Expect of something else": header("Expect", "200-ok"),
    "an absolute target": target(lambda path: f"http://acme.recharge.test{path}"),
    "an absolute target elsewhere": target(lambda path: f"http://globex.recharge.test{path}"),
    "an empty query": target(lambda path: path + "?"),
    "a query": target(lambda path: path + "?limit=1"),
    "a fragment": target(lambda path: path + "#a"),
    "a slash behind": target(lambda path: path + "/"),
    "two slashes": target(lambda path: "/" + path),
    "two slashes inside": target(lambda path: path.replace("/v1/", "/v1//")),
    "a dot": target(lambda path: path.replace("/v1/", "/v1/./")),
    "an encoded letter": target(lambda path: path.replace("v1", "%761")),
    "an encoded slash": target(lambda path: path.replace("/v1/", "/v1%2F")),
    "upper case": target(str.upper),
    "a path parameter": target(lambda path: path + ";a=1"),
    "HEAD": attribute("method", "HEAD"),
    "OPTIONS": attribute("method", "OPTIONS"),
    "PUT": attribute("method", "PUT"),
    "GET": attribute("method", "GET"),
    "POST": attribute("method", "POST"),
    "a method in lower case": lambda sent: setattr(sent, "method", sent.method.lower()),
    "another method in a header": another("X-HTTP-Method-Override", "DELETE"),
    "no host": header("Host", None),
    "an empty host": header("Host", ""),
    "a host in upper case": host(str.upper),
    "a dot behind the host": host(lambda name: name + "."),
    "a port": host(lambda name: name + ":8000"),
    "an empty port": host(lambda name: name + ":"),
    "no port": host(lambda name: name + ":a"),
    "a port in Persian": host(lambda name: name + ":۸۰"),
    "two ports": host(lambda name: name + ":80:80"),
    "a blank in the host": host(lambda name: name + " x"),
    "the platform's host": header("Host", "recharge.test"),
    "the other organization's host": header("Host", "globex.recharge.test"),
    "an unknown host": header("Host", "nowhere.recharge.test"),
    "a host of somebody else": header("Host", "acme.example"),
    "two hosts": another("Host", "globex.recharge.test"),
    "the host twice": twice("Host"),
    "a forwarded host": another("X-Forwarded-Host", "globex.recharge.test"),
    "forwarded as https": another("X-Forwarded-Proto", "https"),
    "forwarded as nonsense": another("X-Forwarded-Proto", "nonsense"),
    "no token": header("Authorization", None),
    "the token twice": twice("Authorization"),
    "bearer": token(lambda value: value.replace("Bearer", "bearer")),
    "BEARER": token(lambda value: value.replace("Bearer", "BEARER")),
    "blanks around the token": token(lambda value: value.replace(" ", "   ") + "  "),
    "a tab before the token": token(lambda value: value.replace(" ", "\t")),
    "half a token": token(lambda value: value[: len(value) // 2]),
    "a token and more": token(lambda value: value + "x"),
    "no scheme": token(lambda value: value.removeprefix("Bearer ")),
    "Basic": header("Authorization", "Basic YTpi"),
    "no key": header("Idempotency-Key", None),
    "an empty key": header("Idempotency-Key", ""),
    "the key twice": twice("Idempotency-Key"),
    "two keys": another("Idempotency-Key", KEY[::-1]),
    "a long key": header("Idempotency-Key", "k" * 256),
    "a key with a blank": header("Idempotency-Key", f"{KEY} {KEY}"),
    "a key in Persian": header("Idempotency-Key", f"کلید{KEY}"),
    "no content type": header("Content-Type", None),
    "an upper-case type": header("Content-Type", "APPLICATION/JSON"),
    "a charset": header("Content-Type", "application/json; charset=utf-8"),
    "another charset": header("Content-Type", "application/json; charset=latin-1"),
    "a form": header("Content-Type", "application/x-www-form-urlencoded"),
    "the type twice": twice("Content-Type"),
    "two types": another("Content-Type", "text/plain"),
    "an encoding": another("Content-Encoding", "gzip"),
    "Accept JSON": another("Accept", "application/json"),
    "Accept anything": another("Accept", "*/*"),
    "Accept HTML": another("Accept", "text/html"),
    "Accept CSV": another("Accept", "text/csv"),
    "an empty Accept": another("Accept", ""),
    "Accept twice": lambda sent: sent.headers.extend([("Accept", JSON), ("Accept", "text/html")]),
    "a length that is too short": lambda sent: setattr(sent, "length", str(max(0, len(sent.body) - 3))),
    "a length with a plus": lambda sent: setattr(sent, "length", f"+{len(sent.body)}"),
    "a length with zeros": lambda sent: setattr(sent, "length", f"000{len(sent.body)}"),
    "a length with blanks": lambda sent: setattr(sent, "length", f" {len(sent.body)} "),
    "a length in Persian": attribute("length", "۵"),
    "a length of nothing": lambda sent: (setattr(sent, "body", b""), setattr(sent, "length", "0"))[0],
    "a negative length": attribute("length", "-1"),
    "no length": attribute("length", None),
    "a huge length": attribute("length", "99999999999999999999"),
    "two lengths": lambda sent: sent.add("Content-Length", "7"),
    "a request id": another("X-Request-ID", "given-by-the-client"),
    "a request id like a number": another("X-Request-ID", "09121234567"),
    "a request id that will not do": another("X-Request-ID", "a b"),
    "two request ids": lambda sent: sent.headers.extend([("X-Request-ID", "one"), ("X-Request-ID", "two")]),
    "a cookie": another("Cookie", "sessionid=x; csrftoken=y"),
    "a language": another("Accept-Language", "fa"),
    "a range": another("Range", "bytes=0-3"),
    "a condition": another("If-None-Match", "*"),
    "an underscore": another("Idempotency_Key", KEY),
    "an operator": sale(operator="irancell"),
    "an unknown operator": sale(operator="nobody"),
    "no such operator": sale(operator=7),
    "an added field": sale(surprise=1),
    "allow_duplicate": sale(allow_duplicate=True),
    "not allow_duplicate": sale(allow_duplicate="yes"),
    "an amount of nothing": sale(amount=0),
    "a float": sale(amount=5000.0),
    "a huge amount": sale(amount=10**13),
    "an amount beyond the balance": sale(amount=10**12),
    "true": sale(amount=True),
    "a number in Persian": sale(phone_number="۰۹۱۲۱۲۳۴۵۶۷"),
    "a number with blanks": sale(phone_number=" 0912 123 4567 "),
    "a foreign number": sale(phone_number="+12025550123"),
    "a number that is no string": sale(phone_number=9121234567),
    "no body": attribute("body", b""),
    "an empty object": attribute("body", b"{}"),
    "an array": attribute("body", b"[]"),
    "null": attribute("body", b"null"),
    "no JSON": attribute("body", b"{"),
    "NaN": attribute("body", b'{"phone_number": "09121234567", "amount": NaN}'),
    "a field twice": attribute("body", b'{"phone_number": "09121234567", "amount": 1, "amount": 2}'),
    "NUL": attribute("body", b'{"phone_number": "0912123\\u00004567", "amount": 1}'),
    "a byte order mark": attribute("body", b'\xef\xbb\xbf{"phone_number": "09121234567", "amount": 1}'),
    "white space around": attribute("body", b'  {"phone_number": "09121234567", "amount": 1}\r\n'),
    "no UTF-8": attribute("body", b'{"phone_number": "\xff", "amount": 1}'),
    "more than a megabyte": attribute("body", b" " * (1024 * 1024) + b"{}"),
    "a recharge that is not there": target(lambda path: re.sub("[0-9a-f-]{36}", str(uuid.UUID(int=7)), path)),
    "an id in upper case": target(lambda path: re.sub("[0-9a-f-]{36}", lambda found: found[0].upper(), path)),
    "an id without dashes": target(lambda path: re.sub("[0-9a-f-]{36}", lambda found: found[0].replace("-", ""), path)),
    "an id in braces": target(lambda path: re.sub("[0-9a-f-]{36}", lambda found: "{" + found[0] + "}", path)),
    "half an id": target(lambda path: path[:-5]),
    "resolve": target(lambda path: path + "/resolve"),
}
# --- What comes back --------------------------------------------------------------------------------------------------


def answers_of(address: str, *requests: Sent) -> bytes:
    """Everything that the server answers to requests that are sent at once on one connection."""
    name, _, port = address.partition(":")
    *others, last = requests
    last = replace(last, headers=[*last.headers, ("Connection", "close")])
    with socket.create_connection((name, int(port)), timeout=20) as connection:
        data = b""
        # Who has not read all that was sent may be gone before it is sent, or before this end is shut (ENOTCONN).
        with suppress(ConnectionError):
            connection.sendall(b"".join(request.encoded() for request in (*others, last)))
        if last.length not in ("right", None) or "Content-Length" in dict(last.headers):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)  # nothing comes that a wrong length might wait for
        with suppress(ConnectionError):
            while chunk := connection.recv(65536):
                data += chunk
    return data


_DIFFERENT = re.compile(
    rb'(?P<name>"(?:id|request_id|created_at|completed_at|as_of)":\s*)"[^"]*"'
    rb'|(?P<number>"(?:balance_after|balance|last_entry|in_flight)":\s*)\d+'
    rb"|(?P<header>\r\n(?:x-request-id|date|content-length|set-cookie): )[^\r]*(?=\r)",
    re.I,
)


def alike(answer: bytes) -> bytes:
    """An answer without what two answers to the same differ by."""

    def blank(found: re.Match[bytes]) -> bytes:
        return (found["name"] or found["number"] or found["header"]) + b"..."

    heads, separator, rest = answer.partition(b"\r\n\r\n")
    # The directives of a page's policy come in an order that each process chooses.
    lines = [
        b"; ".join(sorted(line.split(b"; "))) if b"content-security-policy:" in line.lower() else line
        for line in heads.replace(b"content-security-policy: ", b"content-security-policy:; ").split(b"\r\n")
    ]
    return _DIFFERENT.sub(blank, b"\r\n".join([lines[0], *sorted(lines[1:])]) + separator + rest)


@pytest.fixture
def both(world: World, server: Server, usual: Server) -> Callable[..., tuple[bytes, bytes]]:
    """Sends requests to both servers, each with keys of its own, and gives what they answer: nothing, perhaps, where a
    wrong length makes the server wait for more, and the client has hung up."""
    give_credit(world.acme.row, world.acme.member.id, 10_000_000)
    # What is sold earns something, and of one operator another sum.
    set_rate(world.acme, basis_points=333)
    set_rate(world.acme, operator="irancell", fixed=70)
    sold = world.acme.member.sell(5000).json
    assert sold["commission"] == 166
    recharge_id = sold["id"]
    for running in (server, usual):
        for _ in range(6):  # so that each process knows the host
            answers_of(running.address, a_balance(world.acme, recharge_id))

    def send(*made: tuple[Callable[[Organization, str], Sent], list[Oddity]]) -> tuple[bytes, bytes]:
        answers = []
        for running in (server, usual):
            requests = []
            for call, oddities in made:
                sent = call(world.acme, recharge_id)
                for oddity in oddities:
                    oddity(sent)
                sent.headers = [(name, value.replace(KEY, uuid.uuid4().hex)) for name, value in sent.headers]
                requests.append(sent)
            answers.append(alike(answers_of(running.address, *requests)))
        fast, slow = answers
        return fast, slow

    return send


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_one_odd_thing(
    both: Callable[..., tuple[bytes, bytes]], call: Callable[[Organization, str], Sent], log: Path
) -> None:
    server_log = ServerLog(log)
    for name, oddity in ODDITIES.items():
        fast, slow = both((call, [oddity]))
        assert fast == slow or not (fast and slow), name
    assert "fast_path_failed" not in server_log.text()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_several_odd_things_at_once(both: Callable[..., tuple[bytes, bytes]], seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(60):
        call, names = dice.choice(CALLS), dice.sample(list(ODDITIES), dice.choice((2, 2, 3)))
        fast, slow = both((call, [ODDITIES[name] for name in names]))
        assert fast == slow or not (fast and slow), (call.__name__, names)


def test_requests_one_behind_the_other_on_one_connection(both: Callable[..., tuple[bytes, bytes]]) -> None:
    """Sent without waiting for the answers (pipelining): each is answered in its turn."""
    plain = [(call, []) for call in CALLS]
    odd = [(a_sale, [ODDITIES["chunked"]]), (a_balance, [ODDITIES["a query"]]), (a_sale, [ODDITIES["no JSON"]])]
    for requests in (plain, plain * 3, odd, [*odd, *plain]):
        fast, slow = both(*requests)
        assert fast.count(b"HTTP/1.1 ") == len(requests)
        assert fast == slow


# --- In this process: who answers -------------------------------------------------------------------------------------


def environ_of(organization: Organization, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
    """A request as the server hands it over: ordinary in every way."""
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": f"/api/v1{path}",
        "QUERY_STRING": "",
        "HTTP_HOST": organization.host,
        "HTTP_AUTHORIZATION": f"Bearer {organization.member.client.token}",
        "HTTP_IDEMPOTENCY_KEY": uuid.uuid4().hex,
        "CONTENT_TYPE": JSON,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
    }


SALE = b'{"phone_number": "09121234567", "amount": 5000}'


@pytest.fixture
def known(world: World) -> Organization:
    """acme, whose host this process knows, and whose member has credit."""
    give_credit(world.acme.row, world.acme.member.id, 1_000_000)
    assert organization_at(world.acme.host)
    return world.acme


def test_what_is_ordinary_is_answered_here(known: Organization) -> None:
    sold = fast_path.answer(environ_of(known, "POST", "/recharges", SALE))
    assert sold
    assert sold.status == "201 Created"
    recharge = json.loads(sold.body)
    shown = fast_path.answer(environ_of(known, "GET", f"/recharges/{recharge['id']}"))
    assert shown
    assert (shown.status, json.loads(shown.body)) == ("200 OK", recharge)
    balance = fast_path.answer(environ_of(known, "GET", "/balance"))
    assert balance
    assert (balance.status, json.loads(balance.body)["balance"]) == ("200 OK", 995_000)


def test_what_the_business_refuses_is_answered_here_too(known: Organization) -> None:
    beyond = b'{"phone_number": "09121234567", "amount": 1000001}'
    refused = fast_path.answer(environ_of(known, "POST", "/recharges", beyond))
    assert refused
    assert refused.status == "402 Payment Required"
    assert json.loads(refused.body)["balance"] == 1_000_000


def test_no_connection_and_no_memory_of_another_request_is_left(known: Organization) -> None:
    environ = environ_of(known, "POST", "/recharges", SALE)
    assert fast_path.answer(environ)
    assert connection.schema_name == "public"
    assert structlog.contextvars.get_contextvars() == {}
    again = fast_path.answer(environ)
    assert again
    assert ("Idempotent-Replayed", "true") in again.headers


def an_unknown_host(known: Organization, environ: dict[str, Any]) -> None:
    forget_routes()


def a_suspended_organization(known: Organization, environ: dict[str, Any]) -> None:
    models.Organization.objects.filter(pk=known.row.pk).update(status="suspended")
    forget_routes()
    assert organization_at(known.host)


def a_seller_who_is_switched_off(known: Organization, environ: dict[str, Any]) -> None:
    with tenant_context(known.row):
        Seller.objects.filter(pk=known.member.id).update(is_active=False)


def an_admin(known: Organization, environ: dict[str, Any]) -> None:
    environ["HTTP_AUTHORIZATION"] = f"Bearer {known.owner.client.token}"


def token_of_member(known: Organization, role: str = "seller", lasting: timedelta = timedelta(minutes=5)) -> str:
    token = AccessToken()
    token.set_exp(lifetime=lasting)
    token["sub"] = str(known.member.user.pk)
    name_realm(token, Realm(known.row.pk, "acme"))
    token["role"], token["seller_id"] = role, known.member.id
    return f"Bearer {token}"


def an_expired_token(known: Organization, environ: dict[str, Any]) -> None:
    environ["HTTP_AUTHORIZATION"] = token_of_member(known, lasting=timedelta(seconds=-1))


def a_role_that_a_newer_release_has_given(known: Organization, environ: dict[str, Any]) -> None:
    environ["HTTP_AUTHORIZATION"] = token_of_member(known, role="of tomorrow")


def an_admin_with_a_sellers_id(known: Organization, environ: dict[str, Any]) -> None:
    environ["HTTP_AUTHORIZATION"] = token_of_member(known, role="admin")


def a_connection_on_which_something_went_wrong(known: Organization, environ: dict[str, Any]) -> None:
    connection.errors_occurred = True


OUT_OF_THE_ORDINARY = [
    an_unknown_host,
    a_suspended_organization,
    a_seller_who_is_switched_off,
    an_admin,
    an_expired_token,
    a_role_that_a_newer_release_has_given,
    an_admin_with_a_sellers_id,
    a_connection_on_which_something_went_wrong,
]


@pytest.mark.parametrize("odd", OUT_OF_THE_ORDINARY, ids=lambda odd: odd.__name__)
@pytest.mark.parametrize("path", ["/balance", "/recharges", "/recharges/{}"])
def test_what_is_not_ordinary_is_left_as_it_was(
    known: Organization, path: str, odd: Callable[[Organization, dict[str, Any]], None]
) -> None:
    with tenant_context(known.row):
        sold = sell_recharge(
            organization=known.row, seller_id=known.member.id, item=Item("+989121234567", "mci", 5000, "sold")
        )
    body = SALE if path == "/recharges" else b""
    environ = environ_of(known, "POST" if body else "GET", path.format(sold.row.id), body)
    odd(known, environ)
    before = dict(environ)
    try:
        answered = fast_path.answer(environ)
    finally:
        connection.errors_occurred = False
    if odd is a_seller_who_is_switched_off and body:
        assert answered  # the statement of a sale says so itself
        assert answered.status == "403 Forbidden"
    else:
        assert answered is None
    assert environ == before
    assert environ["wsgi.input"].read() == body
    with tenant_context(known.row):
        assert Recharge.objects.count() == 1


def test_another_sellers_recharge_is_not_shown(known: Organization) -> None:
    with tenant_context(known.row):
        give_credit(known.row, known.neighbour.id, 5000)
        sold = sell_recharge(
            organization=known.row, seller_id=known.neighbour.id, item=Item("+989121234567", "mci", 5000, "sold")
        )
    assert fast_path.answer(environ_of(known, "GET", f"/recharges/{sold.row.id}")) is None


@pytest.mark.parametrize("error", [RuntimeError("a defect"), ProgrammingError("another")])
def test_a_defect_leaves_the_request_to_the_usual_view(
    known: Organization, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(fast_path, "sell_recharge", fail)
    environ = environ_of(known, "POST", "/recharges", SALE)
    assert fast_path.answer(environ) is None
    assert environ["wsgi.input"].read() == SALE
