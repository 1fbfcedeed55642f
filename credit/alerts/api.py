"""Alerts over HTTP: a seller's own; for who sees all sellers, the organization's."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from credit.alerts import services
from credit.alerts.services import ALERT_COLUMNS
from credit.alerts.settings import LIMITS
from credit.alerts.templates import CONTENT_TYPES
from credit.api.credit import horizon_of_list
from credit.api.permissions import needs, own_seller_id
from credit.models import Alert, AlertSettings
from shared.horizon import horizon_of
from shared.identity.permissions import Permission
from shared.identity.queries import username_of
from shared.identity.realm import realm_of
from shared.identity.roles import own_seller_of
from shared.rest.authentication import require_principal
from shared.rest.fields import (
    PasswordField,
    PhoneNumberField,
    ReadableField,
    StrictBooleanField,
    StrictSerializer,
    StringField,
    TomansField,
    WholeNumberField,
)
from shared.rest.pagination import PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.views import APIView
from tenants.routing import organization_of


class AlertSerializer(serializers.ModelSerializer[Alert]):
    seller_id = serializers.IntegerField(allow_null=True, help_text="Whose it is; null: the organization's.")
    subject = serializers.CharField(help_text="What it is about: the seller's id, the operator's code, or nothing.")
    data = serializers.DictField(help_text="What was found; amounts in Tomans.")  # type: ignore[assignment]
    cleared_at = serializers.DateTimeField(allow_null=True, help_text="When it was over; null: it is not.")
    read_by = serializers.SerializerMethodField()

    class Meta:
        model = Alert
        fields = ALERT_COLUMNS

    def get_read_by(self, alert: Alert) -> str | None:
        return alert.read_by or None


class AlertQuery(PageQuery):
    kind = serializers.ChoiceField(Alert.Kind.choices, required=False)
    state = serializers.ChoiceField(
        [("open", "Open"), ("cleared", "Cleared")], required=False, help_text="Whether it is over."
    )


class AlertsView(APIView):
    permission_classes = (needs(Permission.VIEW_ALERTS),)

    @extend_schema(parameters=[AlertQuery], responses=page_serializer(AlertSerializer))
    def get(self, request: Request) -> Response:
        """Alerts, newest first: a seller's own, or the organization's."""
        query = AlertQuery.read(request)
        seller_id = own_seller_id(request)
        state = query.get("state")
        rows = services.alerts(
            seller_id=seller_id, kind=query.get("kind"), is_open=None if state is None else state == "open"
        )
        if seller_id is None:
            horizon = horizon_of(organization_id=organization_of(request._request).pk, table=Alert._meta.db_table)
        else:
            horizon = horizon_of_list(request, {"seller_id": seller_id})
        return page_of(request, rows, query, AlertSerializer, horizon=horizon)


class ReadAlertView(APIView):
    permission_classes = (needs(Permission.MANAGE_ALERTS),)

    @extend_schema(request=None, responses=AlertSerializer)
    def post(self, request: Request, alert_id: UUID) -> Response:
        """Say that it was read: the console shows it as a line no more. May be repeated."""
        StrictSerializer(data=body_of(request)).is_valid(raise_exception=True)
        username = username_of(require_principal(request), realm_of(request._request)) or ""
        alert = services.read_alert(alert_id=alert_id, seller_id=own_seller_id(request), by=username)
        return Response(AlertSerializer(alert).data)


# --- A seller's threshold ---------------------------------------------------------------------------------------------


class ThresholdChangeSerializer(StrictSerializer):
    alert_below = TomansField(allow_null=True, help_text="Tomans; null: never.")
    by_mail = StrictBooleanField(required=False, help_text="To the account's address.")
    phone_number = PhoneNumberField(
        required=False, allow_null=True, help_text="For SMS, where the organization has a gateway; null: none."
    )


class ThresholdSerializer(serializers.Serializer[services.Threshold]):
    alert_below = serializers.IntegerField(allow_null=True)
    by_mail = serializers.BooleanField()
    phone_number = serializers.SerializerMethodField()

    def get_phone_number(self, threshold: services.Threshold) -> str | None:
        return threshold.phone_number or None


class ThresholdView(APIView):
    permission_classes = (needs(Permission.MANAGE_OWN_THRESHOLD),)

    @extend_schema(responses=ThresholdSerializer)
    def get(self, request: Request) -> Response:
        """Below which balance the seller is told, and how."""
        return Response(ThresholdSerializer(services.threshold_of(own_seller_of(require_principal(request)))).data)

    @extend_schema(request=ThresholdChangeSerializer, responses=ThresholdSerializer)
    def put(self, request: Request) -> Response:
        """Change it. Each time that the balance falls below it, the seller is told once."""
        body = ThresholdChangeSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        given = dict(body.validated_data)
        if "phone_number" in given:
            given["phone_number"] = given["phone_number"] or ""
        threshold = services.change_threshold(
            organization=organization_of(request._request), seller_id=own_seller_of(require_principal(request)), **given
        )
        return Response(ThresholdSerializer(threshold).data)


# --- The organization's settings --------------------------------------------------------------------------------------


class AddressesField(serializers.ListField):
    """Up to ten, each once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_empty=True, max_length=services.MOST_RECIPIENTS, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > services.MOST_RECIPIENTS:  # before each of them is looked at
            self.fail("max_length", max_length=services.MOST_RECIPIENTS)
        return list(dict.fromkeys(super().to_internal_value(data)))


