"""Known devices: a browser that an account has signed in with is not locked out by those who guess its password from
elsewhere (see lockout.py).

A signed cookie names the browser, by a random number, and the accounts that have signed in with it. It says nothing of
who is signed in: whoever has it may try to be one of these accounts, and has counters of his own for that.
"""

import hashlib
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import get_random_string

from shared.identity.realm import Realm, realm_of

COOKIE = "__Host-device" if settings.HTTPS else "device"

_SECONDS = 365 * 24 * 60 * 60

_MOST_ACCOUNTS = 8
"""Of one browser; the one that signed in longest ago is forgotten for one more."""

_SALT = "shared.identity.devices"


def device_of(request: HttpRequest, username: str) -> str:
    """What this browser is known as to the account of this name on this host; empty: not at all."""
    device, accounts = _read(request)
    return device if _mark(realm_of(request), username) in accounts else ""


def remember_device(request: HttpRequest, response: HttpResponseBase, username: str) -> None:
    """The account has signed in with this browser, all the way."""
    device, accounts = _read(request)
    mark = _mark(realm_of(request), username)
    accounts = [mark, *[one for one in accounts if one != mark]][:_MOST_ACCOUNTS]
    content = {"device": device or get_random_string(22), "accounts": accounts}
    response.set_cookie(
        COOKIE,
        signing.dumps(content, salt=_SALT),
        max_age=_SECONDS,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )


def _read(request: HttpRequest) -> tuple[str, list[str]]:
    try:
        content: Any = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=_SECONDS)
        return content["device"], content["accounts"]
    except (signing.BadSignature, ValueError):
        return "", []


def _mark(realm: Realm, username: str) -> str:
    """By the organization's id: a slug may be given again one day. Short, since nobody can choose what is signed."""
    name = AbstractBaseUser.normalize_username(username)
    return hashlib.sha256(f"{realm.organization_id or 0}/{name}".encode()).hexdigest()[:20]
