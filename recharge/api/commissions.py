"""What sellers earn, over HTTP."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from credit.api.permissions import needs
from recharge.api.recharges import OperatorField, acting_username
from recharge.commissions import queries, services
from recharge.commissions.services import MOST_BASIS_POINTS
from recharge.models import CommissionRate
from shared.database import LARGEST_ID
from shared.identity.permissions import Permission
from shared.money import LARGEST_AMOUNT
from shared.rest.fields import IdParameter, StrictSerializer, WholeNumberField
from shared.rest.pagination import PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.views import APIView
from tenants.routing import organization_of


class CommissionChangeSerializer(StrictSerializer):
    seller_id = WholeNumberField(
        least=1, most=LARGEST_ID, required=False, allow_null=True, help_text="Null, or left out: of all sellers."
    )
    operator = OperatorField(required=False, allow_null=True, help_text="Null, or left out: of all operators.")
    basis_points = WholeNumberField(
        least=0,
        most=MOST_BASIS_POINTS,
        required=False,
        allow_null=True,
        help_text="Hundredths of a percent of the amount, rounded down to the Toman.",
    )
    fixed = WholeNumberField(
        least=0,
        most=LARGEST_AMOUNT,
        required=False,
        allow_null=True,
        help_text="Or a sum in Tomans, the same for each recharge; of a smaller one, its amount. Both null: the rate "
        "ends.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.keys() & {"basis_points", "fixed"}:
            # An empty body must not end a rate.
            detail = "Give basis_points or fixed; null to end the rate."
            raise serializers.ValidationError({"basis_points": [serializers.ErrorDetail(detail, code="required")]})
        return attrs


class CommissionSerializer(serializers.ModelSerializer[CommissionRate]):
    seller_id = serializers.IntegerField(allow_null=True, help_text="Null: of all sellers.")
    operator = serializers.SerializerMethodField(help_text="Null: of all operators.")
    basis_points = serializers.IntegerField(
        allow_null=True, help_text="Hundredths of a percent of the amount, rounded down to the Toman."
    )
    fixed = serializers.IntegerField(allow_null=True, help_text="Or a sum in Tomans. Both null: the rate has ended.")
    since = serializers.DateTimeField(source="valid_from", allow_null=True, help_text="Null: the rate has ended.")
    set_by = serializers.SerializerMethodField(help_text="The username of who has set it, as it was then.")

    class Meta:
        model = CommissionRate
        fields = ("seller_id", "operator", "basis_points", "fixed", "since", "set_by")

    def get_operator(self, rate: CommissionRate) -> str | None:
        return rate.operator or None

    def get_set_by(self, rate: CommissionRate) -> str | None:
        return rate.set_by or None


class CommissionQuery(PageQuery):
    seller_id = IdParameter(required=False, help_text="Those of one seller alone.")


class CommissionsView(APIView):
    permission_classes = (needs(Permission.VIEW_COMMISSIONS, PUT=Permission.MANAGE_SETTINGS),)

    @extend_schema(parameters=[CommissionQuery], responses=page_serializer(CommissionSerializer))
    def get(self, request: Request) -> Response:
        """The rates that are in force, those set last first. Of a sale the most specific one wins: the seller's of the
        operator, the seller's, the operator's, that of all."""
        query = CommissionQuery.read(request)
        rows = queries.rates_in_force(seller_id=query.get("seller_id"))
        return page_of(request, rows, query, CommissionSerializer)

    @extend_schema(request=CommissionChangeSerializer, responses=CommissionSerializer)
    def put(self, request: Request) -> Response:
        """Set what a recharge earns its seller, from the next sale on. What was sold keeps the rate of then, also when
        it is refunded or charged later."""
        body = CommissionChangeSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        rate = services.set_commission(
            organization=organization_of(request._request), by=acting_username(request), **body.validated_data
        )
        return Response(CommissionSerializer(rate).data)
