"""Looks at passwords, and gives, renews and ends pairs of tokens."""

from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone
from rest_framework_simplejwt.tokens import Token

from shared.errors import BadCredentials, InvalidRequest, Problem, TokenInvalid
from shared.identity import lockout
from shared.identity.accounts import Account, account_held, account_of, find_user, normalized, standing_account
from shared.identity.realm import Realm
from shared.identity.sign_ins import begin_sign_in, end_sign_in, record_refused_sign_in
from shared.identity.tokens import AccessToken, RefreshToken, name_realm, password_mark, read_token
from shared.models import Membership, SignIn, User
from shared.second_factor.services import has_second_factor, pass_second_step


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token, the refresh token that belongs to it, and the access token's life in seconds."""

    access: str
    refresh: str
    expires_in: int


def authenticate(*, realm: Realm, username: str, password: str, address: str, device: str = "") -> Account:
    """The account that these credentials open in this realm. ``device``: see devices.py.

    Raises:
        Throttled, Unavailable: too many tries, or too many at once; the password was not looked at.
        BadCredentials: no such account here, or another password.
        SellerInactive, AccountInactive: the password is right, but the account was switched off.
    """
    username = normalized(username)
    user: User | None = None
    membership: Membership | None = None

    def is_right() -> bool:
        nonlocal user, membership
        user, membership = find_user(realm, username)
        if user is None:
            make_password(password)  # takes as long as looking at a password does, so that time tells nothing
        return user is not None and user.check_password(password)

    if not lockout.look_at_password(realm=realm, username=username, address=address, is_right=is_right, device=device):
        problem = BadCredentials("There is no account with this name and password here.")
        record_refused_sign_in(username, problem.code)
        raise problem
    assert user is not None
    try:
        return standing_account(user, membership)
    except Problem as problem:
        record_refused_sign_in(username, problem.code)
        raise


def check_password_of(account: Account, *, realm: Realm, given: str, address: str, field: str) -> None:
    """Who sits at an open session must prove to be its owner, and must not guess on.

    Raises:
        InvalidRequest: it is another password; ``field`` is where it was given.
        Throttled, Unavailable: too many tries, or too many at once.
    """
    # As a known device, and the same one for all of its sessions: no stranger has locked it out.
    is_right = lockout.look_at_password(
        realm=realm,
        username=account.username,
        address=address,
        is_right=lambda: account.user.check_password(given),
        device=f"signed in: {account.user.pk}",
    )
    if not is_right:
        raise wrong_password(field)


def wrong_password(field: str) -> InvalidRequest:
    """What is told of a password that is not the one of now, given in this field."""
    return InvalidRequest.of_field(field, "wrong_password", "This is not the password that you have now.")


def sign_in(*, realm: Realm, username: str, password: str, address: str, client: str = "", code: str = "") -> TokenPair:
    """Begins a new family of refresh tokens; ``client`` is what its program calls itself. ``code``: of the account's
    second factor, if it has one. An account that lacks the one that its organization requires gets tokens that may do
    nothing but enrol one.

    Raises:
        what :func:`authenticate`, :func:`account_held` and :func:`shared.second_factor.services.pass_second_step` do.
    """
    account = authenticate(realm=realm, username=username, password=password, address=address)
    is_limited = pass_second_step(account, realm=realm, code=code, address=address)
    refresh = RefreshToken()
    with account_held(realm=realm, user=account.user) as account:
        family = begin_sign_in(
            realm=realm,
            user_id=account.user.pk,
            username=account.username,
            kind=SignIn.Kind.API,
            lifetime=RefreshToken.lifetime,
            address=address,
            client=client,
            jti=refresh["jti"],
        )
    return _pair(realm, account, family.pk, refresh, is_limited=is_limited)


ANSWERED_AGAIN = timedelta(seconds=30)
"""How long the answer to a refresh may be had once more: it may have been lost on the way, and two tabs that refresh at
once need one each."""


