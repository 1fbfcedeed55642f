"""Browser sessions belong to one host. A cookie replayed on the host of another organization, or of the platform, is
nobody. Each request looks up what its account may do, so a membership that was withdrawn ends at once."""

import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.models import Session
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject

from shared.errors import Problem
from shared.identity import accounts, signing_in
from shared.identity.accounts import Account
from shared.identity.acting import known_as
from shared.identity.devices import device_of
from shared.identity.lockout import client_address, client_of
from shared.identity.realm import Realm, realm_of
from shared.identity.sign_ins import begin_sign_in, end_sign_in, note_use
from shared.models import SignIn, User

_REALM = "realm"  # the slug, or "" for the platform
_ORGANIZATION = "organization"  # its id, since a slug may be given again one day; none for the platform
_SIGN_IN = "sign_in"  # its id, of shared.models.SignIn
_WITHDRAWN = "withdrawn"  # when the membership had last been withdrawn when the session began, or ""
_PROVED = "proved"  # when somebody last proved to be the owner, as a Unix time
_PASSED = "second_factor"  # true where a second factor was shown in this session, or enrolled

PROOF_SECONDS = 10 * 60
"""How long after signing in, or after a proof, nobody is asked to prove it again."""


class RealmBackend(ModelBackend):
    """Checks a password for the realm of the request, with the same lock-out as the API's sign-in."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        if request is None or username is None or password is None:
            return None
        try:
            account = signing_in.authenticate(
                realm=realm_of(request),
                username=username,
                password=password,
                address=client_address(request),
                device=device_of(request, username),
            )
        except Problem:
            return None
        return account.user


class RealmAuthenticationMiddleware(AuthenticationMiddleware):
    """``request.user`` from the session: see :func:`account_of`."""

    def process_request(self, request: HttpRequest) -> None:
        request.user = SimpleLazyObject(lambda: _user_of(request))  # type: ignore[assignment]


def _user_of(request: HttpRequest) -> Any:
    account = account_of(request)
    return account.user if account else AnonymousUser()


def account_of(request: HttpRequest) -> Account | None:
    """Whose session this is, as what they are now; None for nobody's. At most two queries, once a request.

    A session is nobody's where it was begun on another host, with a password that was changed since, or by an account
    that was switched off; and where its sign-in was ended.
    """
    if not hasattr(request, "_account"):
        request._account = found = _account_of(request)  # type: ignore[attr-defined]
        if found:
            known_as(user_id=found.user.pk, name=found.username)
    account: Account | None = request._account  # type: ignore[attr-defined]
    return account


def _account_of(request: HttpRequest) -> Account | None:
    session = getattr(request, "session", None)
    if session is None:  # on a host that nothing answers on
        return None
    realm = realm_of(request)
    if (session.get(_REALM), session.get(_ORGANIZATION)) != (realm.slug or "", realm.organization_id):
        return None
    if not str(session.get(SESSION_KEY)).isdigit():
        return None
    try:
        account = accounts.account_of(realm=realm, user_id=int(session[SESSION_KEY]), sign_in_id=session.get(_SIGN_IN))
    except Problem:
        return None
    # Whether it was withdrawn since, and not whether it was withdrawn later than the session began: that would compare
    # two machines' clocks.
    if session.get(_WITHDRAWN, "") != _written(account.withdrawn_at):
        return None
    user = account.user
    began_with = session.get(HASH_SESSION_KEY, "")
    # The fallbacks: a session outlives a change of SECRET_KEY as long as the former one is kept.
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    if not any(constant_time_compare(began_with, one) for one in hashes):
        return None
    if _SIGN_IN not in session:
        return _adopted(request, realm, account)
    if account.family is None or account.seen_at is None:
        return None
    note_use(account.family, seen_at=account.seen_at, address=client_address(request), client=client_of(request.META))
    return account


def _adopted(request: HttpRequest, realm: Realm, account: Account) -> Account | None:
    """Of a session that the release before began: it goes on, listed among the others, unless something that ends
    sessions has happened since."""
    if account.epoch:
        return None
    with transaction.atomic():
        begun = _begin(request, realm, account, is_new=False)
    request.session[_SIGN_IN] = begun.pk
    return replace(account, family=begun.pk)


def _begin(request: HttpRequest, realm: Realm, account: Account, *, is_new: bool) -> SignIn:
    return begin_sign_in(
        realm=realm,
        user_id=account.user.pk,
        username=account.username,
        kind=SignIn.Kind.WEB,
        lifetime=timedelta(seconds=settings.SESSION_COOKIE_AGE),
        address=client_address(request),
        client=client_of(request.META),
        is_new=is_new,
    )


@receiver(user_logged_in)
def _bind_session(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    realm = realm_of(request)
    with accounts.account_held(realm=realm, user=user) as account:
        begun = _begin(request, realm, account, is_new=True)
    request.session.update(session_content(realm, withdrawn_at=account.withdrawn_at, sign_in_id=begun.pk))
    # Each sign-in takes a little of the old away, so that the table needs no job of its own.
    expired = Session.objects.filter(expire_date__lt=timezone.now()).values_list("pk", flat=True)[:20]
    Session.objects.filter(pk__in=list(expired)).delete()


@receiver(user_logged_out)
def _end_of_session(sender: Any, request: HttpRequest, **_: Any) -> None:
    end_session_of(request)


def end_session_of(request: HttpRequest) -> None:
    """Whoever was signed in here is so no longer. The session itself is left to the caller."""
    realm, session = realm_of(request), request.session
    sign_in_id = session.get(_SIGN_IN)
    if sign_in_id and session.get(_ORGANIZATION) == realm.organization_id:
        end_sign_in(realm=realm, sign_in_id=sign_in_id, action="session.ended")


def session_content(realm: Realm, *, withdrawn_at: datetime | None, sign_in_id: int | None = None) -> dict[str, Any]:
    """What a session keeps beside Django's own: where it was begun, by which sign-in, and what its account's membership
    was then. Without a sign-in it is as those of the release before."""
    content: dict[str, Any] = {
        _REALM: realm.slug or "",
        _ORGANIZATION: realm.organization_id,
        _WITHDRAWN: _written(withdrawn_at),
        _PROVED: time.time(),
    }
    return content if sign_in_id is None else content | {_SIGN_IN: sign_in_id}


def is_proved(request: HttpRequest) -> bool:
    """Whether this session's owner was proved a short while ago."""
    return bool(time.time() - request.session.get(_PROVED, 0) < PROOF_SECONDS)


def has_passed_second_factor(request: HttpRequest) -> bool:
    """Whether a second factor was shown in this session, or enrolled."""
    return bool(request.session.get(_PASSED))


def remember_proof(request: HttpRequest, *, by_second_factor: bool) -> None:
    """Whoever sits here has just been proved to be the session's owner."""
    request.session[_PROVED] = time.time()
    if by_second_factor:
        request.session[_PASSED] = True


def _written(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


def forget_sessions_of(organization_id: int) -> int:
    """Deletes the browser sessions that belong to an organization, and returns how many they were. What a session holds
    is signed and not looked up: all are read."""
    own = [
        session.pk
        for session in Session.objects.iterator()
        if session.get_decoded().get(_ORGANIZATION) == organization_id
    ]
    deleted, _ = Session.objects.filter(pk__in=own).delete()
    return deleted
