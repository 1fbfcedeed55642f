"""What a user is in one realm: the account that it signs in as there, as it is now."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from shared.errors import AccountInactive, BadCredentials, Problem, SellerInactive
from shared.identity.epochs import Access
from shared.identity.realm import Realm
from shared.identity.roles import SELLER, works_for_seller
from shared.identity.tokens import password_mark
from shared.models import Membership, SignIn, User


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


def normalized(username: str) -> str:
    """A name as it is kept (NFKC)."""
    return AbstractBaseUser.normalize_username(username)


def platform_users() -> QuerySet[User]:
    """Who has a role on the platform, switched off or not. A member of an organization never has, whatever its row
    says: its name has a slash in it, and its membership stands beside it."""
    users = User.objects.exclude(platform_role="").exclude(username__contains="/")
    return users.filter(~Exists(Membership.objects.filter(user=OuterRef("pk"))))


_SELLER_WHO_IS_OFF = Membership.objects.filter(
    organization_id=OuterRef("organization_id"), seller_id=OuterRef("seller_id"), role=SELLER, is_active=False
)
"""The seller's own member, where it is switched off: for a membership that works for the same seller. It is switched
off with the seller."""


def find_user(realm: Realm, username: str) -> tuple[User | None, Membership | None]:
    """Who signs in here by this name (as it is kept), and of a member also as what; None: nobody does.
    :func:`standing_account` reads both."""
    if realm.is_platform:
        return platform_users().filter(username=username).first(), None
    membership = (
        Membership.objects.select_related("user")
        .filter(organization_id=realm.require_organization_id(), username=username)
        .annotate(seller_is_off=Exists(_SELLER_WHO_IS_OFF))
        .first()
    )
    return (membership.user if membership else None), membership


def standing_account(user: User, membership: Membership | None) -> Account:
    """The account of these two.

    Raises:
        SellerInactive, AccountInactive: it was switched off.
    """
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
    return replace(standing_account(user, membership), family=family, seen_at=seen_at)


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


def user_to_reset(*, realm: Realm, username: str) -> User | None:
    """Whom a forgotten password belongs to here: an account that may sign in, and has an email address."""
    user, membership = find_user(realm, normalized(username))
    if user is None or not user.email or not user.is_active or (membership and not membership.is_active):
        return None
    return user


def user_of_realm(*, realm: Realm, user_id: int) -> User | None:
    """An account of this realm that may sign in; None for another realm's."""
    try:
        return account_of(realm=realm, user_id=user_id).user
    except Problem:
        return None
