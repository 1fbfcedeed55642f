"""What signing in, refreshing and signing out refuse: a clear 4xx each, and nothing is written."""

import base64
from collections.abc import Iterator

import pytest

from tests.support.bad_input import NOT_JSON, SOME_BODIES, SOME_CONTENT_TYPES, Refusal, invalid, table
from tests.support.client import Client
from tests.support.raw import send_as
from tests.support.tables import nothing_written
from tests.support.world import PASSWORD, Organization

PATHS = ["/auth/token", "/auth/token/refresh", "/auth/token/revoke"]
TOKEN_INVALID = Refusal(401, "token_invalid")


@pytest.fixture
def anyone(acme: Organization) -> Iterator[Client]:
    """Somebody without a token; in the whole test nothing may be written but the count of tries, and the evidence."""
    with nothing_written(but=("org_acme.credit_auditrecord",)):
        yield acme.anyone


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("body", "refusal"), SOME_BODIES)
def test_it_refuses_the_body(anyone: Client, path: str, body: bytes, refusal: Refusal) -> None:
    refusal.check(anyone.request("POST", path, body=body))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("content_type", SOME_CONTENT_TYPES)
def test_it_refuses_the_content_type(anyone: Client, path: str, content_type: str) -> None:
    NOT_JSON.check(anyone.request("POST", path, body=b"{}", headers={"Content-Type": content_type}))


@pytest.mark.parametrize(
    ("change", "refusal"),
    table(
        ("no username", {"username": ...}, invalid(("username", "required"))),
        ("no password", {"password": ...}, invalid(("password", "required"))),
        ("an empty username", {"username": ""}, invalid(("username", "blank"))),
        ("an empty password", {"password": ""}, invalid(("password", "blank"))),
        ("a username that is null", {"username": None}, invalid(("username", "null"))),
        ("a username that is a number", {"username": 7}, invalid(("username", "invalid"))),
        ("a password that is a list", {"password": [PASSWORD]}, invalid(("password", "invalid"))),
        ("a password that is true", {"password": True}, invalid(("password", "invalid"))),
        ("a username of 151 characters", {"username": "m" * 151}, invalid(("username", "max_length"))),
        ("a password of 1,025 characters", {"password": "p" * 1025}, invalid(("password", "max_length"))),
        ("an unknown field", {"otp": "1"}, invalid(("otp", "unknown_field"))),
        ("another password", {"password": PASSWORD + "!"}, Refusal(401, "bad_credentials")),
        ("the password with a blank", {"password": PASSWORD + " "}, Refusal(401, "bad_credentials")),
        ("nobody", {"username": "nobody"}, Refusal(401, "bad_credentials")),
        ("somebody in capitals", {"username": "MEMBER"}, Refusal(401, "bad_credentials")),
        ("the name of the platform's table", {"username": "acme/member"}, Refusal(401, "bad_credentials")),
        ("a username that grows when normalised", {"username": "ﷺ" * 150}, Refusal(401, "bad_credentials")),
        ("SQL", {"username": "' OR true --"}, Refusal(401, "bad_credentials")),
    ),
)
def test_it_refuses_to_sign_in(anyone: Client, change: dict[str, object], refusal: Refusal) -> None:
    body = {"username": "member", "password": PASSWORD} | change
    body = {name: value for name, value in body.items() if value is not ...}
    refusal.check(anyone.post("/auth/token", body))


def unsigned(header: bytes) -> str:
    """A token whose header is this."""
    return base64.urlsafe_b64encode(header).decode().rstrip("=") + ".e30.AAAA"


TOKENS = table(
    ("a word", "nonsense"),
    ("dots", ".."),
    ("Persian", "توکن"),
    ("blanks inside", "a b c"),
    ("4,096 characters", "x" * 4096),
    ("no JSON in it", unsigned(b"nonsense")),
    ("no object in it", unsigned(b"[]")),
    ("null in it", unsigned(b"null")),
    ("bytes in it", unsigned(b"\xff\xfe")),
    ("deeply nested JSON in it", unsigned(b"[" * 3000)),
    ("an algorithm that is a list", unsigned(b'{"alg": []}')),
    ("an algorithm that is a number", unsigned(b'{"alg": 5}')),
    ("no algorithm", unsigned(b'{"alg": "none"}')),
    ("an unknown algorithm", unsigned(b'{"alg": "HS999"}')),
    ("a kid that is a number", unsigned(b'{"alg": "HS256", "kid": 5}')),
)


@pytest.mark.parametrize("path", PATHS[1:])
@pytest.mark.parametrize("token", TOKENS)
def test_it_refuses_the_refresh_token(anyone: Client, path: str, token: str) -> None:
    TOKEN_INVALID.check(anyone.post(path, {"refresh": token}))


@pytest.mark.parametrize(
    ("token", "code"),
    table(
        ("empty", "", "blank"),
        ("null", None, "null"),
        ("a number", 5, "invalid"),
        ("a list", [], "invalid"),
        ("4,097 characters", "x" * 4097, "max_length"),
    ),
)
@pytest.mark.parametrize("path", PATHS[1:])
def test_it_refuses_what_is_no_token(anyone: Client, path: str, token: object, code: str) -> None:
    invalid(("refresh", code)).check(anyone.post(path, {"refresh": token}))


@pytest.mark.parametrize("path", PATHS[1:])
def test_it_refuses_an_access_token_for_a_refresh_token(acme: Organization, anyone: Client, path: str) -> None:
    TOKEN_INVALID.check(anyone.post(path, {"refresh": acme.member.client.token}))


@pytest.mark.parametrize("token", TOKENS)
def test_it_refuses_the_access_token(anyone: Client, token: str) -> None:
    header = b"Authorization: Bearer " + token.encode()
    # Granian hands no header on whose bytes are not ASCII: then there is no token at all.
    refusal = TOKEN_INVALID if token.isascii() else Refusal(401, "not_authenticated")
    refusal.check(send_as(anyone, "GET", "/me", [header]))


@pytest.mark.parametrize(
    "header",
    table(
        ("none", []),
        ("empty", [b"Authorization:"]),
        ("another scheme", [b"Authorization: Basic bWVtYmVyOng="]),
        ("a scheme glued to it", [b"Authorization: BearerX"]),
        ("a token without a scheme", [b"Authorization: e30.e30.AAAA"]),
    ),
)
def test_it_needs_a_bearer_token(anyone: Client, header: list[bytes]) -> None:
    Refusal(401, "not_authenticated").check(send_as(anyone, "GET", "/me", header))


def test_a_scheme_without_a_token_is_refused(anyone: Client) -> None:
    TOKEN_INVALID.check(send_as(anyone, "GET", "/me", [b"Authorization: Bearer"]))
