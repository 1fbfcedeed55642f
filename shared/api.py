"""The API's sign-in and sign-out, on both kinds of host."""

from datetime import datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from shared.identity import accounts, keys, sign_ins, signing_in
from shared.identity.lockout import client_address, client_of
from shared.identity.permissions import Permission
from shared.identity.realm import Realm, realm_of
from shared.identity.roles import ROLES, may
from shared.identity.tokens import Principal
from shared.models import SignIn
from shared.rest.authentication import require_principal
from shared.rest.fields import PasswordField, StrictSerializer, StringField
from shared.rest.pagination import PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.permissions import OwnSessions
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


class TokenPairSerializer(serializers.Serializer[signing_in.TokenPair]):
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
        pair = signing_in.sign_in(
            realm=realm_of(request._request),
            address=client_address(request._request),
            client=client_of(request.META),
            **body.validated_data,
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
        """Refresh: a new pair; the old refresh token is spent, and using it again ends the session.

        An answer may be lost on the way: within 30 seconds the old token is answered once more, with the same new one.
        """
        body = RefreshSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        pair = signing_in.refresh(
            realm=realm_of(request._request),
            raw_token=body.validated_data["refresh"],
            address=client_address(request._request),
            client=client_of(request.META),
        )
        return Response(TokenPairSerializer(pair).data)


class TokenRevokeView(_OpenView):
    @extend_schema(request=RefreshSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Sign out: no refresh token of this sign-in is good any longer."""
        body = RefreshSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        signing_in.revoke(realm=realm_of(request._request), raw_token=body.validated_data["refresh"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(APIView):
    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """Who this token speaks for, and what it may do now."""
        principal, realm = require_principal(request), realm_of(request._request)
        somebody: Principal | accounts.Account = principal
        if principal.user_id is None:
            name, must_change = (
                keys.living_key_of(principal, organization_id=realm.require_organization_id()).name,
                False,
            )
        else:
            somebody = account = accounts.account_of(realm=realm, user_id=principal.user_id)
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


class SessionSerializer(serializers.ModelSerializer[SignIn]):
    id = serializers.UUIDField(source="public_id")
    kind = serializers.ChoiceField(SignIn.Kind.choices, help_text="A browser's session, or a program's tokens.")
    address = serializers.CharField(help_text="The client's, when it was last seen.")
    client = serializers.CharField(help_text="What it calls itself (`User-Agent`).")
    since = serializers.DateTimeField(source="created_at")
    last_seen = serializers.SerializerMethodField(help_text="Of an API session: when it was refreshed last.")
    current = serializers.SerializerMethodField(help_text="Whether it is the one that asks.")

    class Meta:
        model = SignIn
        fields = ("id", "kind", "address", "client", "since", "last_seen", "current")

    def get_last_seen(self, session: SignIn) -> datetime:
        return session.last_seen_at or session.created_at

    def get_current(self, session: SignIn) -> bool:
        return bool(session.pk == self.context["current"])


class SessionsView(APIView):
    permission_classes = (OwnSessions,)

    @extend_schema(parameters=[PageQuery], responses=page_serializer(SessionSerializer))
    def get(self, request: Request) -> Response:
        """Where you are signed in, newest first: browsers and programs."""
        realm, user_id, current = _own(request)
        rows = sign_ins.sign_ins_of(realm=realm, user_id=user_id)
        query = PageQuery.read(request)
        return page_of(request, rows, query, SessionSerializer, context=lambda _rows: {"current": current})

    @extend_schema(responses={204: None})
    def delete(self, request: Request) -> Response:
        """End all sessions but this one, and the access tokens that came from them."""
        realm, user_id, current = _own(request)
        sign_ins.end_other_sessions(realm=realm, user_id=user_id, but=current)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SessionView(APIView):
    permission_classes = (OwnSessions,)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, session_id: UUID) -> Response:
        """End one of your sessions, and the access tokens that came from it. One that has ended stays ended."""
        realm, user_id, _current = _own(request)
        sign_ins.end_session(realm=realm, user_id=user_id, session_id=session_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _own(request: Request) -> tuple[Realm, int, int | None]:
    principal = require_principal(request)
    assert principal.user_id is not None  # see OwnSessions
    return realm_of(request._request), principal.user_id, principal.family
