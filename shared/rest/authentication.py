"""Authenticates a request by the header ``Authorization: Bearer``."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from shared.errors import NotAuthenticated, TokenInvalid
from shared.identity.realm import realm_of
from shared.identity.tokens import (
    AccessToken,
    Principal,
    may_be_id,
    read_token,
    remember_principal,
    remembered_principal,
)


class RealmJWTAuthentication(BaseAuthentication):
    """Authenticates ``Authorization: Bearer <access token>``, and only on the host the token was issued for."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        authorization = request.META.get("HTTP_AUTHORIZATION", "")
        realm = realm_of(request._request)
        principal = remembered_principal(authorization, realm)
        if principal is None:
            scheme, _, raw = authorization.strip().partition(" ")
            if scheme.lower() != "bearer":  # RFC 9110 section 11.1: schemes are case-insensitive
                return None
            token = read_token(AccessToken, raw.strip(), realm)
            try:
                role, family, password = token["role"], token.get("family"), token.get("password")
                if not (isinstance(role, str) and may_be_id(family) and isinstance(password, str | None)):
                    raise ValueError
                principal = Principal(int(token["sub"]), role, token["seller_id"], family, password)
                remember_principal(authorization, int(token["exp"]), realm, principal)
            except (KeyError, ValueError):
                raise TokenInvalid("The token lacks a claim, or one is wrong.") from None
        return principal, None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def require_principal(request: Request) -> Principal:
    """``request.user`` with its type.

    Raises:
        NotAuthenticated: nobody is signed in.
    """
    user: Any = request.user
    if not isinstance(user, Principal):
        raise NotAuthenticated("This needs an access token.")
    return user
