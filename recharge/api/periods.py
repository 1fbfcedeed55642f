"""Closed periods over HTTP."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from credit.api.credit import decider
from credit.api.permissions import needs
from recharge.models import ClosedPeriod
from recharge.periods import queries, services
from shared.identity.permissions import Permission
from shared.rest.fields import DayField, StrictSerializer
from shared.rest.idempotency import replayed
from shared.rest.openapi import REPLAYED
from shared.rest.pagination import Query, page_serializer
from shared.rest.parsers import body_of
from shared.rest.views import APIView
from tenants.routing import organization_of


class NewPeriodSerializer(StrictSerializer):
    last_day = DayField(help_text="All that is open until the end of this day is closed.")


class TotalSerializer(serializers.Serializer[dict[str, int]]):
    entries = serializers.IntegerField()
    amount = serializers.IntegerField(help_text="Tomans.")
    commission = serializers.IntegerField(help_text="Tomans.")


class PeriodSerializer(serializers.ModelSerializer[ClosedPeriod]):
    totals = serializers.DictField(
        child=TotalSerializer(), help_text="By kind of entry, as they were when it was closed."
    )

    class Meta:
        model = ClosedPeriod
        fields = ("first_day", "last_day", "begins", "ends", "totals", "closed_at", "closed_by")


class PeriodsView(APIView):
    permission_classes = (needs(Permission.VIEW_REPORTS, POST=Permission.CLOSE_PERIODS),)

    @extend_schema(responses=page_serializer(PeriodSerializer))
    def get(self, request: Request) -> Response:
        """The periods that are closed, the last first; all on one page."""
        Query.read(request)
        rows = PeriodSerializer(queries.closed_periods(), many=True).data
        return Response({"results": rows, "next": None, "previous": None})

    @extend_schema(
        parameters=[REPLAYED],
        request=NewPeriodSerializer,
        responses={200: PeriodSerializer, 201: PeriodSerializer},
    )
    def post(self, request: Request) -> Response:
        """Close all that is open until the end of a day of the organization's time zone.

        From then on reports of these days are by the day of the entry, and stay. There is no way back. The same again
        changes nothing.
        """
        body = NewPeriodSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        written = services.close_period(
            organization=organization_of(request._request),
            last_day=body.validated_data["last_day"],
            closed_by=decider(request)["decided_by"],
        )
        data = PeriodSerializer(written.row).data
        return replayed(Response(data)) if written.is_replay else Response(data, status=status.HTTP_201_CREATED)
