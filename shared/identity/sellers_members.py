"""The member that signs in as a seller: finds it, and lets it in or no longer, as the seller is switched on or off
(credit/services.py)."""

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from shared.audit import record
from shared.errors import NotFound
from shared.identity.accounts import normalized
from shared.identity.new_accounts import check_credentials
from shared.identity.password_changes import set_password_of
from shared.identity.realm import Realm
from shared.identity.roles import SELLER
from shared.identity.sign_ins import raise_epoch
from shared.models import Membership, SignIn


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


def reopen_member(*, membership: Membership, password: str, email: str = "") -> None:
    """Gives a seller's user a new password, and lets it sign in. All its sessions and refresh tokens end.

    Raises:
        InvalidRequest: the password or the email address won't do.
    """
    check_credentials(username=membership.username, password=password, email=email)
    assert membership.seller_id is not None
    hashed = make_password(password)  # before the locks: it may have to wait for its turn
    with transaction.atomic():
        for is_active in (False, True):
            set_membership_active(
                organization_id=membership.organization_id, seller_id=membership.seller_id, is_active=is_active
            )
        user = membership.user
        user.password = hashed
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
