"""Selling recharges and looking at them, and balances, over HTTP."""

import json
from typing import Any
from uuid import UUID

from django.core.validators import RegexValidator
from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from credit.api.credit import horizon_of_list, narrow_to_own
from credit.api.permissions import needs, own_seller_id
from recharge.delivery import settlement
from recharge.models import Attempt, Recharge
from recharge.operators import OPERATOR_CODE, Operator
from recharge.selling import queries, services
from recharge.selling.queries import ANY_LATE, RECHARGE_COLUMNS
from recharge.selling.rendering import rendered_recharge
from recharge.selling.sale import UNKNOWN_OPERATOR, read_sale
from recharge.selling.services import refusal_of
from recharge.terms.queries import added_operators
from shared.idempotency import KEY_PATTERN, LONGEST_KEY
from shared.identity.permissions import Permission
from shared.identity.queries import name_of_actor, username_of
from shared.identity.realm import realm_of
from shared.identity.roles import may, own_seller_of
from shared.pagination import settled
from shared.rest.authentication import require_principal
from shared.rest.fields import (
    IdParameter,
    PhoneNumberField,
    ReadableField,
    StrictBooleanField,
    StrictSerializer,
    StringField,
    TimeParameter,
    TomansField,
)
from shared.rest.idempotency import idempotency_key_of, replayed
from shared.rest.openapi import IDEMPOTENCY_KEY, REPLAYED, has_at_times
from shared.rest.pagination import CREATED_FROM, PageQuery, Query, page_of, page_serializer, plain_row
from shared.rest.parsers import body_of
from shared.rest.permissions import AskedInStatement
from shared.rest.renderers import CSVRenderer, JSONRenderer
from shared.rest.views import APIView
from tenants.exports import csv_response, lines_of
from tenants.routing import organization_of

# --- Balances: here and not in credit, since what is in flight is recharges -------------------------------------------


class BalanceSerializer(serializers.Serializer[queries.Balance]):
    seller_id = serializers.IntegerField()
    balance = serializers.IntegerField(help_text="Tomans.")
    in_flight = serializers.IntegerField(help_text="Tomans, already debited, of pending and unknown recharges.")
    last_entry = serializers.IntegerField(help_text="The number of the last entry; 0 before the first.")
    as_of = serializers.DateTimeField()
    owed = serializers.IntegerField(help_text="Tomans, of late charges that the balance did not bear.")


class OwnBalanceView(APIView):
    permission_classes = (needs(Permission.VIEW_OWN_BALANCE),)

    @extend_schema(responses=BalanceSerializer)
    def get(self, request: Request) -> Response:
        """A seller's own balance."""
        seller_id = require_principal(request).seller_id
        assert seller_id is not None
        return Response(BalanceSerializer(queries.balance_of(seller_id)).data)


class SellerBalanceView(APIView):
    permission_classes = (needs(Permission.VIEW_SELLERS),)

    @extend_schema(responses=BalanceSerializer)
    def get(self, request: Request, seller_id: int) -> Response:
        """A seller's balance, for an admin."""
        return Response(BalanceSerializer(queries.balance_of(seller_id)).data)


# --- Recharges --------------------------------------------------------------------------------------------------------

_LATE = [late.value for late in Recharge.Late if late]


class OperatorField(StringField):
    """An operator's code, by its shape; whether there is such an operator is looked up where it is needed."""

    def __init__(self, **kwargs: Any) -> None:
        shape = RegexValidator(OPERATOR_CODE, UNKNOWN_OPERATOR, code="invalid_choice")
        super().__init__(max_length=20, validators=[shape], **kwargs)


class NewRechargeSerializer(StrictSerializer):
    """For the OpenAPI document; sale.read_sale is what reads one."""

    phone_number = PhoneNumberField()
    amount = TomansField()
    operator = OperatorField(
        required=False, help_text="For ported numbers and small operators; found from the number otherwise."
    )
    allow_duplicate = StrictBooleanField(
        default=False, help_text="Sell it although the same was sold to this number a moment ago."
    )


class PassedLimitSerializer(serializers.Serializer[Any]):
    limit = serializers.CharField(help_text="As `PUT /limits` names it.")
    allowed = serializers.IntegerField(help_text="Tomans, sales, or an hour of the day, as the limit is.")
    used = serializers.IntegerField(help_text="As much was used before; of hours, the hour that it is.")
    resets_at = serializers.DateTimeField(allow_null=True, help_text="When there is room again; null: never.")


