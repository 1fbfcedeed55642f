"""Makes users, signs them in, refreshes and revokes tokens. Everything here runs on the public schema."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import password_validation
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.hashers import make_password
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.crypto import constant_time_compare, get_random_string, salted_hmac
from rest_framework_simplejwt.tokens import Token

from shared.audit import record
from shared.errors import (
    AccountInactive,
    BadCredentials,
    InvalidRequest,
    NotFound,
    PasswordChanged,
    Problem,
    SamePassword,
    SellerInactive,
    TokenInvalid,
    UsernameTaken,
)
from shared.identity import lockout
from shared.identity.epochs import Access
from shared.identity.realm import Realm
from shared.identity.roles import SELLER, works_for_seller
from shared.identity.sign_ins import (
    begin_sign_in,
    end_all_access,
    end_sign_in,
    raise_epoch,
    record_refused_sign_in,
)
from shared.identity.tokens import AccessToken, RefreshToken, name_realm, password_mark, read_token
from shared.models import Membership, SignIn, User
from shared.second_factor.services import has_second_factor, pass_second_step
from shared.texts import unfit_character


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token, the refresh token that belongs to it, and the access token's life in seconds."""

    access: str
    refresh: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class Account:
    """A user in one realm: what a token will say."""

    user: User
    username: str
    role: str
    seller_id: int | None
    withdrawn_at: datetime | None = None
    """When the membership was last withdrawn: what was begun before is over."""
    epoch: int = 0
    """See epochs.py."""
    family: int | None = None
    """The browser's sign-in that speaks for it, which stands; None: none does."""
    seen_at: datetime | None = None
    """When it was noted last that this sign-in is used."""

    scopes: None = None
    """People have none: they may do all that their role may."""

    @property
    def access(self) -> Access:
        """What a service is told of who asks."""
        return Access(self.user.pk, None, self.epoch, self.family, password_mark(self.user))


# --- Making accounts --------------------------------------------------------------------------------------------------


def check_credentials(*, username: str, password: str, email: str = "") -> str:
    """Checks the form of what a new account is made from, and returns the name as it will be kept (NFKC).

    Raises:
        InvalidRequest: with an error for each field at fault.
    """
    errors = []
    username = AbstractBaseUser.normalize_username(username)
    try:
        UnicodeUsernameValidator()(username)
        if not 1 <= len(username) <= 150:
            raise ValidationError("A username has 1 to 150 characters.", code="invalid")
        if unfit := unfit_character(username):
            raise ValidationError(f"A username must not have {unfit}, which nobody sees.", code="invalid")
    except ValidationError as error:
        errors.append({"field": "username", "code": "invalid", "detail": error.messages[0]})
    try:
        password_validation.validate_password(password, User(username=username))
    except ValidationError as error:
        codes = [inner.code or "invalid" for inner in error.error_list]
        errors += [
            {"field": "password", "code": code, "detail": message}
            for code, message in zip(codes, error.messages, strict=True)
        ]
    if email:
        try:
            User._meta.get_field("email").run_validators(email)
        except ValidationError as error:
            errors.append({"field": "email", "code": "invalid", "detail": error.messages[0]})
    if errors:
        raise InvalidRequest(f"{errors[0]['field']}: {errors[0]['detail']}", errors=errors)
    return username


def create_platform_admin(*, username: str, password: str, email: str = "") -> User:
    """A user of the platform's own host who may do everything there.

    Raises:
        InvalidRequest: the name, the password or the email address won't do.
        UsernameTaken: there is one of this name.
    """
    username = check_credentials(username=username, password=password, email=email)
    try:
        with transaction.atomic():
            return User.objects.create_superuser(username, password, email=email)
    except IntegrityError:
        raise UsernameTaken(f"There is a platform user {username!r} already.") from None


def prepare_member(
    *, organization_id: int, slug: str, role: str, username: str, password: str, email: str = ""
) -> Membership:
    """What :func:`save_member` saves: somebody whose password another person knows, and so must be changed. It takes as
    long as hashing a password does, and writes nothing: call it before a transaction that others wait for.

    Raises:
        InvalidRequest: the name, the password or the email address won't do.
    """
    username = check_credentials(username=username, password=password, email=email)
    user = User(username=f"{slug}/{username}", email=email, must_change_password=True)
    user.set_password(password)
    return Membership(user=user, organization_id=organization_id, username=username, role=role)