def refresh(*, realm: Realm, raw_token: str, address: str = "", client: str = "") -> TokenPair:
    """A new pair for a refresh token, which is spent by that. What the account may do is looked up anew.

    For 30 seconds the token before the newest is answered once more, with the newest.

    Raises:
        TokenInvalid: not a refresh token of this realm, or its family was revoked, or the password was changed since,
            or it was used before (which revokes its family: either its owner or a thief holds the newer one, and
            nobody can tell which).
        TokenExpired, TokenWrongOrganization: as their names say.
        SellerInactive, AccountInactive: the account was switched off since.
    """
    token = read_token(RefreshToken, raw_token, realm)
    with transaction.atomic():
        family = (
            # The row lock makes two uses of one token at once a first and a second.
            SignIn.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(pk=_family_id(token), organization_id=realm.organization_id, kind=SignIn.Kind.API)
            .first()
        )
        if family is None:
            raise TokenInvalid("The refresh token is not valid here.")
        is_of_password = token.get("password") == family.user.get_session_auth_hash()
        renewed = _renewed(family, token["jti"]) if family.revoked_at is None and is_of_password else None
        if renewed:
            account = account_of(realm=realm, user_id=family.user_id)
            family.last_seen_at = timezone.now()
            family.address, family.client = address[:45], client
            family.save()
            # A family that began without the second factor stays so: whoever has one by now signs in with it.
            is_limited = "scope" in token or (realm.requires_second_factor and not has_second_factor(family.user_id))
            return _pair(realm, account, family.pk, renewed, is_limited=is_limited)
    # Outside of the transaction: the revocation must be committed although the answer is an error.
    end_sign_in(realm=realm, sign_in_id=family.pk, action="session.reused" if is_of_password else "session.ended")
    account_of(realm=realm, user_id=family.user_id)  # where that is why, say so
    raise TokenInvalid("The refresh token was used before or was revoked; sign in again.")


def _renewed(family: SignIn, jti: str) -> RefreshToken | None:
    """The token that is answered to this one of a family, which notes it; None: this one was used before."""
    now = timezone.now()
    renewed = RefreshToken()
    if jti == family.current_jti:
        family.previous_jti, family.current_jti = family.current_jti, renewed["jti"]
        family.rotated_at, family.is_repeated = now, False
        family.expires_at = now + RefreshToken.lifetime
        return renewed
    if jti != family.previous_jti or family.is_repeated or family.rotated_at is None:
        return None
    if now - family.rotated_at > ANSWERED_AGAIN:
        return None
    family.is_repeated = True
    renewed["jti"] = family.current_jti
    renewed.set_iat(at_time=family.rotated_at)
    renewed.set_exp(from_time=family.rotated_at)
    return renewed


def revoke(*, realm: Realm, raw_token: str) -> None:
    """Ends the family of a refresh token: signs out. A spent token does it too; an ended family stays ended.

    Raises:
        TokenInvalid, TokenExpired, TokenWrongOrganization: it is no refresh token of this realm.
    """
    token = read_token(RefreshToken, raw_token, realm)
    end_sign_in(realm=realm, sign_in_id=_family_id(token), action="session.ended")


def _family_id(token: Token) -> int:
    family = token.get("family")
    return family if isinstance(family, int) else 0


def _pair(realm: Realm, account: Account, family_id: int, refresh: RefreshToken, *, is_limited: bool) -> TokenPair:
    refresh["sub"] = str(account.user.pk)
    name_realm(refresh, realm)
    refresh["family"] = family_id
    refresh["password"] = account.user.get_session_auth_hash()
    access = AccessToken()
    access["sub"] = str(account.user.pk)
    name_realm(access, realm)
    access["role"] = account.role
    access["seller_id"] = account.seller_id
    access["family"] = family_id
    access["password"] = password_mark(account.user)
    access["epoch"] = account.epoch
    if is_limited:
        refresh["scope"] = access["scope"] = ""
    return TokenPair(str(access), str(refresh), int(AccessToken.lifetime.total_seconds()))
