"""How much may be sold, over HTTP: what admins settle, and what of it is left to a seller."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from credit.api.permissions import needs
from recharge.api.recharges import acting_username
from recharge.limits import queries
from recharge.limits.queries import LIMITS
from recharge.limits.services import MOST_SALES, Limits, set_limits
from recharge.models import Limit
from shared.database import LARGEST_ID
from shared.identity.permissions import Permission
from shared.identity.roles import own_seller_of
from shared.rest.authentication import require_principal
from shared.rest.fields import StrictSerializer, TomansField, WholeNumberField
from shared.rest.pagination import PageQuery, Query, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.views import APIView
from tenants.routing import organization_of


def _tomans(help_text: str) -> TomansField:
    return TomansField(required=False, allow_null=True, default=None, help_text=f"{help_text} Null: no limit.")


def _number(least: int, most: int, help_text: str) -> WholeNumberField:
    return WholeNumberField(
        least=least, most=most, required=False, allow_null=True, default=None, help_text=f"{help_text} Null: no limit."
    )


class LimitsChangeSerializer(StrictSerializer):
    seller_id = WholeNumberField(
        least=1,
        most=LARGEST_ID,
        required=False,
        allow_null=True,
        default=None,
        help_text="Null: of each seller who has none of his own.",
    )
    per_sale = _tomans("Tomans, of one sale.")
    per_day = _tomans("Tomans, of a day of the organization's (`time_zone` of the settings).")
    sales_per_day = _number(1, MOST_SALES, "Sales of a day.")
    per_number_per_day = _tomans("Tomans, of a seller to one number on a day.")
    from_hour = _number(0, 23, "The hour of the day in which selling begins.")
    to_hour = _number(1, 24, "The hour of the day in which nothing is sold any more; after `from_hour`.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not set(LIMITS) & set(self.initial_data):
            # An empty body must not end all limits.
            detail = "Give at least one limit; null for none."
            raise serializers.ValidationError({"per_sale": [serializers.ErrorDetail(detail, code="required")]})
        return attrs


def _fields_of_limits() -> dict[str, serializers.Field[Any, Any, Any, Any]]:
    """Those of which answers show the limits, by their names."""
    written = LimitsChangeSerializer().fields
    return {
        name: serializers.IntegerField(
            allow_null=True, help_text="Tomans." if isinstance(written[name], TomansField) else None
        )
        for name in LIMITS
    }


class LimitsSerializer(serializers.Serializer[Limit | Limits]):
    seller_id = serializers.IntegerField(allow_null=True, help_text="Null: of each seller who has none of his own.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return super().get_fields() | _fields_of_limits()


class RoomSerializer(serializers.Serializer[queries.Room]):
    sold_today = serializers.IntegerField(allow_null=True, help_text="Tomans; null: there is no limit of a day.")
    sales_today = serializers.IntegerField(allow_null=True, help_text="Null: there is no limit of a day.")
    left_today = serializers.IntegerField(allow_null=True, help_text="Tomans; null: no limit.")
    sales_left_today = serializers.IntegerField(allow_null=True, help_text="Null: no limit.")
    resets_at = serializers.DateTimeField(
        allow_null=True, help_text="When the organization's next day begins; null: there are no limits."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return _fields_of_limits() | super().get_fields()


class LimitsView(APIView):
    permission_classes = (needs(Permission.VIEW_SETTINGS, PUT=Permission.MANAGE_SETTINGS),)

    @extend_schema(parameters=[PageQuery], responses=page_serializer(LimitsSerializer))
    def get(self, request: Request) -> Response:
        """The limits of all sellers and those of single ones, as they were settled, newest first."""
        return page_of(request, queries.limits(), PageQuery.read(request), LimitsSerializer)

    @extend_schema(request=LimitsChangeSerializer, responses=LimitsSerializer)
    def put(self, request: Request) -> Response:
        """Settle the limits of a seller, or of all, in place of what was settled before; from the next sale on.

        A seller's own limit goes over that of all; `from_hour` and `to_hour` do so together. What was sold today before
        counts, and what was refunded does not. A limit that is left out is none; one must be given, be it null.
        """
        body = LimitsChangeSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        limits = set_limits(
            organization=organization_of(request._request),
            by=acting_username(request),
            limits=Limits(**body.validated_data),
        )
        return Response(LimitsSerializer(limits).data)


class OwnLimitsView(APIView):
    permission_classes = (needs(Permission.VIEW_OWN_BALANCE),)

    @extend_schema(responses=RoomSerializer)
    def get(self, request: Request) -> Response:
        """The limits that hold for a seller, and what they leave him today."""
        Query.read(request)
        return Response(RoomSerializer(queries.room_of(own_seller_of(require_principal(request)))).data)
