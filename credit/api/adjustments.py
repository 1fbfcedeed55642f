"""Adjustments of sellers' balances over HTTP."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from credit import adjustments, queries, services
from credit.api.credit import RejectionSerializer, decider, horizon_of_list, narrow_to_own
from credit.api.permissions import needs
from credit.models import Adjustment
from shared.database import LARGEST_ID
from shared.identity.permissions import Permission
from shared.rest.fields import IdParameter, ReadableField, SignedTomansField, StrictSerializer, WholeNumberField
from shared.rest.idempotency import idempotency_key_of, replayed
from shared.rest.openapi import IDEMPOTENCY_KEY, REPLAYED
from shared.rest.pagination import PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.views import APIView
from tenants.routing import organization_of


class NewAdjustmentSerializer(StrictSerializer):
    seller_id = WholeNumberField(least=1, most=LARGEST_ID)
    amount = SignedTomansField(help_text="Tomans; negative: they are taken from the balance.")
    reason = ReadableField(max_length=500, lines=True)
    reference = ReadableField(
        max_length=100,
        required=False,
        allow_blank=True,
        default="",
        help_text="What proves it elsewhere: a letter's number, a bank's reference.",
    )


class AdjustmentSerializer(serializers.ModelSerializer[Adjustment]):
    seller_id = serializers.IntegerField()
    decided_by = serializers.SerializerMethodField()
    decision_reason = serializers.CharField(help_text="Of a rejection.")

    class Meta:
        model = Adjustment
        fields = queries.ADJUSTMENT_COLUMNS

    def get_decided_by(self, row: Adjustment) -> str | None:
        return row.decided_by or None


class AdjustmentQuery(PageQuery):
    status = serializers.ChoiceField(Adjustment.Status.choices, required=False)
    seller_id = IdParameter(required=False)


def _response(written: services.Written[Adjustment], status_code: int) -> Response:
    data = AdjustmentSerializer(written.row).data
    return replayed(Response(data)) if written.is_replay else Response(data, status=status_code)


@extend_schema_view(
    get=extend_schema(parameters=[AdjustmentQuery], responses=page_serializer(AdjustmentSerializer)),
    post=extend_schema(
        parameters=[IDEMPOTENCY_KEY, REPLAYED],
        request=NewAdjustmentSerializer,
        responses={200: AdjustmentSerializer, 201: AdjustmentSerializer},
    ),
)
class AdjustmentsView(APIView):
    permission_classes = (needs(Permission.VIEW_ADJUSTMENTS, POST=Permission.MAKE_ADJUSTMENTS),)
    answers_replays = True

    def get(self, request: Request) -> Response:
        """Adjustments, newest first."""
        query = AdjustmentQuery.read(request)
        filters = narrow_to_own(request, query)
        rows, horizon = queries.adjustments(**filters), horizon_of_list(request, filters)
        return page_of(request, rows, query, AdjustmentSerializer, horizon=horizon)

    def post(self, request: Request) -> Response:
        """Correct a seller's balance, in either direction.

        Below `four_eyes_from` (PATCH /settings) it is approved as it is made, and on the balance when this answers.
        From there on it is pending until somebody else approves it.
        """
        key = idempotency_key_of(request._request)
        body = NewAdjustmentSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        by: dict[str, Any] = decider(request)
        written = adjustments.create_adjustment(
            organization=organization_of(request._request),
            idempotency_key=key,
            asked_by=by["decided_by"],
            asked_by_id=by["decided_by_id"],
            access=by["access"],
            **body.validated_data,
        )
        return _response(written, status.HTTP_201_CREATED)


class AdjustmentView(APIView):
    permission_classes = (needs(Permission.VIEW_ADJUSTMENTS),)

    @extend_schema(responses=AdjustmentSerializer)
    def get(self, request: Request, adjustment_id: UUID) -> Response:
        """One adjustment."""
        return Response(AdjustmentSerializer(queries.adjustment_by_id(adjustment_id)).data)


class ApproveAdjustmentView(APIView):
    permission_classes = (needs(Permission.MAKE_ADJUSTMENTS),)
    answers_replays = True

    @extend_schema(parameters=[REPLAYED], request=None, responses=AdjustmentSerializer)
    def post(self, request: Request, adjustment_id: UUID) -> Response:
        """Approve what somebody else has asked for: the amount is on the balance when this answers.

        Whoever asked for it is refused (`four_eyes`). The same decision again changes nothing.
        """
        StrictSerializer(data=body_of(request)).is_valid(raise_exception=True)
        written = adjustments.approve_adjustment(
            organization=organization_of(request._request), adjustment_id=adjustment_id, **decider(request)
        )
        return _response(written, status.HTTP_200_OK)


class RejectAdjustmentView(APIView):
    permission_classes = (needs(Permission.MAKE_ADJUSTMENTS),)
    answers_replays = True

    @extend_schema(parameters=[REPLAYED], request=RejectionSerializer, responses=AdjustmentSerializer)
    def post(self, request: Request, adjustment_id: UUID) -> Response:
        """Reject, with a reason; whoever asked for it withdraws it so. The same decision again changes nothing."""
        body = RejectionSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        written = adjustments.reject_adjustment(
            organization=organization_of(request._request),
            adjustment_id=adjustment_id,
            reason=body.validated_data["reason"],
            **decider(request),
        )
        return _response(written, status.HTTP_200_OK)
