"""Tokens that must not be good, made from one that is: what a thief, a tinkerer or a bug would send."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from django.conf import settings

OTHER_KEY = "a key that is long enough but is not ours, " * 2


def claims_of(token: str) -> dict[str, Any]:
    """What the token says, unverified."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def signed(claims: dict[str, Any], key: str = settings.SECRET_KEY, algorithm: str = "HS256") -> str:
    """These claims, with our own signature unless told otherwise."""
    # PyJWT refuses to sign claims of wrong types; its signing layer beneath does not look.
    return jwt.PyJWS().encode(json.dumps(claims).encode(), key, algorithm=algorithm, headers={"typ": "JWT"})


def part(value: Any) -> str:
    """One of the three parts of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _tampered_signature(token: str) -> str:
    signing_input, _, signature = token.rpartition(".")
    return f"{signing_input}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _tampered_payload(token: str) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{part(claims_of(token) | {'seller_id': 2})}.{signature}"


def _unsigned(name: str) -> Callable[[str], str]:
    return lambda token: f"{part({'alg': name, 'typ': 'JWT'})}.{token.split('.')[1]}."


def _signed_with_nothing(token: str) -> str:
    signing_input = token.rpartition(".")[0]
    signature = hmac.digest(b"", signing_input.encode(), "sha256")  # PyJWT would not
    return f"{signing_input}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _with(**claims: Any) -> Callable[[str], str]:
    return lambda token: signed(claims_of(token) | claims)


def _without(claim: str) -> Callable[[str], str]:
    return lambda token: signed({name: value for name, value in claims_of(token).items() if name != claim})


FORGERIES: dict[str, tuple[Callable[[str], str], str]] = {
    "with another signature": (_tampered_signature, "token_invalid"),
    "with another seller in its payload": (_tampered_payload, "token_invalid"),
    "with alg none": (_unsigned("none"), "token_invalid"),
    "with alg NONE": (_unsigned("NONE"), "token_invalid"),
    "without its signature": (lambda token: token.rpartition(".")[0] + ".", "token_invalid"),
    "signed with another key": (lambda token: signed(claims_of(token), OTHER_KEY), "token_invalid"),
    "of another seller, signed with another key": (
        lambda token: signed(claims_of(token) | {"seller_id": 2}, OTHER_KEY),
        "token_invalid",
    ),
    "signed with an empty key": (_signed_with_nothing, "token_invalid"),
    "signed with another algorithm": (lambda token: signed(claims_of(token), algorithm="HS512"), "token_invalid"),
    "expired": (_with(exp=int(time.time()) - 1), "token_expired"),
    "expired and of another organization": (_with(exp=int(time.time()) - 1, org="globex"), "token_expired"),
    "that never expires": (_without("exp"), "token_invalid"),
    "whose expiry is no number": (_with(exp="tomorrow"), "token_invalid"),
    "whose expiry is beyond any clock": (_with(exp=10**30), "token_invalid"),
    "of another issuer": (_with(iss="elsewhere.example"), "token_invalid"),
    "issued in a future": (_with(iat=int(time.time()) + 1_000_000), "token_invalid"),
    "without an issuer": (_without("iss"), "token_invalid"),
    "without an organization": (_without("org"), "token_wrong_organization"),
    "of no organization": (_with(org=None), "token_wrong_organization"),
    "of this organization in capitals": (_with(org="ACME"), "token_wrong_organization"),
    "of a list of organizations": (_with(org=["acme"]), "token_wrong_organization"),
    "of the other organization": (_with(org="globex"), "token_wrong_organization"),
    "from before tokens named an organization's id": (_without("org_id"), "token_wrong_organization"),
    "of an organization that had this slug before": (_with(org_id=2**40), "token_wrong_organization"),
    "of this slug and the platform's id": (_with(org_id=None), "token_wrong_organization"),
    "whose organization's id is a word": (_with(org_id="1"), "token_wrong_organization"),
    "whose organization's id is true": (_with(org_id=True), "token_wrong_organization"),
    "whose organization's id has a point": (
        lambda token: signed(claims_of(token) | {"org_id": float(claims_of(token)["org_id"] or 0)}),
        "token_wrong_organization",
    ),
    "of a family that is no id": (_with(family="1"), "token_invalid"),
    "of a family beyond any": (_with(family=2**63), "token_invalid"),
    "of a password that is no word": (_with(password=1), "token_invalid"),
    "whose subject is a number": (_with(sub=1), "token_invalid"),
    "whose subject is no number": (_with(sub="owner"), "token_invalid"),
    "whose subject is a list": (_with(sub=["1"]), "token_invalid"),
    "whose subject is beyond any id": (_with(sub=str(2**63)), "token_invalid"),
    "whose subject is zero": (_with(sub="0"), "token_invalid"),
    "whose subject is a number with blanks": (_with(sub=" 1 "), "token_invalid"),
    "without a subject": (_without("sub"), "token_invalid"),
    "without a role": (_without("role"), "token_invalid"),
    "without a seller's place": (_without("seller_id"), "token_invalid"),
    "whose seller's id is a word": (_with(role="seller", seller_id="1"), "token_invalid"),
    "whose seller's id is true": (_with(role="seller", seller_id=True), "token_invalid"),
    "whose seller's id is below any": (_with(role="seller", seller_id=-1), "token_invalid"),
    "whose seller's id is beyond any": (_with(role="cashier", seller_id=2**63), "token_invalid"),
    "of a seller's role and no seller": (_with(role="seller", seller_id=None), "token_invalid"),
    "of the refresh type": (_with(token_type="refresh"), "token_invalid"),
    "without a type": (_without("token_type"), "token_invalid"),
    "without an id": (_without("jti"), "token_invalid"),
    "that is a word": (lambda token: "token", "token_invalid"),
    "that is empty": (lambda token: "", "token_invalid"),
    "that is three dots": (lambda token: "...", "token_invalid"),
    "of other JSON": (lambda token: f"{part([])}.{part([])}.{part([])}", "token_invalid"),
    "whose claims are no object": (
        lambda token: jwt.PyJWS().encode(b"[1]", settings.SECRET_KEY, algorithm="HS256"),
        "token_invalid",
    ),
    "sent twice": (lambda token: f"{token}, Bearer {token}", "token_invalid"),
}
"""Each with what it makes of a good token of acme, and the code that it is refused with (always 401)."""
