"""Sellers, statements and credit requests over HTTP."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from credit import queries, services
from credit.api.permissions import needs, own_seller_id
from credit.errors import AlreadyDecided
from credit.models import CreditRequest, Entry, Seller
from credit.slips.answers import slip_response
from credit.slips.pictures import CONTENT_TYPES, LARGEST_SLIP, Picture, read_picture
from credit.slips.services import put_slip, slip_in_view
from shared.database import LARGEST_ID
from shared.errors import InvalidRequest, UnsupportedMediaType
from shared.horizon import Horizon, horizon_of
from shared.identity.permissions import Permission
from shared.identity.queries import seller_usernames, username_of
from shared.identity.realm import realm_of
from shared.identity.roles import own_seller_of
from shared.pagination import settled
from shared.rest.authentication import require_principal
from shared.rest.fields import (
    IdParameter,
    PasswordField,
    ReadableField,
    StrictBooleanField,
    StrictSerializer,
    StringField,
    TimeParameter,
    TomansField,
    WholeNumberField,
)
from shared.rest.idempotency import idempotency_key_of, replayed
from shared.rest.openapi import IDEMPOTENCY_KEY, REPLAYED
from shared.rest.pagination import CREATED_FROM, PageQuery, Query, page_of, page_serializer, plain_row
from shared.rest.parsers import body_of
from shared.rest.permissions import AskedInStatement
from shared.rest.renderers import CSVRenderer, JSONRenderer, PictureRenderer
from shared.rest.views import APIView
from tenants.exports import csv_response, lines_of
from tenants.routing import organization_of

# --- Sellers ----------------------------------------------------------------------------------------------------------


class NewSellerSerializer(StrictSerializer):
    name = ReadableField(max_length=200)
    username = StringField(max_length=150)
    password = PasswordField()


class NewPlacedSellerSerializer(NewSellerSerializer):
    parent_id = WholeNumberField(
        least=1,
        most=LARGEST_ID,
        required=False,
        allow_null=True,
        help_text="The seller for whom he sells; null: nobody.",
    )


class SellerChangeSerializer(StrictSerializer):
    name = ReadableField(max_length=200, required=False)
    is_active = StrictBooleanField(required=False)
    parent_id = WholeNumberField(
        least=1,
        most=LARGEST_ID,
        required=False,
        allow_null=True,
        help_text="The seller for whom he sells, with all below him; null: nobody. There are at most five levels.",
    )
    alert_below = TomansField(
        required=False,
        allow_null=True,
        help_text="Tomans. When the balance falls below it, the seller is told, once. Null: never.",
    )


class SellerSerializer(serializers.Serializer[Seller]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    username = serializers.SerializerMethodField()
    is_active = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    parent_id = serializers.IntegerField(allow_null=True, help_text="The dealer for whom he sells; null: nobody.")
    alert_below = serializers.IntegerField(
        source="account.alert_below", allow_null=True, help_text="Tomans. Null: nobody is told."
    )
    owed = serializers.SerializerMethodField(help_text="Tomans, of late charges that the balance did not bear.")

    def get_owed(self, seller: Seller) -> int:
        owed: dict[int, int] = self.context["owed"]
        return owed.get(seller.pk, 0)

    def get_username(self, seller: Seller) -> str:
        usernames: dict[int, str] = self.context["usernames"]
        return usernames.get(seller.pk, "")


def _seller_response(request: Request, seller: Seller, status_code: int = 200) -> Response:
    usernames = seller_usernames(organization_id=organization_of(request._request).pk, seller_ids=[seller.pk])
    context = {"usernames": usernames, "owed": queries.owed_by([seller.pk])}
    return Response(SellerSerializer(seller, context=context).data, status=status_code)


class SellersView(APIView):
    permission_classes = (needs(Permission.VIEW_SELLERS, POST=Permission.MANAGE_SELLERS),)

    @extend_schema(parameters=[PageQuery], responses=page_serializer(SellerSerializer))
    def get(self, request: Request) -> Response:
        """All sellers, newest first."""
        organization_id = organization_of(request._request).pk
        return page_of(
            request,
            queries.sellers().select_related("account"),
            PageQuery.read(request),
            SellerSerializer,
            context=lambda rows: {
                "usernames": seller_usernames(
                    organization_id=organization_id, seller_ids=[seller.pk for seller in rows]
                ),
                "owed": queries.owed_by([seller.pk for seller in rows]),
            },
        )

    @extend_schema(request=NewPlacedSellerSerializer, responses={201: SellerSerializer})
    def post(self, request: Request) -> Response:
        """Add a seller, and the user who signs in as this seller."""
        body = NewPlacedSellerSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        seller = services.create_seller(organization=organization_of(request._request), **body.validated_data)
        return _seller_response(request, seller, status.HTTP_201_CREATED)


class SellerView(APIView):
    permission_classes = (needs(Permission.VIEW_SELLERS, PATCH=Permission.MANAGE_SELLERS),)

    @extend_schema(responses=SellerSerializer)
    def get(self, request: Request, seller_id: int) -> Response:
        """One seller."""
        return _seller_response(request, queries.seller_by_id(seller_id))

    @extend_schema(request=SellerChangeSerializer, responses=SellerSerializer)
    def patch(self, request: Request, seller_id: int) -> Response:
        """Rename a seller, switch one off or on, settle below which balance the seller is told (`alert_below`), or
        place one below another (`parent_id`), with all who are below him.

        Those below a seller who is switched off go on selling: on credit of their own.
        """
        body = SellerChangeSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        seller = services.update_seller(
            organization=organization_of(request._request), seller_id=seller_id, **body.validated_data
        )
        return _seller_response(request, seller)


# --- Entries ----------------------------------------------------------------------------------------------------------


class EntrySerializer(serializers.ModelSerializer[Entry]):
    seller_id = serializers.IntegerField()

    class Meta:
        model = Entry
        fields = queries.ENTRY_COLUMNS


def rendered_entry(entry: Entry) -> dict[str, Any]:
    """As the serializer does."""
    return plain_row(entry, queries.ENTRY_COLUMNS)


class EntryFilters(Query):
    seller_id = IdParameter(required=False, help_text="Admins only.")
    kind = serializers.ChoiceField(Entry.Kind.choices, required=False)
    created_from = TimeParameter(required=False, help_text=CREATED_FROM)
    created_to = TimeParameter(required=False, help_text="Before this moment.")


class EntryQuery(EntryFilters, PageQuery):
    pass


def narrow_to_own(request: Request, query: dict[str, Any]) -> dict[str, Any]:
    """The filters of a list, narrowed to the caller's own rows if the caller is a seller.

    Raises:
        InvalidRequest: a seller names a seller, which is for admins.
    """
    filters = {name: value for name, value in query.items() if name not in PageQuery().fields}
    own = own_seller_id(request)
    if own is not None:
        if "seller_id" in filters:
            raise InvalidRequest.of_field("seller_id", "unknown_parameter", "This filter is for admins.")
        filters["seller_id"] = own
    return filters


def horizon_of_list(request: Request, filters: dict[str, Any]) -> Horizon | None:
    """Up to where a list with these filters is all there, if its rows are written under their sellers' locks."""
    return horizon_of(organization_id=organization_of(request._request).pk, seller_id=filters.get("seller_id"))


