"""Authenticates a request by the header ``Authorization: Bearer``."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from shared.errors import NotAuthenticated
from shared.identity.acting import known_as
from shared.identity.realm import realm_of
from shared.identity.tokens import Principal, principal_of


class RealmJWTAuthentication(BaseAuthentication):
    """Authenticates ``Authorization: Bearer <access token>``, and only on the host the token was issued for."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        principal = principal_of(request.META.get("HTTP_AUTHORIZATION", ""), realm_of(request._request))
        if principal is None:
            return None
        known_as(user_id=principal.user_id, key_id=principal.key_id)
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
