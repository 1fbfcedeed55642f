"""The tree of sellers: who sells for whom. A dealer is a seller with others below him, of whatever role. It runs on the
organization's schema (``tenant_context``)."""

from django.db import connection
from django.db.models import Count, QuerySet

from credit.errors import NotATree, OtherSellerInactive
from credit.models import DEEPEST_TREE, Seller
from shared.audit import record
from shared.database import call_function, lock_seller
from shared.errors import InvalidRequest, NotFound

_TREE = 0
"""The number of no seller: in its place, trees have a lock."""


def lock_tree(organization_id: int) -> None:
    """Takes the lock of the organization's tree until the transaction ends. Whoever takes a seller's lock as well takes
    this one first.

    Raises:
        SellerBusy: it was not granted in time.
    """
    lock_seller(organization_id, _TREE)


def place_seller(
    *, organization_id: int, schema_name: str, seller_id: int, parent_id: int | None, is_new: bool = False
) -> None:
    """Has a seller sell for ``parent_id`` (None: for nobody), with all who are below him. A part of the caller's
    transaction, which holds the tree's lock. It is recorded here, unless the seller
    ``is_new``: then the caller records it.

    Raises:
        NotFound: there is no such seller.
        InvalidRequest: there is no such parent.
        OtherSellerInactive: the parent is switched off.
        NotATree: the parent is the seller or below him, or there would be a sixth level.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    assert connection.in_atomic_block
    outcome, before = call_function(
        schema_name, "seller_place", "outcome, former_parent_id", [organization_id, seller_id, parent_id]
    )
    match outcome:
        case "placed" if is_new:
            return
        case "placed":
            record("seller.moved", str(seller_id), before={"parent_id": before}, after={"parent_id": parent_id})
        case "unchanged":
            return
        case "no_seller":
            raise NotFound("There is no such seller.")
        case "no_parent":
            raise InvalidRequest.of_field("parent_id", "no_such_seller", "There is no such seller.")
        case "parent_inactive":
            raise OtherSellerInactive("The parent was switched off; nothing was done.")
        case "not_a_tree":
            raise NotATree(most=DEEPEST_TREE)
        case _:
            raise AssertionError(outcome)


def leave_requests(*, schema_name: str, dealer_id: int) -> None:
    """Leaves to the organization what was asked of a dealer and waits: he is being switched off. A part of the caller's
    transaction, which holds the dealer's lock and that of his row."""
    assert connection.in_atomic_block
    call_function(schema_name, "credit_requests_leave", "*", [dealer_id])


def branch_of(dealer_id: int) -> QuerySet[Seller]:
    """All sellers below a dealer, however deep."""
    return Seller.objects.filter(ancestors__contains=[dealer_id])


def children_of(dealer_id: int) -> QuerySet[Seller]:
    """The sellers whose parent a dealer is."""
    return Seller.objects.filter(parent=dealer_id)


def seller_below(dealer_id: int, seller_id: int) -> Seller:
    """A seller of the dealer's branch.

    Raises:
        NotFound: there is none, or he is not below the dealer; which of the two is not told.
    """
    seller = branch_of(dealer_id).filter(pk=seller_id).first()
    if seller is None:
        raise NotFound("There is no such seller.")
    return seller


def related_to(seller_id: int) -> QuerySet[Seller]:
    """Whom a seller may give credit to: the parent and the children."""
    parents = Seller.objects.filter(pk=seller_id, parent__isnull=False).values("parent")
    return Seller.objects.filter(parent=seller_id) | Seller.objects.filter(pk__in=parents)


def numbers_below(seller_ids: list[int]) -> dict[int, int]:
    """How many children each of these sellers has, by id; those that have none are left out."""
    rows = Seller.objects.filter(parent__in=seller_ids).order_by().values_list("parent")
    return {parent: number for parent, number in rows.annotate(number=Count("pk")) if parent is not None}


def place_of(seller_id: int) -> tuple[bool, bool]:
    """Whether a seller has a parent, and whether he has children; one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM credit_seller WHERE id = %(id)s AND parent_id IS NOT NULL),"
            " EXISTS (SELECT FROM credit_seller WHERE parent_id = %(id)s)",
            {"id": seller_id},
        )
        has_parent, has_children = cursor.fetchone()
    return has_parent, has_children