class EntriesView(APIView):
    permission_classes = (needs(Permission.VIEW_ENTRIES),)

    @extend_schema(parameters=[EntryQuery], responses=page_serializer(EntrySerializer))
    def get(self, request: Request) -> Response:
        """The statement, newest first: a seller's own, or all sellers' for an admin.

        One seller's entries are in the order of their numbers.
        """
        query = EntryQuery.read(request)
        filters = narrow_to_own(request, query)
        horizon = horizon_of_list(request, filters)
        by = queries.order_of_entries(filters.get("seller_id"))
        return page_of(
            request, queries.entries(**filters), query, EntrySerializer, horizon=horizon, by=by, render=rendered_entry
        )


class EntriesExportView(APIView):
    permission_classes = (needs(Permission.VIEW_ENTRIES),)
    renderer_classes = (CSVRenderer, JSONRenderer)

    @extend_schema(parameters=[EntryFilters], responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponseBase:
        """The same as CSV, all of it."""
        filters = narrow_to_own(request, EntryFilters.read(request))
        organization = organization_of(request._request)
        exported = settled(queries.entries(**filters), filters, horizon_of_list(request, filters))

        def rows(**after: Any) -> Any:
            return exported.filter(**after)

        return csv_response(
            filename="entries.csv",
            columns=queries.ENTRY_COLUMNS,
            pages=lines_of(
                organization, rows, queries.ENTRY_COLUMNS, queries.order_of_entries(filters.get("seller_id"))
            ),
            request=request._request,
            person=request.user.pk,
            filters=filters,
        )


# --- Credit requests --------------------------------------------------------------------------------------------------


class NewCreditRequestSerializer(StrictSerializer):
    amount = TomansField()
    note = ReadableField(max_length=500, required=False, allow_blank=True, default="", lines=True)
    bank_reference = ReadableField(
        max_length=100,
        required=False,
        help_text="Of the payment that it is asked for; no other request that is not rejected may have it. Blanks "
        "between digits are left out, and digits kept as ASCII's.",
    )


class RejectionSerializer(StrictSerializer):
    reason = ReadableField(max_length=500, lines=True)


class CreditRequestSerializer(serializers.ModelSerializer[CreditRequest]):
    seller_id = serializers.IntegerField()
    decided_by = serializers.SerializerMethodField()
    bank_reference = serializers.SerializerMethodField()
    parent_id = serializers.IntegerField(
        allow_null=True, help_text="The dealer of whom it was asked, who gives of his own; null: the organization."
    )
    approvals = serializers.IntegerField(
        help_text="How many people have approved it: a large one (`four_eyes_from` of the settings) needs two, and is "
        "pending with 1 until the second approves it, too."
    )

    class Meta:
        model = CreditRequest
        fields = queries.CREDIT_REQUEST_COLUMNS

    def get_bank_reference(self, request: CreditRequest) -> str | None:
        return request.bank_reference or None

    def get_decided_by(self, request: CreditRequest) -> str | None:
        return request.decided_by or None


class CreditRequestQuery(PageQuery):
    status = serializers.ChoiceField(CreditRequest.Status.choices, required=False)
    seller_id = IdParameter(required=False, help_text="Admins only.")


def credit_request_response(written: services.Written[CreditRequest], status_code: int) -> Response:
    data = CreditRequestSerializer(written.row).data
    return replayed(Response(data)) if written.is_replay else Response(data, status=status_code)


@extend_schema_view(
    get=extend_schema(parameters=[CreditRequestQuery], responses=page_serializer(CreditRequestSerializer)),
    post=extend_schema(
        parameters=[IDEMPOTENCY_KEY, REPLAYED],
        request=NewCreditRequestSerializer,
        responses={200: CreditRequestSerializer, 201: CreditRequestSerializer},
    ),
)
class CreditRequestsView(APIView):
    permission_classes = (needs(Permission.VIEW_CREDIT_REQUESTS, POST=AskedInStatement(Permission.ASK_FOR_CREDIT)),)
    answers_replays = True

    def get(self, request: Request) -> Response:
        """Credit requests, newest first: a seller's own, or all for an admin."""
        query = CreditRequestQuery.read(request)
        filters = narrow_to_own(request, query)
        rows, horizon = queries.credit_requests(**filters), horizon_of_list(request, filters)
        return page_of(request, rows, query, CreditRequestSerializer, horizon=horizon)

    def post(self, request: Request) -> Response:
        """Ask for credit."""
        key = idempotency_key_of(request._request)
        body = NewCreditRequestSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        principal = require_principal(request)
        written = services.create_credit_request(
            organization=organization_of(request._request),
            seller_id=own_seller_of(principal),
            idempotency_key=key,
            access=principal.access,
            **body.validated_data,
        )
        return credit_request_response(written, status.HTTP_201_CREATED)


class CreditRequestView(APIView):
    permission_classes = (needs(Permission.VIEW_CREDIT_REQUESTS),)

    @extend_schema(responses=CreditRequestSerializer)
    def get(self, request: Request, request_id: UUID) -> Response:
        """One credit request."""
        row = queries.credit_request_by_id(request_id, seller_id=own_seller_id(request))
        return Response(CreditRequestSerializer(row).data)


class SlipSerializer(serializers.Serializer[Picture]):
    content_type = serializers.ChoiceField([(one, one) for one in CONTENT_TYPES])
    sha256 = serializers.CharField(help_text="Of the picture as it is kept, in hexadecimal digits.")
    width = serializers.IntegerField(help_text="Pixels.")
    height = serializers.IntegerField(help_text="Pixels.")


class PictureParser(BaseParser):
    """Leaves the body as it is, of whatever type."""

    media_type = "*/*"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, bytes]:
        return {"picture": stream.read(LARGEST_SLIP + 1)}


