"""The API of one's own second factor, on both kinds of host."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from shared.identity.accounts import Account, account_of
from shared.identity.lockout import client_address
from shared.identity.realm import realm_of
from shared.mails import tell_of_second_factor
from shared.rest.authentication import require_principal
from shared.rest.fields import StrictSerializer, StringField
from shared.rest.parsers import body_of
from shared.rest.permissions import OwnAccount
from shared.rest.views import APIView
from shared.second_factor import services


class CodeSerializer(StrictSerializer):
    code = StringField(max_length=services.LONGEST_CODE, help_text="What the app shows now, or a recovery code.")


class EmptySerializer(StrictSerializer):
    """A body without fields."""


class SecondFactorSerializer(serializers.Serializer[Any]):
    totp = serializers.BooleanField(help_text="Whether an authenticator app is in force.")
    passkeys = serializers.IntegerField(help_text="How many there are; they are used on the pages.")
    recovery_codes = serializers.IntegerField(help_text="How many are left.")
    is_required = serializers.BooleanField(help_text="Whether this host lets in nobody without a second factor.")


class EnrolmentSerializer(serializers.Serializer[services.Enrolment]):
    secret = serializers.CharField(help_text="In base32, as apps take it by hand.")
    uri = serializers.CharField(help_text="otpauth://…, what the QR code of an app's enrolment holds.")


class RecoveryCodesSerializer(serializers.Serializer[Any]):
    recovery_codes = serializers.ListField(
        child=serializers.CharField(), help_text="Each stands in for a code once. They are not shown again."
    )


class _OwnView(APIView):
    permission_classes = (OwnAccount,)

    def own_account(self, request: Request) -> Account:
        user_id = require_principal(request).user_id
        assert user_id is not None
        return account_of(realm=realm_of(request._request), user_id=user_id)

    def check_code(self, request: Request, account: Account) -> None:
        """Raises WrongCode, Throttled."""
        services.check_code_of(
            account,
            realm=realm_of(request._request),
            code=_code_in(request),
            address=client_address(request._request),
        )


def _code_in(request: Request) -> str:
    body = CodeSerializer(data=body_of(request))
    body.is_valid(raise_exception=True)
    code: str = body.validated_data["code"]
    return code


class SecondFactorView(_OwnView):
    @extend_schema(responses=SecondFactorSerializer)
    def get(self, request: Request) -> Response:
        """What second factors this account has."""
        factors = services.factors_of(self.own_account(request).user)
        return Response(
            SecondFactorSerializer(
                {
                    "totp": factors.app_since is not None,
                    "passkeys": len(factors.passkeys),
                    "recovery_codes": factors.recovery_codes,
                    "is_required": services.is_required(realm_of(request._request)),
                }
            ).data
        )


class TotpView(_OwnView):
    @extend_schema(request=EmptySerializer, responses={201: EnrolmentSerializer})
    def post(self, request: Request) -> Response:
        """Begin to enrol an authenticator app: its secret. It is not in force until a code of it was confirmed."""
        EmptySerializer(data=body_of(request)).is_valid(raise_exception=True)
        enrolment = services.begin_totp(self.own_account(request), realm=realm_of(request._request))
        return Response(EnrolmentSerializer(enrolment).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=CodeSerializer, responses={204: None})
    def delete(self, request: Request) -> Response:
        """Remove the authenticator app, with a code of it or a recovery code. The last second factor stays where one is
        required."""
        account = self.own_account(request)
        self.check_code(request, account)
        services.remove_totp(account, realm=realm_of(request._request))
        tell_of_second_factor(request._request, account.user, is_added=False)
        return Response(status=status.HTTP_204_NO_CONTENT)


class TotpConfirmView(_OwnView):
    @extend_schema(request=CodeSerializer, responses=RecoveryCodesSerializer)
    def post(self, request: Request) -> Response:
        """Put the authenticator app in force with a first code of it. From now on, signing in asks for one. The answer
        has recovery codes, this once; those from before are good no longer."""
        account = self.own_account(request)
        codes = services.confirm_totp(account, code=_code_in(request))
        tell_of_second_factor(request._request, account.user, is_added=True)
        return Response(RecoveryCodesSerializer({"recovery_codes": codes}).data)


class RecoveryCodesView(_OwnView):
    @extend_schema(request=CodeSerializer, responses=RecoveryCodesSerializer)
    def post(self, request: Request) -> Response:
        """Make new recovery codes, with a code of the app or an old recovery code. The old ones are good no longer."""
        account = self.own_account(request)
        self.check_code(request, account)
        return Response(RecoveryCodesSerializer({"recovery_codes": services.replace_recovery_codes(account)}).data)
