"""What an organization's admins settle about delivery and amounts, and what of it sellers see, over HTTP."""

from typing import Any

from django.core.validators import RegexValidator
from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from credit.adjustments import PolicyChange
from credit.api.permissions import needs
from credit.models import Policy
from credit.queries import policy
from recharge.api.recharges import OperatorField, acting_username
from recharge.commissions.queries import Rate
from recharge.delivery.gateways.kinds import KINDS
from recharge.models import (
    BUILT_IN_GATEWAY,
    LEAST_NUMBERS_KEPT,
    LONGEST_CLAIM_DAYS,
    LONGEST_CLAIM_HOURS,
    LONGEST_SEND_WITHIN,
    LONGEST_WINDOW,
    MOST_NUMBERS_KEPT,
    SHORTEST_SEND_WITHIN,
    GatewaySettings,
    Settings,
)
from recharge.terms import queries, services
from recharge.terms.services import (
    GATEWAY_NAME,
    KEY_ID,
    LONGEST_TIMEOUT_MS,
    MOST_AMOUNTS,
    SHORTEST_TIMEOUT_MS,
)
from shared.identity.permissions import Permission
from shared.identity.roles import may, seller_in_view
from shared.rest.authentication import require_principal
from shared.rest.fields import (
    PasswordField,
    ReadableField,
    StrictBooleanField,
    StrictSerializer,
    StringField,
    TomansField,
    WholeNumberField,
)
from shared.rest.openapi import has_at_times
from shared.rest.pagination import PageQuery, Query, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.views import APIView
from tenants.queries import requires_second_factor
from tenants.routing import organization_of


class SettingsSerializer(serializers.Serializer[Settings]):
    duplicate_window = serializers.IntegerField(
        help_text="Seconds in which the same seller, number and amount is taken for a slip; 0: never."
    )
    send_within = serializers.IntegerField(
        help_text="Seconds after its sale in which a recharge is sent; what is older fails and is refunded instead."
    )
    training = serializers.BooleanField(
        help_text="Whether an operator without a gateway is sold though nothing is delivered; else it is not sold."
    )
    refuses_owing = serializers.BooleanField(
        help_text="Whether a seller who owes a late charge sells and transfers nothing until it is paid (409 "
        "`seller_owes`)."
    )
    claim_hours = serializers.IntegerField(
        help_text="Hours in which a seller's question about a recharge that was not received is to be closed."
    )
    claim_days = serializers.IntegerField(help_text="Days after its sale in which a seller may ask so.")
    receipts_by_sms = serializers.BooleanField(
        help_text="Whether who sells may send a receipt to the number that was recharged, by the organization's SMS "
        "gateway (once of each recharge)."
    )
    numbers_kept_months = serializers.IntegerField(
        help_text="Months after which the phone numbers of recharges are masked (`+98******4567`), for good, and "
        "webhooks' messages, attempts and files of bulk sales of that age are deleted; 0: never."
    )
    time_zone = serializers.SerializerMethodField(
        help_text="The IANA name of the zone in which the organization's days begin: those of limits and of statements."
    )

    def get_time_zone(self, settings: Settings) -> str:
        return self._policy.time_zone

    four_eyes_from = serializers.SerializerMethodField(
        help_text="Tomans from which on an adjustment or a credit request needs two people; null: none does."
    )

    def get_four_eyes_from(self, settings: Settings) -> int | None:
        return self._policy.four_eyes_from

    @cached_property
    def _policy(self) -> Policy:
        return policy()

    requests_go_to_parent = serializers.SerializerMethodField(
        help_text="Whether a seller who has a parent (who is active) asks that one for credit, not the organization."
    )

    def get_requests_go_to_parent(self, settings: Settings) -> bool:
        return self._policy.requests_go_to_parent

    requires_second_factor = serializers.SerializerMethodField(
        help_text="Whether members sign in with a second factor alone; who has none may do nothing but enrol one."
    )

    def get_requires_second_factor(self, settings: Settings) -> bool:
        return requires_second_factor(self.context["organization"].pk)


class SettingsChangeSerializer(StrictSerializer):
    duplicate_window = WholeNumberField(least=0, most=LONGEST_WINDOW, required=False)
    send_within = WholeNumberField(least=SHORTEST_SEND_WITHIN, most=LONGEST_SEND_WITHIN, required=False)
    training = StrictBooleanField(required=False)
    refuses_owing = StrictBooleanField(required=False)
    claim_hours = WholeNumberField(least=1, most=LONGEST_CLAIM_HOURS, required=False)
    claim_days = WholeNumberField(least=1, most=LONGEST_CLAIM_DAYS, required=False)
    receipts_by_sms = StrictBooleanField(required=False)
    numbers_kept_months = WholeNumberField(
        least=0,
        most=MOST_NUMBERS_KEPT,
        required=False,
        help_text=f"0, or at least {LEAST_NUMBERS_KEPT}. What is masked can't be brought back.",
    )
    time_zone = StringField(max_length=60, required=False, help_text="An IANA name, like Asia/Tehran.")
    four_eyes_from = TomansField(required=False, allow_null=True)
    requests_go_to_parent = StrictBooleanField(required=False)
    requires_second_factor = StrictBooleanField(required=False)

    def validate_numbers_kept_months(self, months: int) -> int:
        if 0 < months < LEAST_NUMBERS_KEPT:
            raise serializers.ValidationError(f"This must be 0, or at least {LEAST_NUMBERS_KEPT}.", code="too_small")
        return months