def save_member(member: Membership, *, seller_id: int | None = None) -> Membership:
    """Lets a user who was prepared sign in on the organization's host.

    Raises:
        UsernameTaken: this organization has one of this name.
    """
    try:
        with transaction.atomic():
            member.user.save()
            member.user = member.user  # takes over the key
            member.seller_id = seller_id
            member.save()
    except IntegrityError:
        raise UsernameTaken(f"There is a user {member.username!r} already.") from None
    return member


def create_member(
    *,
    organization_id: int,
    slug: str,
    role: str,
    username: str,
    password: str,
    email: str = "",
    seller_id: int | None = None,
) -> Membership:
    """A user who signs in on one organization's host; raises what :func:`prepare_member` and :func:`save_member` do."""
    prepared = prepare_member(
        organization_id=organization_id, slug=slug, role=role, username=username, password=password, email=email
    )
    return save_member(prepared, seller_id=seller_id)


def normalized(username: str) -> str:
    """A name as it is kept (NFKC)."""
    return AbstractBaseUser.normalize_username(username)


def sellers_member_named(*, organization_id: int, username: str) -> Membership | None:
    """The seller's own member of this name, whose row is locked until the transaction ends; None: there is none."""
    members = Membership.objects.select_for_update(no_key=True).filter(
        organization_id=organization_id, username=normalized(username), role=SELLER
    )
    return members.first()


def newest_seller_id(*, organization_id: int) -> int:
    """The greatest id of a seller whom somebody signs in as; 0: nobody does."""
    found = Membership.objects.filter(organization_id=organization_id).aggregate(newest=Max("seller_id"))["newest"]
    return found or 0


def reopen_member(*, membership: Membership, password: str, email: str = "") -> None:
    """Gives a seller's user a new password, and lets it sign in. All its sessions and refresh tokens end.

    Raises:
        InvalidRequest: the password or the email address won't do.
    """
    check_credentials(username=membership.username, password=password, email=email)
    assert membership.seller_id is not None
    with transaction.atomic():
        for is_active in (False, True):
            set_membership_active(
                organization_id=membership.organization_id, seller_id=membership.seller_id, is_active=is_active
            )
        user = membership.user
        user.set_password(password)
        user.email, user.must_change_password = email or user.email, True
        user.save(update_fields=["password", "email", "must_change_password"])
        raise_epoch(user_id=user.pk)


def set_membership_active(*, organization_id: int, seller_id: int, is_active: bool) -> None:
    """Lets a seller's user sign in, or no longer; withdrawing it also ends the sessions it has. It is the same for the
    seller's cashiers, of whom each is besides switched off and on alone.

    The seller's own flag is what keeps access tokens from selling, and lets a sale that was sent again be answered. So
    the epoch stays: whoever is switched on again within minutes goes on with the token that he has.
    """
    with transaction.atomic():
        memberships = Membership.objects.filter(organization_id=organization_id, seller_id=seller_id)
        user_ids = list(memberships.order_by("pk").select_for_update(no_key=True).values_list("user_id", flat=True))
        memberships.filter(role=SELLER).update(is_active=is_active)
        if not is_active:
            memberships.update(withdrawn_at=timezone.now())
            SignIn.objects.filter(user_id__in=user_ids, organization_id=organization_id, revoked_at=None).update(
                revoked_at=timezone.now()
            )


# --- Signing in -------------------------------------------------------------------------------------------------------


def authenticate(*, realm: Realm, username: str, password: str, address: str, device: str = "") -> Account:
    """The account that these credentials open in this realm. ``device``: see devices.py.

    Raises:
        Throttled, Unavailable: too many tries, or too many at once; the password was not looked at.
        BadCredentials: no such account here, or another password.
        SellerInactive, AccountInactive: the password is right, but the account was switched off.
    """
    username = AbstractBaseUser.normalize_username(username)
    user: User | None = None
    membership: Membership | None = None

    def is_right() -> bool:
        nonlocal user, membership
        user, membership = _find(realm, username)
        if user is None:
            make_password(password)  # takes as long as looking at a password does, so that time tells nothing
        return user is not None and user.check_password(password)

    if not lockout.look_at_password(realm=realm, username=username, address=address, is_right=is_right, device=device):
        problem = BadCredentials("There is no account with this name and password here.")
        record_refused_sign_in(username, problem.code)
        raise problem
    assert user is not None
    try:
        return _account(user, membership)
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
        raise _wrong_password(field)


