"""Webhooks over HTTP: a seller manages the seller's own, an admin the organization's, and sees all."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from credit.api.credit import horizon_of_list, narrow_to_own
from credit.api.permissions import needs, own_seller_id
from credit.models import WebhookAttempt, WebhookEndpoint, WebhookMessage
from credit.webhooks import services
from credit.webhooks.addresses import LONGEST_URL, UrlRefused, parse_url
from shared.horizon import horizon_of
from shared.identity.permissions import Permission
from shared.rest.fields import IdParameter, StrictBooleanField, StrictSerializer, StringField
from shared.rest.idempotency import optional_key_of, replayed
from shared.rest.openapi import OPTIONAL_KEY, REPLAYED
from shared.rest.pagination import PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.views import APIView
from tenants.routing import organization_of


class CallableUrlField(StringField):
    """A URL that the worker may call, as far as can be told now."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=LONGEST_URL, **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        url = super().run_validation(data)
        try:
            parse_url(url)
        except UrlRefused as error:
            raise serializers.ValidationError(str(error), code=error.code) from None
        return url


class EventsField(serializers.ListField):
    """Names of events, in the order of the documentation and each once."""

    def __init__(self, **options: Any) -> None:
        child = serializers.ChoiceField(WebhookEndpoint.Event.choices)
        super().__init__(child=child, allow_empty=False, max_length=20, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > 20:  # before each of them is looked at
            self.fail("max_length", max_length=20)
        given = super().to_internal_value(data)
        return [event for event in WebhookEndpoint.Event.values if event in given]


class NewWebhookSerializer(StrictSerializer):
    url = CallableUrlField()
    events = EventsField()


class WebhookChangeSerializer(StrictSerializer):
    url = CallableUrlField(required=False)
    events = EventsField(required=False)
    is_active = StrictBooleanField(required=False, help_text="True enables it again, whatever had disabled it.")


class WebhookSerializer(serializers.ModelSerializer[WebhookEndpoint]):
    seller_id = serializers.IntegerField(
        allow_null=True, help_text="Null: the organization's, for all sellers' events."
    )
    events = serializers.ListField(child=serializers.ChoiceField(WebhookEndpoint.Event.choices))
    is_active = serializers.SerializerMethodField()
    disabled = serializers.CharField(
        help_text="Why it is not active: by_hand, gone (it answered 410), failing (for five days), or empty."
    )

    class Meta:
        model = WebhookEndpoint
        fields: tuple[str, ...] = ("id", "seller_id", "url", "events", "is_active", "disabled", "created_at")

    def get_is_active(self, endpoint: WebhookEndpoint) -> bool:
        return not endpoint.disabled


class WebhookWithSecretSerializer(WebhookSerializer):
    secret = serializers.SerializerMethodField(help_text="Signs every message. It is shown this once.")

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret")

    def get_secret(self, endpoint: WebhookEndpoint) -> str:
        secret: str = self.context["secret"]
        return secret


class NewSecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="Signs every message. It is shown this once.")
    previous_valid_until = serializers.DateTimeField(
        help_text="Until then messages carry the previous one's signature too."
    )


class DeliveryAttemptSerializer(serializers.ModelSerializer[WebhookAttempt]):
    class Meta:
        model = WebhookAttempt
        fields = ("attempted_at", "latency_ms", "status_code", "error", "answer")


class DeliverySerializer(serializers.ModelSerializer[WebhookMessage]):
    message_id = serializers.SerializerMethodField(help_text="The header webhook-id, the same at every attempt.")
    event = serializers.ChoiceField(WebhookEndpoint.Event.choices)
    next_attempt_at = serializers.DateTimeField(source="due_at", allow_null=True)
    attempts = DeliveryAttemptSerializer(source="shown_attempts", many=True, help_text="The last 20, newest first.")

    class Meta:
        model = WebhookMessage
        fields = (
            "id",
            "message_id",
            "event",
            "data",
            "status",
            "created_at",
            "delivered_at",
            "next_attempt_at",
            "attempts",
        )

    def get_message_id(self, message: WebhookMessage) -> str:
        return message.message_id


class WebhookQuery(PageQuery):
    seller_id = IdParameter(required=False, help_text="Admins only.")