class ProspectSerializer(serializers.Serializer[Any]):
    phone_number = PhoneNumberField()
    operator = serializers.CharField()
    amount = serializers.IntegerField(help_text="Tomans.")
    amount_is_sold = serializers.BooleanField(help_text="Whether such an amount of this operator is sold.")
    balance = serializers.IntegerField(help_text="Tomans.")
    suffices = serializers.BooleanField(help_text="Whether the balance bears the amount.")
    commission = serializers.IntegerField(help_text="What the seller would earn by it, in Tomans.")
    possible_duplicate = serializers.BooleanField(help_text="Whether the same was sold to this number a moment ago.")
    would_be_sold = serializers.BooleanField()
    refusal = serializers.CharField(
        allow_null=True, help_text="The code by which it would be refused; null: it is not."
    )
    limit_exceeded = PassedLimitSerializer(allow_null=True, help_text="The limit that it would pass; null: none.")


class RechargeSerializer(serializers.ModelSerializer[Recharge]):
    seller_id = serializers.IntegerField()
    phone_number = PhoneNumberField()
    failure = serializers.SerializerMethodField(help_text="Why it failed; null unless it did.")
    late = serializers.SerializerMethodField(
        help_text="What came after its end. charged: it had failed, was delivered after all and is paid again; "
        "owed: the same, but the balance did not bear it; reversed: it had succeeded, was taken back and is refunded. "
        "Null: nothing."
    )

    class Meta:
        model = Recharge
        fields = RECHARGE_COLUMNS

    def get_failure(self, recharge: Recharge) -> str | None:
        return recharge.failure or None

    @extend_schema_field(serializers.ChoiceField(_LATE, allow_null=True))
    def get_late(self, recharge: Recharge) -> str | None:
        return recharge.late or None


def rendered_row(recharge: Recharge) -> dict[str, Any]:
    """As the serializer does."""
    row = plain_row(recharge, RECHARGE_COLUMNS)
    return row | {"failure": row["failure"] or None, "late": row["late"] or None}


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    class Meta:
        model = Attempt
        fields = (
            "number",
            "action",
            "gateway",
            "started_at",
            "latency_ms",
            "outcome",
            "reason",
            "operator_reference",
            "answer",
            "by",
        )


@has_at_times("gateway", "sold_by", "attempts")
class RechargeDetailSerializer(RechargeSerializer):
    sold_by = serializers.SerializerMethodField(
        help_text="The username of who sold it, or its API key's name; null: not known. For admins only."
    )
    attempts = serializers.SerializerMethodField(help_text="The last 100; for admins only.")

    class Meta:
        model = Recharge
        fields = (*RECHARGE_COLUMNS, "gateway", "sold_by", "attempts")
        extra_kwargs = {"gateway": {"help_text": "The name of the gateway that delivers it; for admins only."}}

    def get_sold_by(self, recharge: Recharge) -> str | None:
        organization_id: int = self.context["organization_id"]
        return name_of_actor(organization_id=organization_id, user_id=recharge.user_id, key_id=recharge.key_id)

    @extend_schema_field(AttemptSerializer(many=True))
    def get_attempts(self, recharge: Recharge) -> Any:
        return AttemptSerializer(queries.attempts_of(recharge.pk), many=True).data


class ResolutionSerializer(StrictSerializer):
    status = serializers.ChoiceField([Recharge.Status.SUCCEEDED.value, Recharge.Status.FAILED.value])
    reason = ReadableField(max_length=200, help_text="Of a failure, the seller is shown it.")


class RechargeFilters(Query):
    status = serializers.ChoiceField(Recharge.Status.choices, required=False)
    operator = OperatorField(required=False)
    phone_number = PhoneNumberField(required=False)
    idempotency_key = serializers.RegexField(
        KEY_PATTERN.replace("$", r"\Z"), required=False, max_length=LONGEST_KEY, trim_whitespace=False
    )
    late = serializers.ChoiceField(
        [*_LATE, ANY_LATE], required=False, help_text="any: all to which something came after their end."
    )
    seller_id = IdParameter(required=False, help_text="Admins only.")
    created_from = TimeParameter(required=False, help_text=CREATED_FROM)
    created_to = TimeParameter(required=False, help_text="Before this moment.")

    def validate_operator(self, operator: str) -> str:
        if operator not in Operator and operator not in added_operators():
            raise serializers.ValidationError(UNKNOWN_OPERATOR, code="invalid_choice")
        return operator


class RechargeQuery(RechargeFilters, PageQuery):
    pass


