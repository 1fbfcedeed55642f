"""Organizations, and what was done to them, for the platform's people."""

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from shared.acts import ACTS, PLATFORM_ACTS
from shared.identity.permissions import Permission
from shared.rest.audit import AuditFilters
from shared.rest.fields import PasswordField, ReadableField, StrictSerializer, StringField
from shared.rest.pagination import PageQuery, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.permissions import needs
from shared.rest.renderers import CSVRenderer, JSONRenderer
from shared.rest.views import APIView
from tenants import queries, services
from tenants.exports import as_json, csv_response, pages_of
from tenants.models import AuditRecord, Organization


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
        )
        return Response(OrganizationSerializer(organization).data, status=status.HTTP_201_CREATED)


class OrganizationView(APIView):
    permission_classes = (needs(Permission.VIEW_ORGANIZATIONS),)

    @extend_schema(responses=OrganizationSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """One organization."""
        return Response(OrganizationSerializer(queries.organization_by_slug(slug)).data)


class SuspensionSerializer(StrictSerializer):
    reason = ReadableField(required=False, allow_blank=True, max_length=services.LONGEST_REASON)


class SuspendView(APIView):
    permission_classes = (needs(Permission.MANAGE_ORGANIZATIONS),)

    @extend_schema(request=SuspensionSerializer, responses=OrganizationSerializer)
    def post(self, request: Request, slug: str) -> Response:
        """Stop answering for an organization. May be repeated. The reason is for the audit log."""
        body = SuspensionSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        organization = services.suspend_organization(slug=slug, reason=body.validated_data.get("reason", ""))
        return Response(OrganizationSerializer(organization).data)


class ActivateView(APIView):
    permission_classes = (needs(Permission.MANAGE_ORGANIZATIONS),)

    @extend_schema(request=None, responses=OrganizationSerializer)
    def post(self, request: Request, slug: str) -> Response:
        """Answer for a suspended organization again. May be repeated."""
        StrictSerializer(data=body_of(request)).is_valid(raise_exception=True)
        organization = services.activate_organization(slug=slug)
        return Response(OrganizationSerializer(organization).data)


# --- The audit log ----------------------------------------------------------------------------------------------------


class PlatformRecordSerializer(serializers.ModelSerializer[AuditRecord]):
    at = serializers.DateTimeField(source="created_at")
    actor = serializers.CharField(source="username", help_text="As it was then; empty: a command on the server.")
    action = serializers.CharField(
        help_text="`suspended` and its like, of organizations; else as `member.role_changed`."
    )
    before = serializers.DictField(allow_null=True)
    after = serializers.DictField(allow_null=True)

    class Meta:
        model = AuditRecord
        fields = queries.AUDIT_COLUMNS


class PlatformAuditFilters(AuditFilters):
    organization = serializers.CharField(required=False, max_length=63, help_text="A slug.")
    action = serializers.ChoiceField(
        choices=sorted({**ACTS, **PLATFORM_ACTS}), required=False, help_text="As in `suspended` or `member.created`."
    )


class PlatformAuditQuery(PlatformAuditFilters, PageQuery):
    pass


class AuditView(APIView):
    permission_classes = (needs(Permission.VIEW_AUDIT_LOG),)

    @extend_schema(parameters=[PlatformAuditQuery], responses=page_serializer(PlatformRecordSerializer))
    def get(self, request: Request) -> Response:
        """What was done on the platform's host, newest first. Rows appear in the order of their ids."""
        query = PlatformAuditQuery.read(request)
        filters = {name: value for name, value in query.items() if name not in PageQuery().fields}
        return page_of(request, queries.audit_records(**filters), query, PlatformRecordSerializer)


class AuditExportView(APIView):
    permission_classes = (needs(Permission.VIEW_AUDIT_LOG),)
    renderer_classes = (CSVRenderer, JSONRenderer)

    @extend_schema(parameters=[PlatformAuditFilters], responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponseBase:
        """The same as CSV, all of it; `before` and `after` are JSON."""
        filters = PlatformAuditFilters.read(request)
        exported = queries.audit_records(**filters)
        return csv_response(
            filename="audit.csv",
            columns=queries.AUDIT_COLUMNS,
            pages=as_json(pages_of(None, lambda **after: exported.filter(**after)), "before", "after"),
            request=request._request,
            person=request.user.pk,
            filters=filters,
        )
