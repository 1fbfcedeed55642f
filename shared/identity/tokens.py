"""Makes and verifies JSON Web Tokens that are bound to their realm, on djangorestframework-simplejwt.

Plain simplejwt tokens are good on every tenant (its issue 758, django-tenants' 983). Ours name their organization in
``org`` (its slug) and ``org_id`` (both null on the platform), and :func:`read_token` compares both with
the organization of the host: a slug may be given again one day, to another organization. Access tokens are verified
without a database query.
"""

import time
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import jwt
from django.conf import settings
from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError

from shared.errors import TokenExpired, TokenInvalid, TokenWrongOrganization
from shared.identity.epochs import KEY_SUBJECT, Access, subject_of
from shared.identity.realm import Realm
from shared.identity.roles import ROLES, works_for_seller

if TYPE_CHECKING:
    from shared.models import User


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: the verified claims of an access token. It is ``request.user`` in every API view."""

    user_id: int | None
    """Null: a program's, which has a ``key_id``."""
    role: str
    seller_id: int | None
    family: int | None = field(default=None, compare=False)
    """The sign-in that it came from (see :class:`shared.models.SignIn`); None: no sign-in made it."""
    password: str | None = field(default=None, compare=False)
    """What :func:`password_mark` said of the user's password when it was issued."""
    epoch: int = field(default=0, compare=False)
    """See epochs.py."""
    key_id: UUID | None = None
    """The API key that it was issued for."""
    scopes: frozenset[str] | None = None
    """What an API key may do, of what its role may; None: all of it. Of a person it is empty where the second factor is
    missing that the organization requires."""
    is_authenticated: bool = True

    @property
    def lacks_second_factor(self) -> bool:
        """Whether this is a person who may do nothing but enrol one."""
        return self.user_id is not None and self.scopes is not None

    @property
    def subject(self) -> str:
        """As the token's ``sub`` names it."""
        return subject_of(self.user_id, self.key_id)

    @property
    def access(self) -> Access:
        """What a service is told of who asks."""
        return Access(self.user_id, self.key_id, self.epoch, self.family, self.password)

    @property
    def pk(self) -> str:
        return self.subject


class AccessToken(tokens.AccessToken):
    """Five minutes of access. Claims: iss, sub, org, org_id, role, seller_id, iat, exp, jti, token_type; and family,
    password and epoch, or of a program (whose sub is ``key:`` and the key's id) scope and epoch. A person's has an
    empty scope where the second factor is missing that the organization requires: nothing but enrolling one.

    Family and password say which sign-in and which password it came from: what an admin changes looks whether both
    still stand, in the query that it makes anyway (shared/rest/permissions.py). What moves money compares the epoch
    (epochs.py)."""


class RefreshToken(tokens.Token):
    """Good for one refresh within its family (see signing_in.py). Further claims: org, org_id, family, and in
    password a keyed hash of the password's hash: when the password is changed, what was signed in with the old one
    ends."""

    token_type = "refresh"  # noqa: S105 - a claim's value
    lifetime = settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"]


_EXPIRED = "The token has expired; refresh it or sign in again."


def read_token(kind: type[tokens.Token], raw: str | bytes, realm: Realm) -> tokens.Token:
    """The verified token.

    Raises:
        TokenExpired, TokenInvalid, TokenWrongOrganization: as their names say; expiry is looked at first.
    """
    try:
        token = kind(raw)  # type: ignore[arg-type]
        # The leeway (see settings.SIMPLE_JWT) is for tokens that are issued a little in the future, by a machine whose
        # clock is ahead of this one's. It is none for those that have expired.
        has_expired = token["exp"] <= time.time()
    except ExpiredTokenError:
        raise TokenExpired(_EXPIRED) from None
    except (TokenError, jwt.exceptions.PyJWTError, UnicodeError, ValueError, TypeError, OverflowError):
        # The last four: what a claim of a wrong type makes PyJWT and simplejwt raise instead of TokenError.
        raise TokenInvalid("The token is not valid here.") from None
    if has_expired:
        raise TokenExpired(_EXPIRED)
    if not _is_of(realm, token):
        raise TokenWrongOrganization("The token was issued for another host.")
    return token


