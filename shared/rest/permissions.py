"""Who may call a view. What a role may do comes from the table, and the role from the token; what must hold at once is
looked up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from shared.errors import TokenExpired, TokenInvalid
from shared.identity.accounts import account_of
from shared.identity.keys import living_key_of
from shared.identity.permissions import Permission
from shared.identity.queries import MemberState, organization_member, platform_user
from shared.identity.realm import realm_of
from shared.identity.roles import Scope, may, role_named
from shared.identity.tokens import Principal
from shared.second_factor.errors import SecondFactorMissing


class Authenticated(BasePermission):
    """Anyone whose token is good on this host."""

    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.user, Principal)


class OwnAccount(BasePermission):
    """A person, about the own account: whoever has an account here that stands, and no program. Also who has yet to
    enrol a second factor.

    Raises:
        SellerInactive, PermissionDenied: the account was switched off, or is another one by now.
    """

    def has_permission(self, request: Request, view: object) -> bool:
        user = request.user
        if not isinstance(user, Principal) or user.user_id is None:
            return False
        realm = realm_of(request._request)
        if realm.is_platform:
            return _is_signed_in(user, platform_user(user_id=user.user_id, family=user.family))
        found = _member_now(user, realm.require_organization_id())
        if found is None:
            account_of(realm=realm, user_id=user.user_id)  # says why
        return _is_signed_in(user, found)


class OwnSessions(OwnAccount):
    """The same, but for who has yet to enrol a second factor."""

    def has_permission(self, request: Request, view: object) -> bool:
        if isinstance(request.user, Principal) and request.user.lacks_second_factor:
            raise SecondFactorMissing
        return super().has_permission(request, view)


@dataclass(frozen=True, slots=True)
class AskedInStatement:
    """A permission whose view ends in a statement that asks itself whether the seller is active."""

    permission: Permission


Needed = Permission | AskedInStatement

_CHANGES = {"POST", "PUT", "PATCH", "DELETE"}


class Needs(BasePermission):
    """The permission that a view needs, now and not only when the token was issued: see :func:`needs`."""

    usual: ClassVar[Needed]
    by_method: ClassVar[Mapping[str, Needed]]

    def has_permission(self, request: Request, view: object) -> bool:
        user, needed = request.user, self.by_method.get(request.method or "", self.usual)
        permission = needed.permission if isinstance(needed, AskedInStatement) else needed
        if isinstance(user, Principal) and user.lacks_second_factor:
            raise SecondFactorMissing
        if not (isinstance(user, Principal) and may(user, permission)):
            return False
        match role_named(user.role).scope:
            case Scope.PLATFORM:
                return _is_signed_in(user, platform_user(user_id=user.user_id, family=user.family))
            case Scope.ALL_SELLERS:
                organization_id = realm_of(request._request).organization_id
                if organization_id is None:  # what somebody is in an organization counts nothing on the platform's host
                    return False
                if user.key_id is not None:
                    return living_key_of(user, organization_id=organization_id) is not None
                return _is_signed_in(user, _member_now(user, organization_id))
            case Scope.OWN_SELLER:
                if isinstance(needed, AskedInStatement):
                    return True
                if request.method in _CHANGES:
                    organization_id = realm_of(request._request).require_organization_id()
                    if user.key_id is not None:
                        living_key_of(user, organization_id=organization_id)
                    else:
                        return self.is_of_active_seller(user) and _is_signed_in(
                            user, _member_now(user, organization_id)
                        )
                return self.is_of_active_seller(user)

    def is_of_active_seller(self, principal: Principal) -> bool:
        """Whether the seller of this token is active. Nobody's is on a host that has no sellers."""
        return False


def needs(usual: Needed, *, kind: type[Needs] = Needs, **by_method: Needed) -> type[Needs]:
    """What a view's ``permission_classes`` has: ``needs(Permission.VIEW_SELLERS, POST=Permission.MANAGE_SELLERS)``.

    ``usual`` is for every method that is not named, those that the view does not have among them.
    """
    assert by_method.keys() <= _CHANGES, by_method  # a misspelt one would be let through by what is usual
    return type("Needs", (kind,), {"usual": usual, "by_method": by_method})


def _member_now(principal: Principal, organization_id: int) -> MemberState | None:
    return organization_member(organization_id=organization_id, user_id=principal.user_id, family=principal.family)


def _is_signed_in(principal: Principal, state: MemberState | None) -> bool:
    """Whether this is a member with the token's role whose sign-in still stands; ``state`` is what is stored, None for
    no such member any longer.

    Raises:
        TokenInvalid: the password was changed since, or the session was ended.
        TokenExpired: something else was, which a new token knows of.
    """
    if state is None:
        return False
    if principal.family is not None and not state.is_signed_in:
        raise TokenInvalid("This session has ended; sign in again.")
    if principal.password is not None and principal.password != state.password_mark:
        raise TokenInvalid("The password was changed; sign in again.")
    if principal.epoch < state.epoch:
        raise TokenExpired("What this token may do was changed since it was issued; refresh it and try again.")
    return principal.role == state.role