class SettingsView(APIView):
    permission_classes = (needs(Permission.VIEW_SETTINGS, PATCH=Permission.MANAGE_SETTINGS),)

    @extend_schema(responses=SettingsSerializer)
    def get(self, request: Request) -> Response:
        """What is settled for the whole organization."""
        return _settled(request, queries.settings())

    @extend_schema(request=SettingsChangeSerializer, responses=SettingsSerializer)
    def patch(self, request: Request) -> Response:
        """Change it, from the next sale on; `four_eyes_from` for what is asked for, or first approved, from now on."""
        body = SettingsChangeSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        changes = dict(body.validated_data)
        of_policy = {name: changes.pop(name) for name in PolicyChange.__annotations__ if name in changes}
        if of_policy:
            changes["policy"] = of_policy
        return _settled(request, services.change_settings(**_acting(request), **changes))


def _settled(request: Request, settings: Settings) -> Response:
    return Response(SettingsSerializer(settings, context={"organization": organization_of(request._request)}).data)


# --- Gateways ---------------------------------------------------------------------------------------------------------


GATEWAY_KINDS = [(name, name.capitalize()) for name in KINDS]


class _GatewayOptionsSerializer(StrictSerializer):
    """What may be changed of a gateway."""

    url = StringField(max_length=2000, required=False, help_text="An https address; of an http gateway.")
    key_id = StringField(
        max_length=100,
        required=False,
        allow_blank=True,
        validators=[RegexValidator(KEY_ID, "This must be printable ASCII without blanks.")],
        help_text="Tells the operator whose signature it is.",
    )
    secret = PasswordField(required=False, help_text="What requests are signed with; it is never shown.")
    connect_timeout_ms = WholeNumberField(least=SHORTEST_TIMEOUT_MS, most=LONGEST_TIMEOUT_MS, required=False)
    read_timeout_ms = WholeNumberField(least=SHORTEST_TIMEOUT_MS, most=LONGEST_TIMEOUT_MS, required=False)


class NewGatewaySerializer(_GatewayOptionsSerializer):
    name = StringField(
        max_length=50,
        validators=[RegexValidator(GATEWAY_NAME, "A name is of lower-case letters, digits, hyphens, underscores.")],
    )
    kind = serializers.ChoiceField(GATEWAY_KINDS)


class GatewayChangeSerializer(_GatewayOptionsSerializer):
    pass


class GatewaySerializer(serializers.Serializer[GatewaySettings]):
    name = serializers.CharField()
    kind = serializers.ChoiceField(GATEWAY_KINDS)
    url = serializers.SerializerMethodField(help_text="Null unless it is an http gateway.")
    key_id = serializers.SerializerMethodField()
    has_secret = serializers.SerializerMethodField()
    connect_timeout_ms = serializers.IntegerField()
    read_timeout_ms = serializers.IntegerField()

    def get_url(self, gateway: GatewaySettings) -> str | None:
        return gateway.url or None

    def get_key_id(self, gateway: GatewaySettings) -> str | None:
        return gateway.key_id or None

    def get_has_secret(self, gateway: GatewaySettings) -> bool:
        return bool(gateway.secret)


class GatewaysView(APIView):
    permission_classes = (needs(Permission.VIEW_SETTINGS, POST=Permission.MANAGE_SETTINGS),)

    @extend_schema(parameters=[PageQuery], responses=page_serializer(GatewaySerializer))
    def get(self, request: Request) -> Response:
        """The gateways that were set up, newest first; beside them there is always the one named `instant`."""
        return page_of(request, queries.gateways(), PageQuery.read(request), GatewaySerializer)

    @extend_schema(request=NewGatewaySerializer, responses={201: GatewaySerializer})
    def post(self, request: Request) -> Response:
        """Set up a gateway. Nothing goes through it until an operator is given to it."""
        body = NewGatewaySerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        gateway = services.create_gateway(**_acting(request), **body.validated_data)
        return Response(GatewaySerializer(gateway).data, status=status.HTTP_201_CREATED)


