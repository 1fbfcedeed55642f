"""The API's sign-in and sign-out, on both kinds of host."""

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from shared.identity import keys, services
from shared.identity.lockout import client_address
from shared.identity.permissions import Permission
from shared.identity.realm import realm_of
from shared.identity.roles import ROLES, may
from shared.identity.tokens import Principal
from shared.rest.authentication import require_principal
from shared.rest.fields import PasswordField, StrictSerializer, StringField
from shared.rest.parsers import body_of
from shared.rest.views import APIView
from shared.second_factor.services import LONGEST_CODE


class CredentialsSerializer(StrictSerializer):
    username = StringField(max_length=150)
    password = PasswordField()
    code = StringField(
        max_length=LONGEST_CODE,
        required=False,
        allow_blank=True,
        help_text="Of the second factor, where the account has one: what the app shows now, or a recovery code.",
    )


class RefreshSerializer(StrictSerializer):
    refresh = StringField(max_length=4096)


class ClientCredentialsSerializer(StrictSerializer):
    grant_type = serializers.ChoiceField(["client_credentials"])
    client_id = StringField(max_length=150, help_text="The API key's id.")
    client_secret = PasswordField(help_text="Its secret.")


class TokenPairSerializer(serializers.Serializer[services.TokenPair]):
    access = serializers.CharField()
    refresh = serializers.CharField()
    token_type = serializers.CharField(default="Bearer")
    expires_in = serializers.IntegerField(help_text="Seconds that the access token lives.")


class GrantSerializer(serializers.Serializer[keys.Grant]):
    access = serializers.CharField()
    token_type = serializers.CharField(default="Bearer")
    expires_in = serializers.IntegerField(help_text="Seconds that the access token lives.")
    scope = serializers.CharField(help_text="What it may do: scopes, with blanks between them.")


class MeSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    role = serializers.ChoiceField(list(ROLES))
    organization = serializers.CharField(allow_null=True)
    seller_id = serializers.IntegerField(allow_null=True)
    permissions = serializers.ListField(
        child=serializers.CharField(), help_text="What it may do, in alphabetical order."
    )
    must_change_password = serializers.BooleanField(
        help_text="Somebody else has set the password. On the pages nothing else can be done before it is changed."
    )


class _OpenView(APIView):
    """No token needed: the request itself carries what proves who is asking."""

    authentication_classes = ()
    permission_classes = ()

    def get_authenticate_header(self, request: Request) -> str:
        return "Bearer"


_OF_CLIENT_CREDENTIALS = {"grant_type", "client_id", "client_secret"}


class TokenView(_OpenView):
    @extend_schema(
        request=PolymorphicProxySerializer(
            "SignIn", [CredentialsSerializer, ClientCredentialsSerializer], resource_type_field_name=None
        ),
        responses=PolymorphicProxySerializer(
            "Access", [TokenPairSerializer, GrantSerializer], resource_type_field_name=None
        ),
    )
    def post(self, request: Request) -> Response:
        """Sign in: a pair of tokens for a username and a password (and a code, where the account has a second factor);
        or, for an API key's id and secret, an access token alone (the client-credentials grant of OAuth 2), to be had
        anew before it expires."""
        if _OF_CLIENT_CREDENTIALS & body_of(request).keys():
            return self._grant_access(request)
        body = CredentialsSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        pair = services.sign_in(
            realm=realm_of(request._request), address=client_address(request._request), **body.validated_data
        )
        return Response(TokenPairSerializer(pair).data)

    def _grant_access(self, request: Request) -> Response:
        body = ClientCredentialsSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        grant = keys.grant_access(
            realm=realm_of(request._request),
            client_id=body.validated_data["client_id"],
            client_secret=body.validated_data["client_secret"],
            address=client_address(request._request),
        )
        return Response(GrantSerializer(grant).data)


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
        """Who this token speaks for, and what it may do now."""
        principal, realm = require_principal(request), realm_of(request._request)
        somebody: Principal | services.Account = principal
        if principal.user_id is None:
            name, must_change = (
                keys.living_key_of(principal, organization_id=realm.require_organization_id()).name,
                False,
            )
        else:
            somebody = account = services.account_of(realm=realm, user_id=principal.user_id)
            name, must_change = account.username, account.user.must_change_password
        return Response(
            MeSerializer(
                {
                    "username": name,
                    "role": somebody.role,
                    "organization": realm.slug,
                    "seller_id": somebody.seller_id,
                    "permissions": sorted(permission for permission in Permission if may(somebody, permission)),
                    "must_change_password": must_change,
                }
            ).data
        )