class WebhooksView(APIView):
    permission_classes = (needs(Permission.VIEW_WEBHOOKS, POST=Permission.MANAGE_WEBHOOKS),)

    @extend_schema(parameters=[WebhookQuery], responses=page_serializer(WebhookSerializer))
    def get(self, request: Request) -> Response:
        """Webhooks, newest first: a seller's own; for an admin the organization's and all sellers'."""
        query = WebhookQuery.read(request)
        filters = narrow_to_own(request, query)
        horizon = horizon_of_list(request, filters)
        return page_of(request, services.webhooks(**filters), query, WebhookSerializer, horizon=horizon)

    @extend_schema(
        parameters=[OPTIONAL_KEY, REPLAYED],
        request=NewWebhookSerializer,
        responses={200: WebhookWithSecretSerializer, 201: WebhookWithSecretSerializer},
    )
    def post(self, request: Request) -> Response:
        """Have an address called when something happens: to the seller who asks; for an admin, to any seller.

        The same again (with the same Idempotency-Key; or within 15 minutes, without one) is answered with the webhook
        that there is then, and its secret.
        """
        key = optional_key_of(request._request)
        body = NewWebhookSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        endpoint, secret = services.create_webhook(
            organization=organization_of(request._request),
            seller_id=own_seller_id(request),
            once=True,
            idempotency_key=key,
            **body.validated_data,
        )
        data = WebhookWithSecretSerializer(endpoint, context={"secret": secret}).data
        return replayed(Response(data)) if endpoint.is_replay else Response(data, status=status.HTTP_201_CREATED)


class WebhookView(APIView):
    permission_classes = (
        needs(Permission.VIEW_WEBHOOKS, PATCH=Permission.MANAGE_WEBHOOKS, DELETE=Permission.MANAGE_WEBHOOKS),
    )

    @extend_schema(responses=WebhookSerializer)
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """One webhook."""
        endpoint = services.webhook_by_id(webhook_id, seller_id=own_seller_id(request))
        return Response(WebhookSerializer(endpoint).data)

    @extend_schema(request=WebhookChangeSerializer, responses=WebhookSerializer)
    def patch(self, request: Request, webhook_id: UUID) -> Response:
        """Change a webhook, or switch it off or on. What waits to be sent is given up when it is switched off."""
        body = WebhookChangeSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        endpoint = services.update_webhook(
            webhook_id=webhook_id, seller_id=own_seller_id(request), **body.validated_data
        )
        return Response(WebhookSerializer(endpoint).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        """Delete a webhook and its deliveries."""
        services.delete_webhook(webhook_id=webhook_id, seller_id=own_seller_id(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class RotateSecretView(APIView):
    permission_classes = (needs(Permission.MANAGE_WEBHOOKS),)

    @extend_schema(parameters=[OPTIONAL_KEY, REPLAYED], request=None, responses=NewSecretSerializer)
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Make a new secret. For 24 hours messages are signed with the previous one as well.

        The same again (with the same Idempotency-Key; or within 15 minutes, without one) is answered with the secret
        that was made then.
        """
        key = optional_key_of(request._request)
        StrictSerializer(data=body_of(request)).is_valid(raise_exception=True)
        endpoint, secret = services.rotate_secret(
            webhook_id=webhook_id, seller_id=own_seller_id(request), idempotency_key=key
        )
        shown = NewSecretSerializer({"secret": secret, "previous_valid_until": endpoint.previous_secret_until})
        return replayed(Response(shown.data)) if endpoint.is_replay else Response(shown.data)


class DeliveriesView(APIView):
    permission_classes = (needs(Permission.VIEW_WEBHOOKS),)

    @extend_schema(parameters=[PageQuery], responses=page_serializer(DeliverySerializer))
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """What was sent to a webhook, or is to be, newest first, with the attempts and what was answered."""
        query = PageQuery.read(request)
        endpoint = services.webhook_by_id(webhook_id, seller_id=own_seller_id(request))
        # Also of one seller's endpoint: that a recharge succeeded is written without the seller's lock.
        horizon = horizon_of(organization_id=organization_of(request._request).pk, table=WebhookMessage._meta.db_table)
        return page_of(request, services.deliveries(endpoint.pk), query, DeliverySerializer, horizon=horizon)


class ResendView(APIView):
    permission_classes = (needs(Permission.MANAGE_WEBHOOKS),)

    @extend_schema(request=None, responses={202: DeliverySerializer})
    def post(self, request: Request, webhook_id: UUID, delivery_id: UUID) -> Response:
        """Send it again, now, under the same message id; also if it had arrived."""
        StrictSerializer(data=body_of(request)).is_valid(raise_exception=True)
        message = services.resend_message(
            organization=organization_of(request._request),
            webhook_id=webhook_id,
            seller_id=own_seller_id(request),
            message_id=delivery_id,
        )
        return Response(DeliverySerializer(message).data, status=status.HTTP_202_ACCEPTED)
