"""Who may call a view. Roles come from the token; what must hold at once is looked up."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from shared.models import Membership, User
from shared.realm import realm_of
from shared.tokens import ADMIN, PLATFORM_ADMIN, SELLER, Principal


class Authenticated(BasePermission):
    """Anyone whose token is good on this host."""

    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.user, Principal)


class IsPlatformAdmin(BasePermission):
    """A platform admin, now and not only when the token was issued."""

    def has_permission(self, request: Request, view: object) -> bool:
        user = request.user
        return (
            isinstance(user, Principal)
            and user.role == PLATFORM_ADMIN
            and User.objects.filter(pk=user.user_id, is_superuser=True, is_active=True).exists()
        )


class IsOrganizationAdmin(BasePermission):
    """An admin of the host's organization, now and not only when the token was issued."""

    def has_permission(self, request: Request, view: object) -> bool:
        user = request.user
        return (
            isinstance(user, Principal)
            and user.role == ADMIN
            and Membership.objects.filter(
                user_id=user.user_id,
                organization_id=realm_of(request._request).require_organization_id(),
                role=ADMIN,
                is_active=True,
                user__is_active=True,
            ).exists()
        )


class IsSeller(BasePermission):
    """A seller by the token. The seller's own flag is checked where the seller's rows are read or written."""

    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.user, Principal) and request.user.role == SELLER