class GatewayView(APIView):
    permission_classes = (
        needs(Permission.VIEW_SETTINGS, PATCH=Permission.MANAGE_SETTINGS, DELETE=Permission.MANAGE_SETTINGS),
    )

    @extend_schema(responses=GatewaySerializer)
    def get(self, request: Request, name: str) -> Response:
        """One gateway."""
        return Response(GatewaySerializer(queries.gateway_by_name(name)).data)

    @extend_schema(request=GatewayChangeSerializer, responses=GatewaySerializer)
    def patch(self, request: Request, name: str) -> Response:
        """Change a gateway. Its name and kind stay.

        A new secret or time limit holds within seconds also for what is under way through it. With another address or
        key id it is another gateway: what was submitted before is asked about where it was submitted.
        """
        body = GatewayChangeSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        gateway = services.change_gateway(**_acting(request), name=name, **body.validated_data)
        return Response(GatewaySerializer(gateway).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Delete a gateway that no operator has, and through which nothing is under way."""
        services.delete_gateway(**_acting(request), name=name)
        return Response(status=status.HTTP_204_NO_CONTENT)


# --- Operators --------------------------------------------------------------------------------------------------------


class OperatorChangeSerializer(StrictSerializer):
    name = ReadableField(
        max_length=50, required=False, help_text="Of one that was added; the built-in ones keep theirs."
    )
    gateway = StringField(
        max_length=50,
        required=False,
        allow_null=True,
        help_text="A gateway's name; null: the one that is always there, `instant`.",
    )
    amounts = serializers.ListField(
        child=TomansField(),
        required=False,
        allow_null=True,
        allow_empty=False,
        max_length=MOST_AMOUNTS,
        help_text="The only amounts that are sold; takes the place of a range. Null: any amount of the range.",
    )
    least_amount = TomansField(required=False, help_text="Begins a range, which takes the place of a list.")
    most_amount = TomansField(required=False, help_text="Ends it.")


class NewOperatorSerializer(StrictSerializer):
    operator = OperatorField(help_text="Its code, for good: what sales name it by.")
    name = ReadableField(max_length=50)


class RateSerializer(serializers.Serializer[Rate]):
    basis_points = serializers.IntegerField(
        allow_null=True, help_text="Hundredths of a percent of the amount, rounded down to the Toman."
    )
    fixed = serializers.IntegerField(allow_null=True, help_text="Or a sum in Tomans, the same for each recharge.")


@has_at_times("gateway")
class OperatorSerializer(serializers.Serializer[queries.OperatorTerms]):
    operator = serializers.CharField()
    name = serializers.CharField()
    amounts = serializers.ListField(
        child=serializers.IntegerField(), allow_null=True, help_text="All that are sold, ascending; null: a range."
    )
    least_amount = serializers.IntegerField(help_text="Tomans; of the list, if there is one.")
    most_amount = serializers.IntegerField(help_text="Tomans; of the list, if there is one.")
    is_sold = serializers.BooleanField(
        help_text="Whether it is sold at all: a gateway delivers it, or the organization trains."
    )
    commission = RateSerializer(
        allow_null=True,
        help_text="What a recharge earns: of a seller, the own rate; else that of sellers who have none of their own. "
        "Null: nothing.",
    )
    gateway = serializers.CharField(
        allow_null=True, help_text="The name of the gateway that delivers; null: none does. For admins only."
    )


class OperatorsSerializer(serializers.Serializer[Any]):
    results = OperatorSerializer(many=True)


class OperatorsView(APIView):
    permission_classes = (needs(Permission.VIEW_TERMS, POST=Permission.MANAGE_SETTINGS),)

    @extend_schema(responses=OperatorsSerializer)
    def get(self, request: Request) -> Response:
        """All operators, and which amounts of them are sold."""
        Query.read(request)
        found = queries.terms_of_operators(seller_id=_seller(request))
        return Response({"results": [_rendered(request, terms) for terms in found]})

    @extend_schema(request=NewOperatorSerializer, responses={201: OperatorSerializer})
    def post(self, request: Request) -> Response:
        """Add an operator of the organization's own. No number is found to be its: sales name it."""
        body = NewOperatorSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        terms = services.add_operator(**_acting(request), **body.validated_data)
        return Response(_rendered(request, terms), status=status.HTTP_201_CREATED)


class OperatorView(APIView):
    permission_classes = (needs(Permission.VIEW_TERMS, PATCH=Permission.MANAGE_SETTINGS),)

    @extend_schema(responses=OperatorSerializer)
    def get(self, request: Request, operator: str) -> Response:
        """One operator, and which amounts of it are sold."""
        return Response(_rendered(request, queries.terms_of_operator(operator, seller_id=_seller(request))))

    @extend_schema(request=OperatorChangeSerializer, responses=OperatorSerializer)
    def patch(self, request: Request, operator: str) -> Response:
        """Change its gateway and the amounts that are sold (a list or a range), from the next sale on."""
        queries.terms_of_operator(operator)  # one that there is not is 404, whatever the body
        body = OperatorChangeSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        changes = dict(body.validated_data)
        if changes.get("gateway", "") is None:
            changes["gateway"] = BUILT_IN_GATEWAY
        if changes.get("amounts", ()) is None:
            changes["amounts"] = []
        terms = services.change_operator(**_acting(request), operator=operator, **changes)
        return Response(_rendered(request, terms))


def _seller(request: Request) -> int | None:
    """Whose commissions are shown."""
    return seller_in_view(require_principal(request))


def _rendered(request: Request, terms: queries.OperatorTerms) -> dict[str, Any]:
    data = dict(OperatorSerializer(terms).data)
    if not may(require_principal(request), Permission.VIEW_DELIVERY):
        del data["gateway"]
    return data


def _acting(request: Request) -> dict[str, Any]:
    return {"organization": organization_of(request._request), "by": acting_username(request)}
