"""API keys over HTTP: a seller manages own ones, an admin everybody's and the organization's.

They are here and not in shared, since a key is a seller's, and sellers are in the organization's schema.
"""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from credit import services
from credit.api.credit import narrow_to_own
from credit.api.permissions import needs, own_seller_id
from shared.database import LARGEST_ID
from shared.errors import InvalidRequest
from shared.identity import keys
from shared.identity.permissions import Permission
from shared.identity.queries import username_of
from shared.identity.realm import realm_of
from shared.identity.roles import KEY_SCOPES
from shared.mails import tell_of_new_key
from shared.models import ApiKey
from shared.rest.authentication import require_principal
from shared.rest.fields import (
    IdParameter,
    ReadableField,
    StrictBooleanField,
    StrictSerializer,
    StringField,
    TimeField,
    WholeNumberField,
)
from shared.rest.pagination import PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.views import APIView
from tenants.routing import organization_of


class ScopesField(serializers.ListField):
    """What a key may do, each once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=serializers.ChoiceField(list(KEY_SCOPES)), allow_empty=False, max_length=10, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > 10:  # before each of them is looked at
            self.fail("max_length", max_length=10)
        return super().to_internal_value(data)


class AddressesField(serializers.ListField):
    """IP addresses and networks; the service reads them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=StringField(max_length=60), max_length=keys.MOST_ADDRESSES, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > keys.MOST_ADDRESSES:
            self.fail("max_length", max_length=keys.MOST_ADDRESSES)
        return super().to_internal_value(data)


class NewApiKeySerializer(StrictSerializer):
    name = ReadableField(max_length=100)
    scopes = ScopesField(help_text="A key of the organization has read alone.")
    seller_id = WholeNumberField(
        least=1,
        most=LARGEST_ID,
        required=False,
        allow_null=True,
        default=None,
        help_text="Whose. A seller's are always the own; for an admin, null: the organization's.",
    )
    allowed_addresses = AddressesField(
        required=False, help_text="IP addresses and networks that it is let in from; none: from everywhere."
    )
    expires_at = TimeField(required=False, allow_null=True, default=None)


class RotationSerializer(StrictSerializer):
    end_old = StrictBooleanField(
        required=False,
        default=False,
        help_text="True: the new secret alone is good from now on, and access that was given ends.",
    )


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    seller_id = serializers.IntegerField(allow_null=True, help_text="Null: the organization's.")
    scopes = serializers.ListField(child=serializers.ChoiceField(list(KEY_SCOPES)))
    allowed_addresses = serializers.ListField(child=serializers.CharField())
    hint = serializers.CharField(help_text="The end of its secret.")
    is_active = serializers.SerializerMethodField(help_text="Neither ended nor expired.")
    old_secret_until = serializers.DateTimeField(
        source="former_until", allow_null=True, help_text="Until then the secret before is good, too."
    )
    last_used_from = serializers.SerializerMethodField(help_text="An address; null: it was never used.")

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            "id",
            "name",
            "seller_id",
            "scopes",
            "allowed_addresses",
            "hint",
            "is_active",
            "created_by",
            "created_at",
            "expires_at",
            "old_secret_until",
            "last_used_at",
            "last_used_from",
            "ended_at",
        )

    def get_is_active(self, key: ApiKey) -> bool:
        return keys.is_living(key)

    def get_last_used_from(self, key: ApiKey) -> str | None:
        return key.last_used_from or None


class ApiKeyWithSecretSerializer(ApiKeySerializer):
    secret = serializers.SerializerMethodField(help_text="It is shown this once.")

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "secret")

    def get_secret(self, key: ApiKey) -> str:
        secret: str = self.context["secret"]
        return secret


class ApiKeyQuery(PageQuery):
    seller_id = IdParameter(required=False, help_text="Admins only.")


class ApiKeysView(APIView):
    permission_classes = (needs(Permission.VIEW_API_KEYS, POST=Permission.MANAGE_API_KEYS),)

    @extend_schema(parameters=[ApiKeyQuery], responses=page_serializer(ApiKeySerializer))
    def get(self, request: Request) -> Response:
        """API keys, newest first: a seller's own; for an admin the organization's and all sellers'.

        Those that have ended are here for 30 days more.
        """
        query = ApiKeyQuery.read(request)
        rows = keys.api_keys(organization_id=organization_of(request._request).pk, **narrow_to_own(request, query))
        return page_of(request, rows, query, ApiKeySerializer)

    @extend_schema(request=NewApiKeySerializer, responses={201: ApiKeyWithSecretSerializer})
    def post(self, request: Request) -> Response:
        """Make an API key, with which a program gets access tokens (POST /auth/token).

        The secret is shown this once. At most 20 of a seller, and 100 in all, that are neither ended nor expired.
        """
        body = NewApiKeySerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        asked, own = dict(body.validated_data), own_seller_id(request)
        if own is not None:
            if asked["seller_id"] not in (None, own):
                raise InvalidRequest.of_field("seller_id", "not_yours", "A seller makes own keys only.")
            asked["seller_id"] = own
        principal = require_principal(request)
        assert principal.user_id is not None  # no key has the permission
        username = username_of(principal, realm_of(request._request)) or ""
        key, secret = services.create_api_key(
            organization=organization_of(request._request), created_by=username, **asked
        )
        tell_of_new_key(request._request, key, user_id=principal.user_id)
        data = ApiKeyWithSecretSerializer(key, context={"secret": secret}).data
        return Response(data, status=status.HTTP_201_CREATED)


class ApiKeyView(APIView):
    permission_classes = (needs(Permission.VIEW_API_KEYS, DELETE=Permission.MANAGE_API_KEYS),)

    @extend_schema(responses=ApiKeySerializer)
    def get(self, request: Request, key_id: UUID) -> Response:
        """One API key."""
        key = keys.api_key_by_id(key_id, **_owner(request))
        return Response(ApiKeySerializer(key).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, key_id: UUID) -> Response:
        """End an API key, and the access that it was given. One that has ended stays as it is."""
        keys.end_key(key_id=key_id, **_owner(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class RotateApiKeyView(APIView):
    permission_classes = (needs(Permission.MANAGE_API_KEYS),)

    @extend_schema(request=RotationSerializer, responses=ApiKeyWithSecretSerializer)
    def post(self, request: Request, key_id: UUID) -> Response:
        """Make a new secret, shown this once. For 24 hours the one before is good as well, and none older.

        With `end_old` the new one alone is good from now on, and access that was given ends.
        """
        body = RotationSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        key, secret = keys.rotate_key(key_id=key_id, **_owner(request), **body.validated_data)
        user_id = require_principal(request).user_id
        assert user_id is not None  # no key has the permission
        tell_of_new_key(request._request, key, user_id=user_id, is_rotated=True)
        return Response(ApiKeyWithSecretSerializer(key, context={"secret": secret}).data)


def _owner(request: Request) -> dict[str, Any]:
    """Whose keys somebody may reach: those of the own seller; who sees all sellers reaches all."""
    return {"organization_id": organization_of(request._request).pk, "seller_id": own_seller_id(request)}
