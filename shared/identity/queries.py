"""Reads of accounts."""

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from shared.errors import InvalidMember, NotAuthenticated, TokenExpired, TokenInvalid
from shared.identity.epochs import Access
from shared.identity.realm import Realm
from shared.identity.roles import SELLER
from shared.identity.tokens import Principal, password_mark
from shared.models import ApiKey, Membership, SignIn, User
from shared.texts import contains


@dataclass(frozen=True, slots=True)
class MemberState:
    """What is stored of somebody who asks with a token."""

    password_mark: str
    """What a token has in ``password`` that was issued with the password of now."""
    is_signed_in: bool
    """The sign-in that the token came from stands: it was not revoked."""
    role: str
    epoch: int
    """Access tokens of a lower epoch are over. 0 on the platform, where the role and the sign-in are all there is."""


# One look-up each, as before there was a sign-in to look at.
_ORGANIZATION_MEMBER = """
    SELECT account.password, family.id IS NOT NULL, membership.role, membership.epoch
    FROM shared_membership AS membership
    INNER JOIN shared_user AS account ON account.id = membership.user_id
    LEFT JOIN shared_refreshfamily AS family ON family.id = %s AND family.user_id = account.id
        AND family.organization_id = membership.organization_id AND family.revoked_at IS NULL
    WHERE membership.organization_id = %s AND membership.user_id = %s
        AND membership.is_active AND account.is_active
"""
_PLATFORM_USER = """
    SELECT account.password, family.id IS NOT NULL, account.platform_role, 0
    FROM shared_user AS account
    LEFT JOIN shared_refreshfamily AS family ON family.id = %s AND family.user_id = account.id
        AND family.organization_id IS NULL AND family.revoked_at IS NULL
    WHERE account.id = %s AND account.platform_role <> '' AND account.is_active
        AND position('/' IN account.username) = 0
        AND NOT EXISTS (SELECT FROM shared_membership WHERE user_id = account.id)
"""


def organization_member(*, organization_id: int, user_id: int | None, family: int | None) -> MemberState | None:
    """An active member of this organization; None where it is none (any longer)."""
    return _state_of(_ORGANIZATION_MEMBER, [family, organization_id, user_id])


def platform_user(*, user_id: int | None, family: int | None) -> MemberState | None:
    """An active user of the platform, who is a member of no organization; None where it is none (any longer)."""
    return _state_of(_PLATFORM_USER, [family, user_id])


def _state_of(statement: str, arguments: list[int | None]) -> MemberState | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        row = cursor.fetchone()
    if row is None:
        return None
    password, is_signed_in, role, epoch = row
    return MemberState(password_mark(User(password=password)), is_signed_in, role, epoch)


def why_access_is_over(access: Access, *, organization_id: int) -> NotAuthenticated:
    """What somebody is told whose access was ended (epochs.py): to sign in again, or, where the sign-in itself stands
    (another session of the same person was ended, the role was changed), to refresh and go on."""
    if access.key_id is not None:
        stands = ApiKey.objects.filter(pk=access.key_id, organization_id=organization_id, ended_at=None).exists()
    else:
        stands = access.user_id is not None and _sign_in_stands(access, access.user_id, organization_id)
    if stands:
        return TokenExpired("What this token may do was changed since it was issued; refresh it and try again.")
    return TokenInvalid("This session has ended; sign in again.")


def _sign_in_stands(access: Access, user_id: int, organization_id: int) -> bool:
    membership = (
        Membership.objects.select_related("user")
        .filter(organization_id=organization_id, user_id=user_id, is_active=True, user__is_active=True)
        .first()
    )
    if membership is None or access.password not in (None, password_mark(membership.user)):
        return False
    return access.family is None or SignIn.objects.filter(pk=access.family, user_id=user_id, revoked_at=None).exists()


def username_of(principal: Principal, realm: Realm) -> str | None:
    """The name this principal signs in with in this realm; None for a program, and when the account is gone from it."""
    if principal.user_id is None:
        return None
    if realm.is_platform:
        return User.objects.filter(pk=principal.user_id).values_list("username", flat=True).first()
    return (
        Membership.objects.filter(user_id=principal.user_id, organization_id=realm.require_organization_id())
        .values_list("username", flat=True)
        .first()
    )


def name_of_actor(*, organization_id: int, user_id: int | None, key_id: UUID | None) -> str | None:
    """What somebody is called who did something in this organization: the username, or the API key's name; None where
    nobody knows any longer."""
    if key_id is not None:
        return ApiKey.objects.filter(pk=key_id, organization_id=organization_id).values_list("name", flat=True).first()
    if user_id is None:
        return None
    members = Membership.objects.filter(user_id=user_id, organization_id=organization_id)
    return members.values_list("username", flat=True).first()


def seller_usernames(*, organization_id: int, seller_ids: list[int]) -> dict[int, str]:
    """The names that these sellers of one organization sign in with, by seller's id."""
    pairs = Membership.objects.filter(
        organization_id=organization_id, seller_id__in=seller_ids, role=SELLER
    ).values_list("seller_id", "username")
    return {seller_id: username for seller_id, username in pairs if seller_id is not None}


def owner_of_seller(*, organization_id: int, seller_id: int) -> User | None:
    """The user who is this seller, if there is one who may sign in."""
    members = Membership.objects.filter(organization_id=organization_id, seller_id=seller_id, role=SELLER)
    membership = members.filter(is_active=True).select_related("user").first()
    return membership.user if membership and membership.user.is_active else None


def seller_id_of_username(*, organization_id: int, username: str) -> int:
    """The seller who signs in with this name.

    Raises:
        InvalidMember: nobody of an organization's sellers does.
    """
    sellers = Membership.objects.filter(organization_id=organization_id, role=SELLER)
    found = sellers.filter(username=User.normalize_username(username)).values_list("seller_id", flat=True).first()
    if found is None:
        raise InvalidMember.of_field("seller_id", "no_such_seller", "There is no such seller.")
    return found


def seller_ids_by_username(*, organization_id: int, search: str, limit: int) -> list[int]:
    """The newest sellers of an organization with this in the name that they sign in with."""
    rows = Membership.objects.filter(organization_id=organization_id, role=SELLER).filter(contains("username", search))
    return [
        seller_id
        for seller_id in rows.order_by("-seller_id").values_list("seller_id", flat=True)[:limit]
        if seller_id is not None
    ]
