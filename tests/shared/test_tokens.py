"""Access tokens: how they are read from the header, and that reading them asks the database nothing."""

import time
from contextlib import suppress

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from rest_framework.request import Request

from shared.errors import TokenExpired, TokenInvalid, TokenWrongOrganization
from shared.identity import tokens
from shared.identity.realm import PLATFORM, Realm
from shared.identity.tokens import AccessToken, Principal, RefreshToken, name_realm, read_token
from shared.models import User
from shared.rest.authentication import RealmJWTAuthentication
from tenants.models import Organization
from tests.support.world import access_token
from tests.tenants.forgery import FORGERIES, claims_of, signed

ACME_ROW = Organization(pk=1, slug="acme")
ACME = Realm(1, "acme")


@pytest.fixture
def token() -> str:
    return access_token(User(pk=7), ACME_ROW, "seller", 3)


def authenticate(header: str, realm: Realm = ACME) -> Principal | None:
    request = RequestFactory().get("/", headers={"Authorization": header})
    request.realm = realm  # type: ignore[attr-defined]
    found = RealmJWTAuthentication().authenticate(Request(request))
    return found[0] if found else None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_is_read_from_the_header_without_a_query(scheme: str, token: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert authenticate(f"{scheme} {token}") == Principal(7, "seller", 3)
        assert authenticate(f"  {scheme}   {token}  ") == Principal(7, "seller", 3)
    assert len(queries) == 0


@pytest.mark.parametrize("header", ["", "Basic b3duZXI6cGFzc3dvcmQ=", "Token x", "Digest", "Bearers x"])
def test_another_scheme_is_nobody(header: str) -> None:
    assert authenticate(header) is None


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer x", "Bearer a b", "Bearer \x7f", "Bearer =.=.="])
def test_a_bearer_header_without_a_good_token_is_an_error(header: str) -> None:
    with pytest.raises(TokenInvalid):
        authenticate(header)


def test_a_forged_token_is_refused_for_its_reason(token: str) -> None:
    for name, (forge, code) in FORGERIES.items():
        with pytest.raises((TokenInvalid, TokenExpired, TokenWrongOrganization)) as refusal:
            authenticate(f"Bearer {forge(token)}")
        assert (name, refusal.value.code) == (name, code)
        assert refusal.value.headers == {"WWW-Authenticate": "Bearer"}


def test_a_token_is_good_in_its_realm_only(token: str) -> None:
    platforms = access_token(User(pk=7), None, "platform_admin", None)
    assert authenticate(f"Bearer {platforms}", PLATFORM) == Principal(7, "platform_admin", None)
    for raw, realm in ((token, PLATFORM), (token, Realm(1, "globex")), (token, Realm(2, "acme")), (platforms, ACME)):
        with pytest.raises(TokenWrongOrganization):
            authenticate(f"Bearer {raw}", realm)


def test_each_kind_of_token_is_good_for_its_own_purpose_only(token: str) -> None:
    refresh = RefreshToken()
    name_realm(refresh, ACME)
    assert read_token(RefreshToken, str(refresh), ACME)["token_type"] == "refresh"
    with pytest.raises(TokenInvalid):
        read_token(AccessToken, str(refresh), ACME)
    with pytest.raises(TokenInvalid):
        read_token(RefreshToken, token, ACME)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize("kind", [AccessToken, RefreshToken])
def test_a_token_of_a_machine_whose_clock_is_ahead_is_good(claim: str, kind: type[AccessToken | RefreshToken]) -> None:
    token = kind()
    name_realm(token, ACME)
    claims = claims_of(str(token))
    for ahead in (2, 4):
        raw = signed(claims | {claim: int(time.time()) + ahead})
        assert read_token(kind, raw, ACME)["jti"] == claims["jti"]
    with pytest.raises(TokenInvalid):
        read_token(kind, signed(claims | {claim: int(time.time()) + 60}), ACME)


@pytest.mark.parametrize("kind", [AccessToken, RefreshToken])
def test_a_token_that_has_expired_has_no_leeway(kind: type[AccessToken | RefreshToken]) -> None:
    token = kind()
    name_realm(token, ACME)
    for since in (0, 1, 4):
        with pytest.raises(TokenExpired):
            read_token(kind, signed(claims_of(str(token)) | {"exp": int(time.time()) - since}), ACME)


@pytest.mark.parametrize(
    "name",
    [
        "iat",
        "exp",
        "nbf",
        "jti",
        "sub",
        "org",
        "org_id",
        "family",
        "password",
        "role",
        "seller_id",
        "iss",
        "token_type",
        "aud",
    ],
)
def test_a_claim_of_any_type_is_an_error_or_a_token_but_nothing_else(name: str, token: str) -> None:
    """Only who has our key can make these; a mistake of ours must still not be a 500."""
    for value in (None, True, -1, 1.5, 10**400, "x", "\ud800", [], {}, [["x"]]):
        raw = signed(claims_of(token) | {name: value})
        with suppress(TokenInvalid, TokenExpired, TokenWrongOrganization):
            assert isinstance(authenticate(f"Bearer {raw}"), Principal)


def test_what_is_remembered_of_tokens_is_bounded(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_remembered", {})
    for blanks in (1, 2, 5_000, 300_000):
        assert authenticate("Bearer" + " " * blanks + token)
    assert len(tokens._remembered) == 2  # and not what is mostly blanks
    monkeypatch.setattr(tokens, "MOST_REMEMBERED", 3)
    for user in range(1, 11):
        assert authenticate(f"Bearer {access_token(User(pk=user), ACME_ROW, 'seller', 3)}")
        assert len(tokens._remembered) <= 3
