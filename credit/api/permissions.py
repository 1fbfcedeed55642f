"""Who may call a view of an organization. Whether a seller is active is looked up, since a token outlives a switch-off
by minutes."""

from rest_framework.request import Request

from credit.queries import seller_is_active
from shared.errors import SellerInactive
from shared.identity.roles import seller_in_view
from shared.identity.tokens import Principal
from shared.rest.authentication import require_principal
from shared.rest.permissions import Needed, Needs
from shared.rest.permissions import needs as needs_of_kind


class _NeedsActiveSeller(Needs):
    def is_of_active_seller(self, principal: Principal) -> bool:
        """A clear 403 for a seller who is switched off."""
        if principal.seller_id is None or not seller_is_active(principal.seller_id):
            raise SellerInactive
        return True


def needs(usual: Needed, **by_method: Needed) -> type[Needs]:
    """See :func:`shared.rest.permissions.needs`. Where somebody works for a seller, that seller must be active."""
    return needs_of_kind(usual, kind=_NeedsActiveSeller, **by_method)


def own_seller_id(request: Request) -> int | None:
    """The seller that a list is narrowed to; None for who sees all."""
    return seller_in_view(require_principal(request))
