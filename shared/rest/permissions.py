"""Who may call a view. Roles come from the token; what must hold at once is looked up."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from shared.errors import TokenInvalid
from shared.identity.queries import AdminsState, organization_admin, platform_admin
from shared.identity.realm import realm_of
from shared.identity.tokens import ADMIN, PLATFORM_ADMIN, SELLER, Principal


class Authenticated(BasePermission):
    """Anyone whose token is good on this host."""

    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.user, Principal)


class IsPlatformAdmin(BasePermission):
    """A platform admin, now and not only when the token was issued."""

    def has_permission(self, request: Request, view: object) -> bool:
        user = request.user
        if not (isinstance(user, Principal) and user.role == PLATFORM_ADMIN):
            return False
        return _is_signed_in(user, platform_admin(user_id=user.user_id, family=user.family))


class IsOrganizationAdmin(BasePermission):
    """An admin of the host's organization, now and not only when the token was issued."""

    def has_permission(self, request: Request, view: object) -> bool:
        user = request.user
        if not (isinstance(user, Principal) and user.role == ADMIN):
            return False
        organization_id = realm_of(request._request).require_organization_id()
        found = organization_admin(organization_id=organization_id, user_id=user.user_id, family=user.family)
        return _is_signed_in(user, found)


def _is_signed_in(principal: Principal, state: AdminsState | None) -> bool:
    """Whether this is an admin whose sign-in still stands; ``state`` is what is stored, None for no admin any longer.

    Raises:
        TokenInvalid: the password was changed since, or the session was ended.
    """
    if state is None:
        return False
    if principal.family is not None and not state.is_signed_in:
        raise TokenInvalid("This session has ended; sign in again.")
    if principal.password is not None and principal.password != state.password_mark:
        raise TokenInvalid("The password was changed; sign in again.")
    return True


class IsSeller(BasePermission):
    """A seller by the token. The seller's own flag is checked where the seller's rows are read or written."""

    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.user, Principal) and request.user.role == SELLER