def _wrong_password(field: str) -> InvalidRequest:
    return InvalidRequest.of_field(field, "wrong_password", "This is not the password that you have now.")


_SELLER_WHO_IS_OFF = Membership.objects.filter(
    organization_id=OuterRef("organization_id"), seller_id=OuterRef("seller_id"), role=SELLER, is_active=False
)
"""Of whoever works for a seller: that seller's own member, which is switched off with the seller."""


def _find(realm: Realm, username: str) -> tuple[User | None, Membership | None]:
    if realm.is_platform:
        return platform_users().filter(username=username).first(), None
    membership = (
        Membership.objects.select_related("user")
        .filter(organization_id=realm.require_organization_id(), username=username)
        .annotate(seller_is_off=Exists(_SELLER_WHO_IS_OFF))
        .first()
    )
    return (membership.user if membership else None), membership


def platform_users() -> QuerySet[User]:
    """Who has a role on the platform, switched off or not. A member of an organization never has, whatever its row
    says: its name has a slash in it, and its membership stands beside it."""
    users = User.objects.exclude(platform_role="").exclude(username__contains="/")
    return users.filter(~Exists(Membership.objects.filter(user=OuterRef("pk"))))


def _account(user: User, membership: Membership | None) -> Account:
    if membership is None:
        if not user.is_active:
            raise AccountInactive("This account was switched off.")
        return Account(user, user.username, user.platform_role, None)
    if not (user.is_active and membership.is_active) or membership.seller_is_off:  # type: ignore[attr-defined]
        if works_for_seller(membership.role):
            raise SellerInactive
        raise AccountInactive("This account was switched off.")
    return Account(
        user, membership.username, membership.role, membership.seller_id, membership.withdrawn_at, membership.epoch
    )


_OF_USER = [field.attname for field in User._meta.concrete_fields]
_OF_MEMBERSHIP = ["username", "role", "seller_id", "is_active", "withdrawn_at", "epoch"]
_OF_SIGN_IN = ["sign_in.id", "coalesce(sign_in.last_seen_at, sign_in.created_at)"]
# Each page and each refresh begins with it: 0.75 ms by select_related, 0.2 so.
_MEMBER = f"""
    SELECT
        {", ".join([f"account.{name}" for name in _OF_USER] + [f"membership.{name}" for name in _OF_MEMBERSHIP])},
        seller.is_active IS FALSE, {", ".join(_OF_SIGN_IN)}
    FROM shared_membership AS membership
    INNER JOIN shared_user AS account ON account.id = membership.user_id
    LEFT JOIN shared_membership AS seller ON seller.organization_id = membership.organization_id
        AND seller.seller_id = membership.seller_id AND seller.role = '{SELLER}'
    LEFT JOIN shared_refreshfamily AS sign_in ON sign_in.id = %s AND sign_in.user_id = account.id
        AND sign_in.organization_id = membership.organization_id AND sign_in.kind = 'web' AND sign_in.revoked_at IS NULL
    WHERE membership.organization_id = %s AND membership.user_id = %s
"""  # noqa: S608 - the names above


_SeenAt = tuple[int | None, datetime | None]
"""A sign-in that stands, and when it was noted last that it is used."""


def _member(
    organization_id: int, user_id: int, sign_in_id: int | None
) -> tuple[User | None, Membership | None, _SeenAt]:
    """The user, a membership to look at (without its id, it is not one to save), and the sign-in if it stands."""
    with connection.cursor() as cursor:
        cursor.execute(_MEMBER, [sign_in_id, organization_id, user_id])
        row = cursor.fetchone()
    if row is None:
        return None, None, (None, None)
    *row, family, seen_at = row
    user = User.from_db(connection.alias, _OF_USER, row[: len(_OF_USER)])
    membership = Membership(user=user, **dict(zip(_OF_MEMBERSHIP, row[len(_OF_USER) : -1], strict=True)))
    membership.seller_is_off = row[-1]  # type: ignore[attr-defined]
    return user, membership, (family, seen_at)


def _platform_user(user_id: int, sign_in_id: int | None) -> tuple[User | None, _SeenAt]:
    standing = SignIn.objects.filter(
        pk=sign_in_id or 0, user=OuterRef("pk"), organization_id=None, kind=SignIn.Kind.WEB, revoked_at=None
    )
    users = platform_users().annotate(seen_at=Subquery(standing.values(at=Coalesce("last_seen_at", "created_at"))))
    user: Any = users.filter(pk=user_id).first()
    seen_at = user and user.seen_at
    return user, (sign_in_id if seen_at else None, seen_at)


