"""What a dealer sees and does below him, over HTTP: here and not in credit, since what was sold is recharges.

Whoever is not below the caller is 404 in all of it, as if there were no such seller.
"""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from credit import queries as credit_queries
from credit import services as credit_services
from credit import transfers, tree
from credit.api.credit import (
    CreditRequestSerializer,
    EntrySerializer,
    NewSellerSerializer,
    RejectionSerializer,
    decider,
    rendered_entry,
)
from credit.api.permissions import needs
from credit.models import CreditRequest, Entry, Seller
from recharge.api.recharges import RechargeSerializer, rendered_row
from recharge.models import Recharge
from recharge.selling import queries
from recharge.selling.branch import BranchSeller, shown_to_dealer
from shared.horizon import horizon_of
from shared.identity.permissions import Permission
from shared.identity.queries import seller_usernames
from shared.identity.roles import own_seller_of
from shared.rest.authentication import require_principal
from shared.rest.fields import StrictBooleanField, StrictSerializer, TimeParameter
from shared.rest.idempotency import replayed
from shared.rest.openapi import REPLAYED
from shared.rest.pagination import CREATED_FROM, PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.views import APIView
from tenants.routing import organization_of


class BranchSellerSerializer(serializers.Serializer[Seller]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    username = serializers.SerializerMethodField()
    parent_id = serializers.IntegerField()
    is_active = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    balance = serializers.SerializerMethodField(help_text="Tomans.")
    sales_today = serializers.SerializerMethodField(help_text="Recharges of the organization's day that did not fail.")
    sold_today = serializers.SerializerMethodField(help_text="Their Tomans.")
    children = serializers.SerializerMethodField(help_text="How many sell for this one.")

    def get_username(self, seller: Seller) -> str:
        usernames: dict[int, str] = self.context["usernames"]
        return usernames.get(seller.pk, "")

    def get_balance(self, seller: Seller) -> int:
        return self._of(seller).balance

    def get_sales_today(self, seller: Seller) -> int:
        return self._of(seller).sales_today

    def get_sold_today(self, seller: Seller) -> int:
        return self._of(seller).sold_today

    def get_children(self, seller: Seller) -> int:
        return self._of(seller).children

    def _of(self, seller: Seller) -> BranchSeller:
        shown: dict[int, BranchSeller] = self.context["shown"]
        return shown[seller.pk]


class SwitchSerializer(StrictSerializer):
    is_active = StrictBooleanField()


def _context(request: Request, sellers: list[Seller]) -> dict[str, Any]:
    organization_id = organization_of(request._request).pk
    return {
        "usernames": seller_usernames(organization_id=organization_id, seller_ids=[one.pk for one in sellers]),
        "shown": {one.seller.pk: one for one in shown_to_dealer(sellers)},
    }


def _response(request: Request, seller: Seller, status_code: int = status.HTTP_200_OK) -> Response:
    return Response(BranchSellerSerializer(seller, context=_context(request, [seller])).data, status=status_code)


def _dealer(request: Request) -> int:
    return own_seller_of(require_principal(request))


class BranchView(APIView):
    permission_classes = (needs(Permission.VIEW_BRANCH, POST=Permission.MANAGE_BRANCH),)

    @extend_schema(parameters=[PageQuery], responses=page_serializer(BranchSellerSerializer))
    def get(self, request: Request) -> Response:
        """All sellers below the caller, however deep, newest first; none where nobody sells for the caller."""
        query = PageQuery.read(request)
        rows = tree.branch_of(_dealer(request))
        return page_of(request, rows, query, BranchSellerSerializer, context=lambda rows: _context(request, rows))

    @extend_schema(request=NewSellerSerializer, responses={201: BranchSellerSerializer})
    def post(self, request: Request) -> Response:
        """Add a seller who sells for the caller, and the user who signs in as this seller."""
        body = NewSellerSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        seller = credit_services.create_seller(
            organization=organization_of(request._request), parent_id=_dealer(request), **body.validated_data
        )
        return _response(request, seller, status.HTTP_201_CREATED)


class BranchSellerView(APIView):
    permission_classes = (needs(Permission.VIEW_BRANCH, PATCH=Permission.MANAGE_BRANCH),)

    @extend_schema(responses=BranchSellerSerializer)
    def get(self, request: Request, child_id: int) -> Response:
        """One seller below the caller."""
        return _response(request, tree.seller_below(_dealer(request), child_id))

    @extend_schema(request=SwitchSerializer, responses=BranchSellerSerializer)
    def patch(self, request: Request, child_id: int) -> Response:
        """Switch off a seller who sells for the caller himself (not for one below), or on again.

        A seller whom the organization has switched off is switched on by it alone: 403.
        """
        body = SwitchSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        seller = credit_services.switch_child(
            organization=organization_of(request._request),
            dealer_id=_dealer(request),
            seller_id=child_id,
            is_active=body.validated_data["is_active"],
        )
        return _response(request, seller)


# --- What they sell and have ------------------------------------------------------------------------------------------


class _PeriodQuery(PageQuery):
    created_from = TimeParameter(required=False, help_text=CREATED_FROM)
    created_to = TimeParameter(required=False, help_text="Before this moment.")


class BranchEntryQuery(_PeriodQuery):
    kind = serializers.ChoiceField(Entry.Kind.choices, required=False)


class BranchRechargeQuery(_PeriodQuery):
    status = serializers.ChoiceField(Recharge.Status.choices, required=False)


def _filters(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if name not in PageQuery().fields}


class BranchEntriesView(APIView):
    permission_classes = (needs(Permission.VIEW_BRANCH),)

    @extend_schema(parameters=[BranchEntryQuery], responses=page_serializer(EntrySerializer))
    def get(self, request: Request, child_id: int) -> Response:
        """The statement of one seller below the caller, newest first."""
        query = BranchEntryQuery.read(request)
        seller = tree.seller_below(_dealer(request), child_id)
        rows = credit_queries.entries(seller_id=seller.pk, **_filters(query))
        by = credit_queries.order_of_entries(seller.pk)
        return page_of(request, rows, query, EntrySerializer, by=by, render=rendered_entry)


class BranchRechargesView(APIView):
    permission_classes = (needs(Permission.VIEW_BRANCH),)

    @extend_schema(parameters=[BranchRechargeQuery], responses=page_serializer(RechargeSerializer))
    def get(self, request: Request, child_id: int) -> Response:
        """What one seller below the caller has sold, newest first."""
        query = BranchRechargeQuery.read(request)
        seller = tree.seller_below(_dealer(request), child_id)
        rows = queries.recharges(seller_id=seller.pk, **_filters(query))
        return page_of(request, rows, query, RechargeSerializer, render=rendered_row)


# --- What they ask for ------------------------------------------------------------------------------------------------


class BranchRequestQuery(PageQuery):
    status = serializers.ChoiceField(CreditRequest.Status.choices, required=False)


def _decided(written: credit_services.Written[CreditRequest]) -> Response:
    response = Response(CreditRequestSerializer(written.row).data)
    return replayed(response) if written.is_replay else response


class BranchRequestsView(APIView):
    permission_classes = (needs(Permission.VIEW_BRANCH),)

    @extend_schema(parameters=[BranchRequestQuery], responses=page_serializer(CreditRequestSerializer))
    def get(self, request: Request) -> Response:
        """The credit requests that were asked of the caller, newest first (see `requests_go_to_parent` of the
        settings)."""
        query = BranchRequestQuery.read(request)
        rows = transfers.requests_to(_dealer(request), **_filters(query))
        # Those of several sellers: any of them may still be writing one.
        horizon = horizon_of(organization_id=organization_of(request._request).pk)
        return page_of(request, rows, query, CreditRequestSerializer, horizon=horizon)


class BranchRequestView(APIView):
    permission_classes = (needs(Permission.VIEW_BRANCH),)

    @extend_schema(responses=CreditRequestSerializer)
    def get(self, request: Request, asked_id: UUID) -> Response:
        """One of them."""
        return Response(CreditRequestSerializer(transfers.request_to(_dealer(request), asked_id)).data)


class _Decision(APIView):
    permission_classes = (needs(Permission.MANAGE_BRANCH),)
    answers_replays = True


@extend_schema_view(post=extend_schema(parameters=[REPLAYED], request=None, responses=CreditRequestSerializer))
class ApproveBranchRequestView(_Decision):
    def post(self, request: Request, asked_id: UUID) -> Response:
        """Approve: its amount goes from the caller's balance to the child's, by a transfer, before this answers.

        A balance that does not bear it is 402, and the request still waits. The same decision again changes nothing.
        """
        StrictSerializer(data=body_of(request)).is_valid(raise_exception=True)
        return _decided(
            transfers.approve_request_of_child(
                organization=organization_of(request._request),
                dealer_id=_dealer(request),
                request_id=asked_id,
                **decider(request),
            )
        )


@extend_schema_view(
    post=extend_schema(parameters=[REPLAYED], request=RejectionSerializer, responses=CreditRequestSerializer)
)
class RejectBranchRequestView(_Decision):
    def post(self, request: Request, asked_id: UUID) -> Response:
        """Reject, with a reason for the child. The same decision again changes nothing."""
        body = RejectionSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        return _decided(
            transfers.reject_request_of_child(
                organization=organization_of(request._request),
                dealer_id=_dealer(request),
                request_id=asked_id,
                reason=body.validated_data["reason"],
                **decider(request),
            )
        )
