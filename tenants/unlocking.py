"""Frees who is locked out of signing in: by the wrong tries that were counted (see shared/identity/lockout.py), or by
second factors that were lost. For an operator of the server."""

from ipaddress import ip_address

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django_tenants.utils import tenant_context

from shared.audit import record
from shared.errors import InvalidRequest, NotFound
from shared.identity.lockout import forget_address, forget_name
from shared.identity.realm import PLATFORM, Realm
from shared.members.services import change_member
from shared.models import Membership, User
from tenants.queries import organization_by_slug


def unlock_name(*, username: str, organization: str | None) -> int:
    """Forgets what was tried for this name, of an organization (its slug) or of the platform, from wherever it was.

    Returns how many counters there were.

    Raises:
        NotFound: there is no such organization, or no such account in it.
    """
    username = AbstractBaseUser.normalize_username(username)
    if organization is None:
        if not User.objects.exclude(platform_role="").filter(username=username).exists():
            raise NotFound(f"There is no platform user {username!r}.")
        with transaction.atomic():
            return _forget(PLATFORM, username)
    row = organization_by_slug(organization)
    if not Membership.objects.filter(organization_id=row.pk, username=username).exists():
        raise NotFound(f"There is no {username!r} in the organization {organization}.")
    with tenant_context(row), transaction.atomic():
        return _forget(Realm(row.pk, row.slug), username)


def _forget(realm: Realm, username: str) -> int:
    counters = forget_name(realm=realm, username=username)
    record("sign_in.unlocked", username)
    return counters


def unlock_address(*, address: str) -> int:
    """Forgets what was tried from this address, of whatever name and organization; returns how many counters that were.

    Raises:
        InvalidRequest: it is no address.
    """
    try:
        ip_address(address)
    except ValueError:
        raise InvalidRequest.of_field("address", "invalid", "This is no IP address.") from None
    with transaction.atomic():
        counters = forget_address(address=address)
        record("address.unlocked", address)
    return counters


def reset_second_factor(*, username: str, organization: str | None) -> bool:
    """Takes away the second factors that somebody has lost, of an organization (its slug) or of the platform: of an
    only admin, for whom no other can do it. All that is signed in ends by that. False: there were none.

    Raises:
        NotFound: there is no such organization, or no such account in it.
    """
    told: list[User] = []
    if organization is None:
        change_member(realm=PLATFORM, username=username, second_factor=False, when_reset=told.append)
    else:
        row = organization_by_slug(organization)
        with tenant_context(row):
            realm = Realm(row.pk, row.slug)
            change_member(realm=realm, username=username, second_factor=False, when_reset=told.append)
    return bool(told)
