"""Browser sessions that belong to one host: a cookie replayed on another organization's host, or on the platform's, is
nobody there."""

from typing import Any

from django.contrib.auth import get_user
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from shared.errors import Problem
from shared.lockout import client_address
from shared.models import User
from shared.realm import realm_of
from shared.services import authenticate

_REALM = "realm"  # the slug, or "" for the platform


class RealmBackend(ModelBackend):
    """Checks a password for the realm of the request, with the same lock-out as the API's sign-in."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        if request is None or username is None or password is None:
            return None
        try:
            account = authenticate(
                realm=realm_of(request), username=username, password=password, address=client_address(request)
            )
        except Problem:
            return None
        return account.user


class RealmAuthenticationMiddleware(AuthenticationMiddleware):
    """``request.user`` from the session, if the session was begun in this realm."""

    def process_request(self, request: HttpRequest) -> None:
        request.user = SimpleLazyObject(lambda: _user_of(request))  # type: ignore[assignment]


def _user_of(request: HttpRequest) -> Any:
    if request.session.get(_REALM) != (realm_of(request).slug or ""):
        return AnonymousUser()
    return get_user(request)


@receiver(user_logged_in)
def _bind_session(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    request.session[_REALM] = realm_of(request).slug or ""