_PICTURE = dict.fromkeys(CONTENT_TYPES, OpenApiTypes.BINARY)


class SlipView(APIView):
    permission_classes = (needs(Permission.VIEW_CREDIT_REQUESTS, PUT=Permission.ASK_FOR_CREDIT),)
    parser_classes = (PictureParser,)
    renderer_classes = (JSONRenderer, PictureRenderer)

    @extend_schema(responses={(200, content_type): OpenApiTypes.BINARY for content_type in CONTENT_TYPES})
    def get(self, request: Request, request_id: UUID) -> HttpResponseBase:
        """The picture of the slip, for who may see the request."""
        return slip_response(slip_in_view(request_id, seller_id=own_seller_id(request)))

    @extend_schema(request=_PICTURE, responses=SlipSerializer)
    def put(self, request: Request, request_id: UUID) -> Response:
        """Add the picture of a slip to an own request that waits, or put another in its place. The body is the picture
        itself, of up to 5 MiB. It is kept as it is seen: turned upright, at most 2,400 pixels wide and high, and
        without what else the file says (where it was taken, for example).
        """
        own = queries.credit_request_by_id(request_id, seller_id=own_seller_id(request))
        given = (request.content_type or "").partition(";")[0].strip().lower()
        if given not in CONTENT_TYPES:
            raise UnsupportedMediaType(f"Send the picture itself, as {', '.join(CONTENT_TYPES)}.")
        if own.status != CreditRequest.Status.PENDING:
            raise AlreadyDecided("This credit request was decided; its slip stays as it is.")
        picture = read_picture(body_of(request).get("picture", b""))
        principal = require_principal(request)
        put_slip(
            organization=organization_of(request._request),
            seller_id=own_seller_of(principal),
            request_id=request_id,
            picture=picture,
            access=principal.access,
        )
        return Response(SlipSerializer(picture).data)


