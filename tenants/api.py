"""Organizations, for platform admins."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from shared.identity.permissions import Permission
from shared.rest.authentication import require_principal
from shared.rest.fields import PasswordField, ReadableField, StrictSerializer, StringField
from shared.rest.pagination import PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.permissions import needs
from shared.rest.views import APIView
from tenants import queries, services
from tenants.audit import Actor, actor_of
from tenants.models import Organization


class FirstAdminSerializer(StrictSerializer):
    username = StringField(max_length=150)
    password = PasswordField()
    email = serializers.EmailField(max_length=254, required=False)


class NewOrganizationSerializer(StrictSerializer):
    slug = StringField(max_length=63)
    name = ReadableField(max_length=200)
    admin = FirstAdminSerializer()


class OrganizationSerializer(serializers.ModelSerializer[Organization]):
    domain = serializers.SerializerMethodField()

    class Meta:
        model = Organization
        fields = ("slug", "name", "status", "domain", "created_at")

    def get_domain(self, organization: Organization) -> str:
        domains = sorted(organization.domains.all(), key=lambda domain: not domain.is_primary)
        return domains[0].domain if domains else services.domain_of(organization.slug)


def _actor(request: Request) -> Actor:
    return actor_of(request._request, require_principal(request).user_id)


class OrganizationsView(APIView):
    permission_classes = (needs(Permission.VIEW_ORGANIZATIONS, POST=Permission.MANAGE_ORGANIZATIONS),)

    @extend_schema(parameters=[PageQuery], responses=page_serializer(OrganizationSerializer))
    def get(self, request: Request) -> Response:
        """All organizations, newest first."""
        return page_of(request, queries.organizations(), PageQuery.read(request), OrganizationSerializer)

    @extend_schema(request=NewOrganizationSerializer, responses={201: OrganizationSerializer})
    def post(self, request: Request) -> Response:
        """Provision an organization: its host, its schema, its first admin."""
        body = NewOrganizationSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        admin: dict[str, Any] = body.validated_data["admin"]
        organization = services.provision_organization(
            slug=body.validated_data["slug"],
            name=body.validated_data["name"],
            admin_username=admin["username"],
            admin_password=admin["password"],
            admin_email=admin.get("email", ""),
            by=_actor(request),
        )
        return Response(OrganizationSerializer(organization).data, status=status.HTTP_201_CREATED)


class OrganizationView(APIView):
    permission_classes = (needs(Permission.VIEW_ORGANIZATIONS),)

    @extend_schema(responses=OrganizationSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """One organization."""
        return Response(OrganizationSerializer(queries.organization_by_slug(slug)).data)


class SuspendView(APIView):
    permission_classes = (needs(Permission.MANAGE_ORGANIZATIONS),)

    @extend_schema(request=None, responses=OrganizationSerializer)
    def post(self, request: Request, slug: str) -> Response:
        """Stop answering for an organization. Again is fine."""
        StrictSerializer(data=body_of(request)).is_valid(raise_exception=True)
        organization = services.suspend_organization(slug=slug, by=_actor(request))
        return Response(OrganizationSerializer(organization).data)


class ActivateView(APIView):
    permission_classes = (needs(Permission.MANAGE_ORGANIZATIONS),)

    @extend_schema(request=None, responses=OrganizationSerializer)
    def post(self, request: Request, slug: str) -> Response:
        """Answer for a suspended organization again. Again is fine."""
        StrictSerializer(data=body_of(request)).is_valid(raise_exception=True)
        organization = services.activate_organization(slug=slug, by=_actor(request))
        return Response(OrganizationSerializer(organization).data)
