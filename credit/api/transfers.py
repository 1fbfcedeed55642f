"""Transfers between a dealer and his children over HTTP."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from credit import transfers
from credit.api.credit import horizon_of_list, narrow_to_own
from credit.api.permissions import needs, own_seller_id
from credit.models import Transfer
from shared.database import LARGEST_ID
from shared.errors import InvalidRequest
from shared.identity.permissions import Permission
from shared.identity.roles import own_seller_of
from shared.rest.authentication import require_principal
from shared.rest.fields import (
    IdParameter,
    ReadableField,
    StrictSerializer,
    TimeParameter,
    TomansField,
    WholeNumberField,
)
from shared.rest.idempotency import idempotency_key_of, replayed
from shared.rest.openapi import IDEMPOTENCY_KEY, REPLAYED
from shared.rest.pagination import CREATED_FROM, PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.permissions import AskedInStatement
from shared.rest.views import APIView
from tenants.routing import organization_of


class NewTransferSerializer(StrictSerializer):
    to = WholeNumberField(least=1, most=LARGEST_ID, help_text="A seller's id: the parent, or a child.")
    amount = TomansField()
    note = ReadableField(max_length=500, required=False, allow_blank=True, default="", lines=True)


class TransferSerializer(serializers.Serializer[Transfer]):
    id = serializers.UUIDField()
    to = serializers.IntegerField(source="receiver_id", help_text="The seller who received it.")
    amount = serializers.IntegerField(help_text="Tomans.")
    note = serializers.CharField()
    balance_after = serializers.SerializerMethodField(
        help_text="What it left on the own balance, in Tomans; to who sees all sellers, on the giver's."
    )
    created_at = serializers.DateTimeField()
    credit_request_id = serializers.UUIDField(
        allow_null=True, help_text="The child's credit request that it answers; null: none."
    )

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        giver = serializers.IntegerField(source="giver_id", help_text="The seller who gave it.")
        return {"id": fields.pop("id"), "from": giver, **fields}  # a word that no attribute can be called

    def get_balance_after(self, row: Transfer) -> int:
        balances: dict[UUID, int] = self.context["balances"]
        return balances[row.pk]


class TransferQuery(PageQuery):
    seller_id = IdParameter(required=False, help_text="Given or received by this seller. Admins only.")
    direction = serializers.ChoiceField(
        [transfers.GIVEN, transfers.RECEIVED], required=False, help_text="By oneself, or by the seller of `seller_id`."
    )
    created_from = TimeParameter(required=False, help_text=CREATED_FROM)
    created_to = TimeParameter(required=False, help_text="Before this moment.")


def _context(shown: Sequence[transfers.Shown]) -> dict[str, Any]:
    return {"balances": {one.row.pk: one.balance_after for one in shown}}


def _response(shown: transfers.Shown, status_code: int = status.HTTP_200_OK) -> Response:
    return Response(TransferSerializer(shown.row, context=_context([shown])).data, status=status_code)


@extend_schema_view(
    get=extend_schema(parameters=[TransferQuery], responses=page_serializer(TransferSerializer)),
    post=extend_schema(
        parameters=[IDEMPOTENCY_KEY, REPLAYED],
        request=NewTransferSerializer,
        responses={200: TransferSerializer, 201: TransferSerializer},
    ),
)
class TransfersView(APIView):
    permission_classes = (needs(Permission.VIEW_TRANSFERS, POST=AskedInStatement(Permission.TRANSFER)),)
    answers_replays = True

    def get(self, request: Request) -> Response:
        """Transfers, newest first: what a seller has given and received, or all for an admin."""
        query = TransferQuery.read(request)
        filters = narrow_to_own(request, query)
        seller_id = filters.get("seller_id")
        if "direction" in filters and seller_id is None:
            raise InvalidRequest.of_field("direction", "without_seller", "Say whose, by seller_id.")
        return page_of(
            request,
            transfers.transfers(**filters),
            query,
            TransferSerializer,
            horizon=horizon_of_list(request, filters),
            context=lambda rows: _context(transfers.shown_to(rows, seller_id)),
        )

    def post(self, request: Request) -> Response:
        """Give credit of one's own to the parent or to a child: it is on both balances when this answers.

        What the receiver owes is charged first. Anybody else is 404, as if there were no such seller; whoever is
        switched off is 403 `seller_inactive`.
        """
        key = idempotency_key_of(request._request)
        body = NewTransferSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        principal = require_principal(request)
        written = transfers.transfer_credit(
            organization=organization_of(request._request),
            giver_id=own_seller_of(principal),
            receiver_id=body.validated_data["to"],
            idempotency_key=key,
            amount=body.validated_data["amount"],
            note=body.validated_data["note"],
            access=principal.access,
        )
        return (
            replayed(_response(written.row)) if written.is_replay else _response(written.row, status.HTTP_201_CREATED)
        )


class TransferView(APIView):
    permission_classes = (needs(Permission.VIEW_TRANSFERS),)

    @extend_schema(responses=TransferSerializer)
    def get(self, request: Request, transfer_id: UUID) -> Response:
        """One transfer."""
        own = own_seller_id(request)
        row = transfers.transfer_by_id(transfer_id, seller_id=own)
        return _response(transfers.shown_to([row], own)[0])
