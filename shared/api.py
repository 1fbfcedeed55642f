"""The API's sign-in and sign-out, on both kinds of host."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from shared.identity import services
from shared.identity.lockout import client_address
from shared.identity.realm import realm_of
from shared.identity.roles import ROLES
from shared.rest.authentication import require_principal
from shared.rest.fields import PasswordField, StrictSerializer, StringField
from shared.rest.parsers import body_of
from shared.rest.views import APIView


class CredentialsSerializer(StrictSerializer):
    username = StringField(max_length=150)
    password = PasswordField()


class RefreshSerializer(StrictSerializer):
    refresh = StringField(max_length=4096)


class TokenPairSerializer(serializers.Serializer[services.TokenPair]):
    access = serializers.CharField()
    refresh = serializers.CharField()
    token_type = serializers.CharField(default="Bearer")
    expires_in = serializers.IntegerField(help_text="Seconds that the access token lives.")


class MeSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    role = serializers.ChoiceField(list(ROLES))
    organization = serializers.CharField(allow_null=True)
    seller_id = serializers.IntegerField(allow_null=True)


class _OpenView(APIView):
    """No token needed: the request itself carries what proves who is asking."""

    authentication_classes = ()
    permission_classes = ()

    def get_authenticate_header(self, request: Request) -> str:
        return "Bearer"


class TokenView(_OpenView):
    @extend_schema(request=CredentialsSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response:
        """Sign in: a pair of tokens for a username and a password."""
        body = CredentialsSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        pair = services.sign_in(
            realm=realm_of(request._request), address=client_address(request._request), **body.validated_data
        )
        return Response(TokenPairSerializer(pair).data)


class TokenRefreshView(_OpenView):
    @extend_schema(request=RefreshSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response:
        """Refresh: a new pair; the old refresh token is spent, and using it again ends the session."""
        body = RefreshSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        pair = services.refresh(realm=realm_of(request._request), raw_token=body.validated_data["refresh"])
        return Response(TokenPairSerializer(pair).data)


class TokenRevokeView(_OpenView):
    @extend_schema(request=RefreshSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Sign out: no refresh token of this sign-in is good any longer."""
        body = RefreshSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        services.revoke(realm=realm_of(request._request), raw_token=body.validated_data["refresh"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(APIView):
    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """Who this token speaks for."""
        principal, realm = require_principal(request), realm_of(request._request)
        assert principal.user_id is not None
        account = services.account_of(realm=realm, user_id=principal.user_id)
        return Response(
            MeSerializer(
                {
                    "username": account.username,
                    "role": principal.role,
                    "organization": realm.slug,
                    "seller_id": principal.seller_id,
                }
            ).data
        )
