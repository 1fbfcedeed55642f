"""What people and programs did in an organization, over HTTP."""

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from credit import queries
from credit.api.permissions import needs
from credit.models import AuditRecord
from shared.horizon import horizon_of_numbered
from shared.identity.permissions import Permission
from shared.pagination import settled
from shared.rest.audit import AuditFilters
from shared.rest.pagination import PageQuery, page_of, page_serializer, plain_row
from shared.rest.renderers import CSVRenderer, JSONRenderer
from shared.rest.views import APIView
from tenants.exports import as_json, csv_response, pages_of
from tenants.routing import organization_of

_horizon = horizon_of_numbered(table="credit_auditrecord", moment="at")


class AuditRecordSerializer(serializers.ModelSerializer[AuditRecord]):
    before = serializers.DictField(allow_null=True, help_text="Of what was changed, the fields as they were.")
    after = serializers.DictField(allow_null=True, help_text="The fields as they are since then.")

    class Meta:
        model = AuditRecord
        fields = queries.AUDIT_COLUMNS


def _rendered(row: AuditRecord) -> dict[str, Any]:
    """As the serializer does."""
    return plain_row(row, queries.AUDIT_COLUMNS)


class AuditQuery(AuditFilters, PageQuery):
    pass


class AuditView(APIView):
    permission_classes = (needs(Permission.VIEW_AUDIT_LOG),)

    @extend_schema(parameters=[AuditQuery], responses=page_serializer(AuditRecordSerializer))
    def get(self, request: Request) -> Response:
        """Who did what, from where, newest first. `actor` is the username, or the API key's name, as it was then;
        empty: a command on the server, or somebody who was not signed in."""
        query = AuditQuery.read(request)
        filters = {name: value for name, value in query.items() if name not in PageQuery().fields}
        rows = queries.audit_records(**filters)
        return page_of(request, rows, query, AuditRecordSerializer, horizon=_horizon, render=_rendered)


class AuditExportView(APIView):
    permission_classes = (needs(Permission.VIEW_AUDIT_LOG),)
    renderer_classes = (CSVRenderer, JSONRenderer)

    @extend_schema(parameters=[AuditFilters], responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponseBase:
        """The same as CSV, all of it; `before` and `after` are JSON."""
        filters = AuditFilters.read(request)
        exported = settled(queries.audit_records(**filters), filters, _horizon)
        pages = pages_of(organization_of(request._request), lambda **after: exported.filter(**after))
        return csv_response(
            filename="audit.csv",
            columns=queries.AUDIT_COLUMNS,
            pages=as_json(pages, "before", "after"),
            request=request._request,
            person=request.user.pk,
            filters=filters,
        )
