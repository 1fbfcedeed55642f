"""Members over HTTP, on both kinds of host: an organization's, and the platform's own users."""

from functools import partial
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from shared.database import LARGEST_ID
from shared.identity.lockout import client_address
from shared.identity.permissions import Permission
from shared.identity.realm import realm_of
from shared.identity.roles import ROLES
from shared.mails import tell_of_second_factor
from shared.members import services
from shared.members.mail import send_invitation
from shared.members.services import Member
from shared.rest.fields import PasswordField, StrictBooleanField, StrictSerializer, StringField, WholeNumberField
from shared.rest.pagination import PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.permissions import needs
from shared.rest.views import APIView


class MemberSerializer(serializers.Serializer[Member]):
    username = serializers.CharField()
    role = serializers.ChoiceField(list(ROLES))
    seller_id = serializers.IntegerField(allow_null=True, help_text="On whose account a seller or a cashier sells.")
    is_active = serializers.BooleanField()
    second_factor = serializers.BooleanField(help_text="Whether it has one: an app or a passkey.")
    last_sign_in = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class NewMemberSerializer(StrictSerializer):
    username = StringField(max_length=150)
    password = PasswordField(
        required=False,
        help_text="It must be changed at the first sign-in on the pages. Without one, a link to choose it is sent to "
        "the email address, good once and for 7 days.",
    )
    role = StringField(max_length=40)
    email = serializers.EmailField(max_length=254, required=False)
    seller_id = WholeNumberField(
        least=1, most=LARGEST_ID, required=False, allow_null=True, help_text="Of a cashier, and of no other role."
    )


class MemberChangesSerializer(StrictSerializer):
    role = StringField(max_length=40, required=False)
    seller_id = WholeNumberField(
        least=1, most=LARGEST_ID, required=False, allow_null=True, help_text="With the role of a cashier."
    )
    is_active = StrictBooleanField(required=False)
    second_factor = StrictBooleanField(
        required=False, help_text="`false` takes away the second factors that a member has lost. `true` is refused."
    )


class MembersView(APIView):
    permission_classes = (needs(Permission.VIEW_MEMBERS, POST=Permission.MANAGE_MEMBERS),)

    @extend_schema(parameters=[PageQuery], responses=page_serializer(MemberSerializer))
    def get(self, request: Request) -> Response:
        """Who may sign in here, and as what, newest first; sellers' own members among them."""
        return page_of(
            request,
            services.members(realm_of(request._request)),
            PageQuery.read(request),
            MemberSerializer,
            render=_shown,
        )

    @extend_schema(request=NewMemberSerializer, responses={201: MemberSerializer})
    def post(self, request: Request) -> Response:
        """Add a member. (A seller's own is made with the seller: POST /sellers.)"""
        body = NewMemberSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        realm = realm_of(request._request)
        member = services.add_member(realm=realm, **body.validated_data)
        if member.is_invited:
            send_invitation(request._request, member)
        return Response(MemberSerializer(member).data, status=status.HTTP_201_CREATED)


class MemberView(APIView):
    permission_classes = (needs(Permission.VIEW_MEMBERS, PATCH=Permission.MANAGE_MEMBERS),)

    @extend_schema(request=MemberChangesSerializer, responses=MemberSerializer)
    def patch(self, request: Request, username: str) -> Response:
        """Give a member another role, switch it off or on, or take its lost second factors away, in force at once.

        The last active admin stays (409 `last_admin`). A seller's own member changes with the seller (PATCH
        /sellers/{id}), but for its second factors. Nobody takes away the own ones so (403 `own_second_factor`).
        """
        body = MemberChangesSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        member = services.change_member(
            realm=realm_of(request._request),
            username=username,
            when_reset=partial(tell_of_second_factor, request._request, is_added=False),
            **body.validated_data,
        )
        return Response(MemberSerializer(member).data)


class InvitationSerializer(StrictSerializer):
    email = serializers.EmailField(
        max_length=254, required=False, help_text="Another address; the link that was sent before is not good then."
    )


class InvitationView(APIView):
    permission_classes = (needs(Permission.MANAGE_MEMBERS),)

    @extend_schema(request=InvitationSerializer, responses=MemberSerializer)
    def post(self, request: Request, username: str) -> Response:
        """Send an invitation once more, to whoever has not chosen a password yet (409 `not_invited` otherwise)."""
        body = InvitationSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        member = services.renew_invitation(
            realm=realm_of(request._request),
            username=username,
            address=client_address(request._request),
            **body.validated_data,
        )
        send_invitation(request._request, member)
        return Response(MemberSerializer(member).data)


def _shown(row: Any) -> dict[str, Any]:
    data: dict[str, Any] = MemberSerializer(services.member_in(row)).data
    return data