@extend_schema_view(
    get=extend_schema(parameters=[RechargeQuery], responses=page_serializer(RechargeSerializer)),
    post=extend_schema(
        parameters=[IDEMPOTENCY_KEY, REPLAYED],
        request=NewRechargeSerializer,
        responses={200: RechargeSerializer, 201: RechargeSerializer},
    ),
)
class RechargesView(APIView):
    permission_classes = (needs(Permission.VIEW_RECHARGES, POST=AskedInStatement(Permission.SELL)),)
    answers_replays = True

    def get(self, request: Request) -> Response:
        """Recharges, newest first: a seller's own, or all for an admin."""
        query = RechargeQuery.read(request)
        filters = narrow_to_own(request, query)
        horizon = horizon_of_list(request, filters)
        return page_of(
            request, queries.recharges(**filters), query, RechargeSerializer, horizon=horizon, render=rendered_row
        )

    def post(self, request: Request) -> Response:
        """Sell a recharge: debits its amount and records it, or refuses and does neither."""
        key = idempotency_key_of(request._request)
        item = read_sale(body_of(request), key)
        principal = require_principal(request)
        sold = services.sell_recharge(
            organization=organization_of(request._request),
            seller_id=own_seller_of(principal),
            item=item,
            access=principal.access,
        )
        data = rendered_recharge(sold.row)
        return replayed(Response(data)) if sold.is_replay else Response(data, status=status.HTTP_201_CREATED)


class RechargeView(APIView):
    permission_classes = (needs(Permission.VIEW_RECHARGES),)

    @extend_schema(responses=RechargeDetailSerializer)
    def get(self, request: Request, recharge_id: UUID) -> Response:
        """One recharge; for an admin, with what was done to get it delivered."""
        row = queries.recharge_by_id(recharge_id, seller_id=own_seller_id(request))
        is_whole = may(require_principal(request), Permission.VIEW_DELIVERY)
        return Response(_whole(request, row) if is_whole else RechargeSerializer(row).data)


class ValidateView(APIView):
    permission_classes = (needs(Permission.SELL),)

    @extend_schema(request=NewRechargeSerializer, responses=ProspectSerializer)
    def post(self, request: Request) -> Response:
        """Ask what would become of a sale, without making it: takes what a sale takes, and writes nothing."""
        item = read_sale(body_of(request))
        seller_id = require_principal(request).seller_id
        assert seller_id is not None
        (prospect,) = queries.prospects_of(seller_id=seller_id, items=[item])
        refusal = None
        if prospect.outcome != "created":
            refusal = refusal_of(prospect.outcome, item, prospect.balance, prospect.passed)
            if prospect.outcome == "unknown_operator":
                raise refusal
        return Response(
            {
                "phone_number": item.phone_number,
                "operator": item.operator,
                "amount": item.amount,
                "amount_is_sold": prospect.amount_is_sold,
                "balance": prospect.balance,
                "commission": prospect.commission,
                "suffices": prospect.suffices,
                "possible_duplicate": prospect.is_repeated,
                "would_be_sold": prospect.outcome == "created",
                "refusal": refusal and refusal.code,
                "limit_exceeded": json.loads(prospect.passed) if prospect.passed else None,
            }
        )


class ResolveView(APIView):
    permission_classes = (needs(Permission.RESOLVE_RECHARGES),)
    answers_replays = True

    @extend_schema(parameters=[REPLAYED], request=ResolutionSerializer, responses=RechargeDetailSerializer)
    def post(self, request: Request, recharge_id: UUID) -> Response:
        """Settle by hand what was cleared up with the operator: what failed is refunded.

        It also corrects what ended otherwise: then the recharge says under `late` what was booked. The same again
        changes nothing, unless the seller still owes the amount: then it is charged if the balance bears it by now.
        """
        body = ResolutionSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        settled = settlement.resolve_recharge(
            organization=organization_of(request._request),
            recharge_id=recharge_id,
            status=Recharge.Status(body.validated_data["status"]),
            reason=body.validated_data["reason"],
            by=acting_username(request),
            access=require_principal(request).access,
        )
        response = Response(_whole(request, settled.row))
        return replayed(response) if settled.settlement == settlement.Settlement.REPLAYED else response


def _whole(request: Request, recharge: Recharge) -> Any:
    """A recharge with what is not for sellers."""
    context = {"organization_id": organization_of(request._request).pk}
    return RechargeDetailSerializer(recharge, context=context).data


def acting_username(request: Request) -> str:
    """The username of whoever asks, for the records."""
    return username_of(require_principal(request), realm_of(request._request)) or ""


class RechargesExportView(APIView):
    permission_classes = (needs(Permission.VIEW_RECHARGES),)
    renderer_classes = (CSVRenderer, JSONRenderer)

    @extend_schema(parameters=[RechargeFilters], responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponseBase:
        """The same as CSV, all of it."""
        filters = narrow_to_own(request, RechargeFilters.read(request))
        organization = organization_of(request._request)
        exported = settled(queries.recharges(**filters), filters, horizon_of_list(request, filters))

        def rows(**after: Any) -> Any:
            return exported.filter(**after)

        return csv_response(
            filename="recharges.csv",
            columns=RECHARGE_COLUMNS,
            pages=lines_of(organization, rows, RECHARGE_COLUMNS),
            request=request._request,
            person=request.user.pk,
            filters=filters,
        )
