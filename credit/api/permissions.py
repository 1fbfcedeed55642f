"""Sellers who may read: the flag is looked up, since a token outlives a switch-off by minutes."""

from rest_framework.request import Request

from credit.queries import seller_is_active
from shared.errors import SellerInactive
from shared.identity.tokens import Principal
from shared.rest.permissions import IsSeller


class IsActiveSeller(IsSeller):
    """A seller who is not switched off (a clear 403 for one who is)."""

    def has_permission(self, request: Request, view: object) -> bool:
        if not super().has_permission(request, view):
            return False
        assert isinstance(request.user, Principal)
        if request.user.seller_id is None or not seller_is_active(request.user.seller_id):
            raise SellerInactive
        return True


def own_seller_id(request: Request) -> int | None:
    """The seller that a list is narrowed to: the caller's own id, or None for an admin, who sees all."""
    assert isinstance(request.user, Principal)
    return request.user.seller_id
