"""Reads of accounts."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Max

from shared.models import Membership, User
from shared.realm import Realm
from shared.tokens import SELLER, Principal


def username_of(principal: Principal, realm: Realm) -> str | None:
    """The name this principal signs in with in this realm; None when the account is gone from it."""
    if realm.is_platform:
        return User.objects.filter(pk=principal.user_id).values_list("username", flat=True).first()
    return (
        Membership.objects.filter(user_id=principal.user_id, organization_id=realm.require_organization_id())
        .values_list("username", flat=True)
        .first()
    )


def seller_usernames(*, organization_id: int, seller_ids: list[int]) -> dict[int, str]:
    """The names that these sellers of one organization sign in with, by seller's id."""
    pairs = Membership.objects.filter(organization_id=organization_id, seller_id__in=seller_ids).values_list(
        "seller_id", "username"
    )
    return {seller_id: username for seller_id, username in pairs if seller_id is not None}


def seller_id_of_username(*, organization_id: int, username: str) -> int | None:
    """The seller whom the user of this name signs in as; None for nobody, or somebody who is no seller."""
    name = AbstractBaseUser.normalize_username(username)
    rows = Membership.objects.filter(organization_id=organization_id, username=name, role=SELLER)
    return rows.values_list("seller_id", flat=True).first()


def highest_seller_id(*, organization_id: int) -> int:
    """The highest id of the sellers whom users of an organization sign in as; 0 where nobody does."""
    highest = Membership.objects.filter(organization_id=organization_id).aggregate(highest=Max("seller_id"))["highest"]
    return highest or 0


def seller_ids_by_username(*, organization_id: int, search: str, limit: int) -> list[int]:
    """The newest sellers of an organization with this in the name that they sign in with."""
    rows = Membership.objects.filter(organization_id=organization_id, role=SELLER, username__icontains=search)
    return [
        seller_id
        for seller_id in rows.order_by("-seller_id").values_list("seller_id", flat=True)[:limit]
        if seller_id is not None
    ]