class ApproveView(APIView):
    permission_classes = (needs(Permission.DECIDE_CREDIT_REQUESTS),)
    answers_replays = True

    @extend_schema(parameters=[REPLAYED], request=None, responses=CreditRequestSerializer)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Approve: the amount is on the balance when this answers. The same decision again changes nothing.

        A large request needs two people: the first approval leaves it `pending`, with `approvals` 1.
        """
        StrictSerializer(data=body_of(request)).is_valid(raise_exception=True)
        written = services.approve_credit_request(
            organization=organization_of(request._request), request_id=request_id, **decider(request)
        )
        return credit_request_response(written, status.HTTP_200_OK)


class RejectView(APIView):
    permission_classes = (needs(Permission.DECIDE_CREDIT_REQUESTS),)
    answers_replays = True

    @extend_schema(parameters=[REPLAYED], request=RejectionSerializer, responses=CreditRequestSerializer)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Reject, with a reason for the seller. The same decision again changes nothing."""
        body = RejectionSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        written = services.reject_credit_request(
            organization=organization_of(request._request),
            request_id=request_id,
            reason=body.validated_data["reason"],
            **decider(request),
        )
        return credit_request_response(written, status.HTTP_200_OK)


def decider(request: Request) -> dict[str, Any]:
    """Who decides, as the services take it."""
    principal = require_principal(request)
    assert principal.user_id is not None  # no program may decide
    username = username_of(principal, realm_of(request._request))
    return {"decided_by": username or "", "decided_by_id": principal.user_id, "access": principal.access}