def account_of(*, realm: Realm, user_id: int, sign_in_id: int | None = None) -> Account:
    """What a user is in this realm now, whatever a token says that was issued before. With the id of a browser's
    sign-in, the account says whether it stands.

    Raises:
        SellerInactive, AccountInactive: the account was switched off, or is gone.
    """
    membership = None
    if realm.is_platform:
        user, (family, seen_at) = _platform_user(user_id, sign_in_id)
    else:
        user, membership, (family, seen_at) = _member(realm.require_organization_id(), user_id, sign_in_id)
    if user is None:
        raise AccountInactive("This account is no longer here.")
    return replace(_account(user, membership), family=family, seen_at=seen_at)


@contextmanager
def account_held(*, realm: Realm, user: User) -> Iterator[Account]:
    """The account of a user whose password was looked at, as it is now and stays in this block, which is a transaction:
    nobody switches it off or changes its password between that look and the sign-in that it opens.

    Raises:
        BadCredentials: the password was changed since.
        SellerInactive, AccountInactive: the account was switched off.
    """
    with transaction.atomic():
        list(User.objects.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk"))
        list(Membership.objects.select_for_update(no_key=True).filter(user_id=user.pk).values_list("pk"))
        account = account_of(realm=realm, user_id=user.pk)
        if account.user.password != user.password:
            raise BadCredentials("The password was changed just now.")
        yield account


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
"""For how long the answer to a refresh may be had once more: it may have been lost on the way, and of two tabs that
refresh at once each needs one."""


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


# --- One's own account ------------------------------------------------------------------------------------------------


def change_password(*, user: User, new: str, but: int | None = None) -> None:
    """A new password for somebody who was asked for the old one, which is ``user``'s as it was read then. All that was
    signed in with it ends, but for the sign-in that asks.

    Raises:
        InvalidRequest: it won't do; or it must be changed, and is the same.
        PasswordChanged: the password was changed since; it stays as it is.
    """
    asked_for, named = user.password, _name_in_realm(user)
    if user.must_change_password and user.check_password(new):
        raise SamePassword.of_field("new", "same_password", "This is the password that somebody else knows.")
    if not _replace_password(
        user,
        new,
        still=lambda stored: stored.password == asked_for,
        also=lambda: record("password.changed", named),
        but=but,
    ):
        raise PasswordChanged("The password was changed meanwhile.")


def reset_password(*, user: User, token: str, new: str) -> None:
    """A new password for whoever followed the link with this token; of many who do it at once, for one.

    Raises:
        InvalidRequest: it won't do.
        NotFound: the link is not good, or no longer.
    """
    named = _name_in_realm(user)
    if not _replace_password(
        user,
        new,
        still=lambda stored: default_token_generator.check_token(stored, token),
        also=lambda: record("password.reset", named),
    ):
        raise NotFound("This link is not good any longer.")


def choose_first_password(*, user: User, new: str, state: str) -> None:
    """A password for whoever was invited; of many who do it at once, for one. ``state``: see :func:`password_state`.

    Raises:
        InvalidRequest: it won't do.
        NotFound: there is one by now.
    """
    named = _name_in_realm(user)
    if not _replace_password(
        user,
        new,
        still=lambda stored: constant_time_compare(password_state(stored), state),
        also=lambda: record("password.changed", named),
    ):
        raise NotFound("This link is not good any longer.")


def _name_in_realm(user: User) -> str:
    """The name that a user signs in with."""
    return user.username.rpartition("/")[2]


def _replace_password(
    user: User,
    new: str,
    *,
    still: Callable[[User], bool],
    is_anothers: bool = False,
    also: Callable[[], None] | None = None,
    but: int | None = None,
) -> bool:
    """Sets a password if ``still`` says so of the user as it is stored, which nobody changes meanwhile.
    ``is_anothers``: somebody else knows it, and so it must be changed. ``also`` is done in the same transaction. Every
    access by the old one ends, and every sign-in ``but`` one.

    Raises:
        InvalidRequest: it won't do.
    """
    try:
        password_validation.validate_password(new, user)
    except ValidationError as error:
        first = error.error_list[0]
        raise InvalidRequest.of_field("new", first.code or "invalid", error.messages[0]) from None
    hashed = make_password(new)  # before the lock: it may have to wait for its turn
    with transaction.atomic():
        stored = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if not still(stored):
            return False
        stored.password = user.password = hashed
        stored.must_change_password = user.must_change_password = is_anothers
        stored.save(update_fields=["password", "must_change_password"])
        end_all_access(user_id=user.pk, but=but)
        if also:
            also()
    return True


def suggest_password() -> str:
    """A password that nobody guesses (59 bits) and that can be read out: no letters or digits that look alike."""
    characters = get_random_string(12, "abcdefghjkmnpqrstuvwxyz23456789")
    return "-".join((characters[:4], characters[4:8], characters[8:]))


def member_of_seller(*, organization_id: int, seller_id: int) -> Membership:
    """What the user who signs in as this seller is, with the user.

    Raises:
        NotFound: nobody does.
    """
    membership = (
        Membership.objects.select_related("user")
        .filter(organization_id=organization_id, seller_id=seller_id, role=SELLER)
        .first()
    )
    if membership is None:
        raise NotFound("There is no such seller.")
    return membership


def password_state(user: User) -> str:
    """Says whether the password is still the same, and nothing else about it."""
    return salted_hmac("shared.services.password_state", user.password, algorithm="sha256").hexdigest()[:32]


def reset_member_password(*, realm: Realm, seller_id: int, password: str, state: str, address: str) -> None:
    """A new password for the user who signs in as this seller: see ``credit.services.reset_seller_password``."""
    member = member_of_seller(organization_id=realm.require_organization_id(), seller_id=seller_id)
    set_password_of(
        user=member.user,
        realm=realm,
        username=member.username,
        password=password,
        state=state,
        address=address,
        also=lambda: record("seller.password_reset", str(seller_id), after={"username": member.username}),
    )


def set_password_of(
    *,
    user: User,
    realm: Realm,
    username: str,
    password: str,
    state: str,
    address: str,
    also: Callable[[], None] | None = None,
) -> None:
    """A new password for somebody else, who must change it at the next sign-in. ``state``: what
    :func:`password_state` said when it was asked for. The same again changes nothing. ``also`` is done in the same
    transaction.

    Raises:
        InvalidRequest: it won't do.
        PasswordChanged: it was changed meanwhile, to something else; nothing was done.
        Throttled, Unavailable: it was changed meanwhile, and too often asked whether to this.
    """
    if _replace_password(
        user,
        password,
        still=lambda stored: constant_time_compare(password_state(stored), state),
        is_anothers=True,
        also=also,
    ):
        return
    # Either the same again, which finds done what it asks for; or somebody was there before. To tell the two apart a
    # password is looked at, so that this is a door like the others.
    user.refresh_from_db(fields=["password"])
    if not lockout.look_at_password(
        realm=realm, username=username, address=address, is_right=lambda: user.check_password(password)
    ):
        raise PasswordChanged("The password was changed meanwhile.")


def set_language(*, user: User, language: str) -> None:
    """In which language an account's pages are shown."""
    user.language = language
    user.save(update_fields=["language"])


def set_preferences(*, user: User, language: str, time_zone: str, email: str, is_proved: bool) -> None:
    """How an account's pages are shown, and where a reset of its password is sent to; checked by the form.

    ``is_proved``: whether the password of now was asked for, which is ``user``'s as it was read then. Without it the
    email address stays.

    Raises:
        InvalidRequest: the email address was to be changed, and the password was not asked for.
        PasswordChanged: it was asked for, and changed since.
    """
    with transaction.atomic():
        stored = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if email != stored.email:
            if not is_proved:
                raise _wrong_password("password")
            if stored.password != user.password:
                raise PasswordChanged("The password was changed meanwhile.")
        user.language, user.time_zone, user.email = language, time_zone, email
        user.save(update_fields=["language", "time_zone", "email"])


def user_to_reset(*, realm: Realm, username: str) -> User | None:
    """Whom a forgotten password belongs to here: an account that may sign in, and has an email address."""
    user, membership = _find(realm, AbstractBaseUser.normalize_username(username))
    if user is None or not user.email or not user.is_active or (membership and not membership.is_active):
        return None
    return user


def user_of_realm(*, realm: Realm, user_id: int) -> User | None:
    """An account of this realm that may sign in; None for another realm's."""
    try:
        return account_of(realm=realm, user_id=user_id).user
    except Problem:
        return None
