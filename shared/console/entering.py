"""The steps of signing in on the pages, and what stands between somebody who is signed in and a page: a second factor
that is required, and a proof that it is still the owner who sits there."""

import time
from base64 import b64decode, b64encode
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import split_domain_port
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _

from shared.console import expired
from shared.errors import Problem
from shared.identity.accounts import Account, account_of
from shared.identity.devices import device_of, remember_device
from shared.identity.lockout import client_address, client_of
from shared.identity.realm import realm_of
from shared.identity.sessions import end_session_of, has_passed_second_factor, is_proved, remember_proof
from shared.mails import mail_owner
from shared.models import User
from shared.second_factor.errors import PasskeyRefused
from shared.second_factor.passkeys import Asked, Site
from shared.second_factor.services import has_second_factor, is_required

_STEP = "second_step"
_CHALLENGE = "passkey_challenge"

STEP_SECONDS = 10 * 60
"""Between the password and the second factor."""

_CHALLENGE_SECONDS = 5 * 60


# --- Signing in -------------------------------------------------------------------------------------------------------


def after_password(request: HttpRequest, account: Account, wanted: str) -> HttpResponse:
    """The password is right: in, or to the second step where the account has a second factor."""
    if not has_second_factor(account.user.pk):
        return enter(request, account, wanted, by_second_factor=False)
    # Whoever was signed in here before leaves nothing behind for the next.
    request.session.flush()
    realm = realm_of(request)
    request.session[_STEP] = {
        "user": account.user.pk,
        "password": account.user.get_session_auth_hash(),
        "place": [realm.organization_id, realm.slug],
        "at": time.time(),
        "next": wanted,
    }
    request.session.set_expiry(STEP_SECONDS)
    return redirect("second_step")


def account_at_second_step(request: HttpRequest) -> tuple[Account, str] | None:
    """Whose password was right in this session, on this host, a short while ago; and the page that was wanted."""
    step: Any = request.session.get(_STEP)
    realm = realm_of(request)
    if not step or step["place"] != [realm.organization_id, realm.slug] or time.time() - step["at"] > STEP_SECONDS:
        return None
    try:
        account = account_of(realm=realm, user_id=step["user"])
    except Problem:
        return None
    is_same = constant_time_compare(step["password"], account.user.get_session_auth_hash())
    return (account, step["next"]) if is_same else None


def enter(request: HttpRequest, account: Account, wanted: str, *, by_second_factor: bool) -> HttpResponse:
    """Begins the session of somebody who has shown all that is asked for, and leads to the page that was wanted."""
    end_session_of(request)
    request.session.flush()
    login(request, account.user, backend=settings.AUTHENTICATION_BACKENDS[0])
    if by_second_factor:
        remember_proof(request, by_second_factor=True)
    tell_of_new_device(request, account.user, account.username)
    response = redirect("held_form" if expired.held(request) else safe_path(wanted))
    remember_device(request, response, account.username)
    return response


def safe_path(wanted: str) -> str:
    """The page that was asked for, if it is one of this host; else the start page."""
    if not url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) or not wanted.startswith("/"):
        return "/"
    return wanted


def tell_of_new_device(request: HttpRequest, user: User, username: str) -> None:
    """A mail to who has signed in, if it was with a browser that is not known to the account."""
    if not device_of(request, username):
        mail_owner(
            request,
            user,
            subject=_("A new sign-in to your account"),
            template="shared/new_device_mail.txt",
            context={
                "name": username,
                "address": client_address(request),
                "client": client_of(request.META) or "–",
            },
        )


# --- Being signed in --------------------------------------------------------------------------------------------------


def must_show_second_factor(request: HttpRequest, account: Account) -> bool:
    """Whether a password is no proof here: the account has a second factor, and this session has not shown it. (It was
    enrolled in another one since.)"""
    return not has_passed_second_factor(request) and has_second_factor(account.user.pk)


def must_enrol(request: HttpRequest, account: Account) -> bool:
    """Whether a second factor is required of this account, and it has none."""
    return (
        is_required(realm_of(request))
        and not has_passed_second_factor(request)
        and not has_second_factor(account.user.pk)
    )


def detour(request: HttpRequest, account: Account, *, proof: bool, enrolling: bool, may_get: bool) -> str | None:
    """Where somebody who is signed in is led before the page, if anywhere. ``proof``: the page asks for a proof that is
    a few minutes old at most. ``enrolling``: a second factor is enrolled or shown on it. ``may_get``: it can be
    opened."""
    is_needed = not enrolling and is_required(realm_of(request))
    if (is_needed or proof) and not has_passed_second_factor(request):
        if has_second_factor(account.user.pk):
            return _to_proof(request, may_get)
        if is_needed:
            return reverse("security")
    if proof and not is_proved(request):
        return _to_proof(request, may_get)
    return None


def _to_proof(request: HttpRequest, may_get: bool) -> str:
    if request.method in ("GET", "HEAD") or may_get:
        wanted = request.get_full_path()
    else:
        referer = urlsplit(request.headers.get("Referer", ""))
        wanted = referer.path if referer.netloc == request.get_host() else "/"
    return reverse("proof") + "?" + urlencode({"next": safe_path(wanted)})


def proved(request: HttpRequest, wanted: str, *, by_second_factor: bool) -> HttpResponseRedirect:
    """On, to what one was led away from."""
    remember_proof(request, by_second_factor=by_second_factor)
    return redirect("held_form" if expired.held(request) else safe_path(wanted))


# --- Passkeys ---------------------------------------------------------------------------------------------------------


def site_of(request: HttpRequest) -> Site:
    """Where the browser of this request is."""
    host = split_domain_port(request.get_host().lower())[0].rstrip(".")
    return Site(host, f"{request.scheme}://{request.get_host().lower()}")


def keep_challenge(request: HttpRequest, asked: Asked) -> str:
    """The options for the page; their challenge is kept with the session."""
    request.session[_CHALLENGE] = [b64encode(asked.challenge).decode(), time.time()]
    if not request.session.session_key:  # of nobody yet: not for half a day
        request.session.set_expiry(_CHALLENGE_SECONDS)
    return asked.options


def take_challenge(request: HttpRequest) -> bytes:
    """What the answer must hold; good once.

    Raises:
        PasskeyRefused: nothing was asked, or too long ago.
    """
    challenge, moment = request.session.pop(_CHALLENGE, ["", 0.0])
    if not challenge or time.time() - moment > _CHALLENGE_SECONDS:
        raise PasskeyRefused("Nothing was asked in this session, or too long ago.")
    return b64decode(challenge)