def _number(name: str) -> WholeNumberField:
    least, most, what = LIMITS[name]
    return WholeNumberField(least=least, most=most, required=False, help_text=what)


class AlertSettingsChangeSerializer(StrictSerializer):
    mail_to = AddressesField(child=ReadableField(max_length=254), required=False)
    sms_to = AddressesField(child=PhoneNumberField(), required=False)
    language = serializers.ChoiceField([("fa", "Persian"), ("en", "English")], required=False)
    unknown_after = _number("unknown_after")
    requests_after = _number("requests_after")
    failing_percent = _number("failing_percent")
    failing_least = _number("failing_least")
    failing_window = _number("failing_window")
    sms_url = StringField(
        max_length=2000,
        required=False,
        allow_blank=True,
        help_text="An https address of an SMS gateway, with {to}, {text}, {secret} where they belong; empty: none.",
    )
    sms_method = serializers.ChoiceField([("POST", "POST"), ("GET", "GET")], required=False)
    sms_body = ReadableField(
        max_length=2000, required=False, allow_blank=True, lines=True, help_text="Of a POST, with the same places."
    )
    sms_content_type = serializers.ChoiceField([(one, one) for one in CONTENT_TYPES], required=False)
    sms_header = StringField(
        max_length=60, required=False, allow_blank=True, help_text="The header that has the secret; empty: none."
    )
    sms_secret = PasswordField(required=False, allow_blank=True, help_text="It is never shown; empty removes it.")


class AlertSettingsSerializer(serializers.ModelSerializer[AlertSettings]):
    has_secret = serializers.SerializerMethodField()

    class Meta:
        model = AlertSettings
        fields = (
            "mail_to",
            "sms_to",
            "language",
            *LIMITS,
            "sms_url",
            "sms_method",
            "sms_body",
            "sms_content_type",
            "sms_header",
            "has_secret",
        )

    def get_has_secret(self, row: AlertSettings) -> bool:
        return bool(row.sms_secret)


class AlertSettingsView(APIView):
    permission_classes = (needs(Permission.VIEW_SETTINGS, PATCH=Permission.MANAGE_SETTINGS),)

    @extend_schema(responses=AlertSettingsSerializer)
    def get(self, request: Request) -> Response:
        """What the organization is told of, and on which channels."""
        return Response(AlertSettingsSerializer(services.alert_settings()).data)

    @extend_schema(request=AlertSettingsChangeSerializer, responses=AlertSettingsSerializer)
    def patch(self, request: Request) -> Response:
        """Change it. What is not given stays."""
        body = AlertSettingsChangeSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        row = services.change_alert_settings(organization=organization_of(request._request), **body.validated_data)
        return Response(AlertSettingsSerializer(row).data)


class AlertTestSerializer(serializers.Serializer[Any]):
    messages = serializers.IntegerField(help_text="How many are on their way.")


class AlertTestView(APIView):
    permission_classes = (needs(Permission.MANAGE_SETTINGS),)

    @extend_schema(request=None, responses={202: AlertTestSerializer})
    def post(self, request: Request) -> Response:
        """Send a test to each address and number of the organization."""
        StrictSerializer(data=body_of(request)).is_valid(raise_exception=True)
        count = services.send_test(organization=organization_of(request._request))
        return Response({"messages": count}, status=status.HTTP_202_ACCEPTED)