def _is_of(realm: Realm, token: tokens.Token) -> bool:
    """Whether it names this realm by slug and by id. A token from before there was an id in them names none."""
    if "org" not in token or "org_id" not in token:
        return False
    slug, organization_id = token["org"], token["org_id"]
    # Not by == alone: true and 1.0 are no ids, though Python takes both for 1.
    return slug == realm.slug and organization_id == realm.organization_id and type(organization_id) in (int, NoneType)


def _may_be_id(claim: Any) -> bool:
    return claim is None or (type(claim) is int and 0 < claim < 2**63)


def name_realm(token: tokens.Token, realm: Realm) -> None:
    """Writes into a token which realm it is for."""
    token["org"], token["org_id"] = realm.slug, realm.organization_id


def password_mark(user: "User") -> str:
    """Says in an access token which password it came from: a keyed hash of the password's hash, and nothing of it."""
    return user.get_session_auth_hash()[:16]


MOST_REMEMBERED = 10_000
"""Verified tokens that a process remembers; one more, and it forgets all and begins anew."""

LONGEST_REMEMBERED = 1000
"""Characters of a header that is remembered, several times those of our tokens; so all together are under 20 MB."""

_remembered: dict[str, tuple[int, Realm, Principal]] = {}


def principal_of(authorization: str, realm: Realm) -> Principal | None:
    """Whom an ``Authorization`` header speaks for; None where it has no bearer token.

    Raises:
        TokenExpired, TokenInvalid, TokenWrongOrganization: as :func:`read_token`.
    """
    principal = remembered_principal(authorization, realm)
    if principal is None:
        scheme, _, raw = authorization.strip().partition(" ")
        if scheme.lower() != "bearer":  # RFC 9110 section 11.1: schemes are case-insensitive
            return None
        token = read_token(AccessToken, raw.strip(), realm)
        try:
            principal = _principal_in(token)
            _remember_principal(authorization, int(token["exp"]), realm, principal)
        except (KeyError, ValueError):
            raise TokenInvalid("The token lacks a claim, or one is wrong.") from None
    return principal


def _principal_in(token: tokens.Token) -> Principal:
    """Raises KeyError or ValueError where a claim is missing or wrong."""
    role, family, password = token["role"], token.get("family"), token.get("password")
    epoch, subject, seller_id = token.get("epoch", 0), str(token["sub"]), token["seller_id"]
    if not (isinstance(role, str) and all(map(_may_be_id, (family, seller_id))) and isinstance(password, str | None)):
        raise ValueError
    # (Of a role that a newer release has given, nothing is known here: it may do nothing.)
    if seller_id is None and role in ROLES and works_for_seller(role):
        raise ValueError
    if type(epoch) is not int or not 0 <= epoch < 2**63:
        raise ValueError
    key = subject.removeprefix(KEY_SUBJECT)
    is_person = key == subject
    scope = token.get("scope") if is_person else token["scope"]
    if not isinstance(scope, str) and not (is_person and scope is None):
        raise ValueError
    scopes = None if scope is None else frozenset(scope.split())
    if not is_person:
        return Principal(None, role, seller_id, epoch=epoch, key_id=UUID(key), scopes=scopes)
    user_id = int(subject)
    if not _may_be_id(user_id) or str(user_id) != subject:  # int() reads blanks, strokes and digits of other scripts
        raise ValueError
    return Principal(user_id, role, seller_id, family, password, epoch, scopes=scopes)


def remembered_principal(authorization: str, realm: Realm) -> Principal | None:
    """Whom an ``Authorization`` header speaks for, if this process has verified it before, it has not expired, and it
    was issued for this realm; None otherwise, which says nothing about the token.

    To verify a token takes 40 µs, and gives the same result each time: until it expires, nothing but the key decides.
    """
    remembered = _remembered.get(authorization)
    if remembered is None or remembered[0] <= time.time() or remembered[1] != realm:
        return None
    return remembered[2]


def _remember_principal(authorization: str, expires_at: int, realm: Realm, principal: Principal) -> None:
    if len(authorization) > LONGEST_REMEMBERED:  # blanks may stand around a token, as many as one likes
        return
    if len(_remembered) >= MOST_REMEMBERED:
        _remembered.clear()
    _remembered[authorization] = (expires_at, realm, principal)
