"""Statements over HTTP."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from credit.api.credit import decider, horizon_of_list, narrow_to_own
from credit.api.permissions import needs, own_seller_id
from recharge.models import Statement
from recharge.papers.files import statement_file_in
from recharge.statements import digests, queries, services
from shared.database import LARGEST_ID
from shared.errors import InvalidRequest, NotFound
from shared.identity.permissions import Permission
from shared.rest.fields import DayField, IdParameter, StrictSerializer, WholeNumberField
from shared.rest.idempotency import replayed
from shared.rest.openapi import REPLAYED, has_at_times
from shared.rest.pagination import PageQuery, Query, page_of, page_serializer
from shared.rest.parsers import body_of
from shared.rest.renderers import CSVRenderer, JSONRenderer, PDFRenderer, XLSXRenderer
from shared.rest.views import APIView
from tenants.routing import organization_of


class NewStatementSerializer(StrictSerializer):
    seller_id = WholeNumberField(least=1, most=LARGEST_ID, required=False, help_text="A seller may leave it out.")
    to = DayField(help_text="The last day, which is included; not after today. 366 days at most.")

    def get_fields(self) -> dict[str, Any]:
        # `from` can't be the name of an attribute.
        own = super().get_fields()
        first = DayField(help_text="The first day (YYYY-MM-DD, Gregorian) in the organization's time zone.")
        return {"seller_id": own["seller_id"], "from": first, "to": own["to"]}


class StatementSerializer(serializers.Serializer[Statement]):
    id = serializers.UUIDField()
    seller_id = serializers.IntegerField()
    seller_name = serializers.CharField(help_text="As it was when this was made.")
    to = serializers.DateField(source="last_day")
    time_zone = serializers.CharField(help_text="In which the days are meant.")
    opening_balance = serializers.IntegerField(help_text="Tomans, before the first entry.")
    closing_balance = serializers.IntegerField(help_text="Tomans, after the last entry.")
    first_entry = serializers.SerializerMethodField(help_text="The number of the first entry; null: there is none.")
    last_entry = serializers.SerializerMethodField()
    entries = serializers.IntegerField(help_text="How many there are.")
    totals = serializers.SerializerMethodField()
    commissions = serializers.SerializerMethodField()
    digest = serializers.SerializerMethodField(help_text="SHA-256 over all of it and every row, in hexadecimal digits.")
    made_by = serializers.CharField()
    created_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, Any]:
        own = super().get_fields()
        places = list(own.items())
        places.insert(3, ("from", serializers.DateField(source="first_day")))
        return dict(places)

    def get_first_entry(self, row: Statement) -> int | None:
        return row.first_number if row.entries else None

    def get_last_entry(self, row: Statement) -> int | None:
        return row.last_number if row.entries else None

    def get_totals(self, row: Statement) -> dict[str, int]:
        """The sum of the amounts of each kind of entries (signed), and, as `commission`, of all commissions, if there
        are any. The opening balance and all of these add up to the closing balance."""
        totals = {kind: sums["amount"] for kind, sums in sorted(row.totals.items())}
        commission = sum(sums["commission"] for sums in row.totals.values())
        return totals | {"commission": commission} if commission else totals

    def get_commissions(self, row: Statement) -> dict[str, int]:
        """The sum of the commissions of each kind that has any."""
        return {kind: sums["commission"] for kind, sums in sorted(row.totals.items()) if sums["commission"]}

    def get_digest(self, row: Statement) -> str:
        return bytes(row.digest).hex()


@has_at_times("numbers_masked")
class StatementProofSerializer(serializers.Serializer[digests.Proof]):
    holds = serializers.BooleanField(help_text="Whether the entries of now make the same statement.")
    digest = serializers.CharField(help_text="As it was kept.")
    computed = serializers.CharField(help_text="As the entries of now have it.")
    numbers_masked = serializers.BooleanField(
        required=False,
        help_text="True, where phone numbers in it are masked by now: then `holds` is of balances and totals, and the "
        "digests differ. Else it is not there.",
    )

    def to_representation(self, instance: digests.Proof) -> dict[str, Any]:
        shown = super().to_representation(instance)
        if not instance.numbers_masked:
            del shown["numbers_masked"]
        return shown


class StatementQuery(PageQuery):
    seller_id = IdParameter(required=False, help_text="Admins only.")


@extend_schema_view(
    get=extend_schema(parameters=[StatementQuery], responses=page_serializer(StatementSerializer)),
    post=extend_schema(
        parameters=[REPLAYED],
        request=NewStatementSerializer,
        responses={200: StatementSerializer, 201: StatementSerializer},
    ),
)
class StatementsView(APIView):
    permission_classes = (needs(Permission.VIEW_ENTRIES, POST=Permission.MAKE_STATEMENTS),)

    def get(self, request: Request) -> Response:
        """Statements that were made, newest first: a seller's own, or all for an admin."""
        query = StatementQuery.read(request)
        filters = narrow_to_own(request, query)
        rows, horizon = queries.statements(**filters), horizon_of_list(request, filters)
        return page_of(request, rows, query, StatementSerializer, horizon=horizon)

    def post(self, request: Request) -> Response:
        """Make the statement of a seller's days.

        Made again it is the same document (200), as long as no entry has come into its days: today may be the last of
        them, and is of what there is until now.
        """
        body = NewStatementSerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        given, own, by = body.validated_data, own_seller_id(request), decider(request)
        seller_id = given.get("seller_id", own)
        if seller_id is None:
            raise InvalidRequest.of_field("seller_id", "required", "Whose statement? Give the seller's id.")
        if own is not None and seller_id != own:
            raise NotFound("There is no such seller.")
        written = services.make_statement(
            organization=organization_of(request._request),
            seller_id=seller_id,
            first_day=given["from"],
            last_day=given["to"],
            made_by=by["decided_by"],
            made_by_id=by["decided_by_id"],
        )
        data = StatementSerializer(written.row).data
        return replayed(Response(data)) if written.is_replay else Response(data, status=status.HTTP_201_CREATED)


class StatementView(APIView):
    permission_classes = (needs(Permission.VIEW_ENTRIES),)

    @extend_schema(responses=StatementSerializer)
    def get(self, request: Request, statement_id: UUID) -> Response:
        """One statement."""
        return Response(StatementSerializer(_statement(request, statement_id)).data)


class StatementProofView(APIView):
    permission_classes = (needs(Permission.VIEW_ENTRIES),)

    @extend_schema(responses=StatementProofSerializer)
    def get(self, request: Request, statement_id: UUID) -> Response:
        """Prove a statement: its digest is made again, of the entries that there are now."""
        proof = digests.prove(organization_of(request._request), _statement(request, statement_id))
        return Response(StatementProofSerializer(proof).data)


class StatementFileQuery(Query):
    language = serializers.ChoiceField(
        settings.LANGUAGES,
        required=False,
        help_text="Of the words, digits and dates; else what `Accept-Language` says.",
    )


class _StatementFileView(APIView):
    """A statement as a file, for people."""

    permission_classes = (needs(Permission.VIEW_ENTRIES),)
    ending = ""

    def answer(self, request: Request, statement_id: UUID) -> HttpResponseBase:
        return statement_file_in(
            StatementFileQuery.read(request).get("language"),
            self.ending,
            statement=_statement(request, statement_id),
            organization=organization_of(request._request),
            request=request._request,
            person=request.user.pk,
        )


class StatementPDFView(_StatementFileView):
    renderer_classes = (PDFRenderer, JSONRenderer)
    ending = "pdf"

    @extend_schema(parameters=[StatementFileQuery], responses={(200, PDFRenderer.media_type): OpenApiTypes.BINARY})
    def get(self, request: Request, statement_id: UUID) -> HttpResponseBase:
        """A statement as PDF, all of it. A large one takes half a minute."""
        return self.answer(request, statement_id)


class StatementXLSXView(_StatementFileView):
    renderer_classes = (XLSXRenderer, JSONRenderer)
    ending = "xlsx"

    @extend_schema(parameters=[StatementFileQuery], responses={(200, XLSXRenderer.media_type): OpenApiTypes.BINARY})
    def get(self, request: Request, statement_id: UUID) -> HttpResponseBase:
        """A statement as a workbook, with amounts and times as numbers and dates."""
        return self.answer(request, statement_id)


class StatementCSVView(_StatementFileView):
    renderer_classes = (CSVRenderer, JSONRenderer)
    ending = "csv"

    @extend_schema(parameters=[StatementFileQuery], responses={(200, CSVRenderer.media_type): OpenApiTypes.STR})
    def get(self, request: Request, statement_id: UUID) -> HttpResponseBase:
        """A statement's rows as CSV, for spreadsheets: it begins with a byte order mark; times are in its zone."""
        return self.answer(request, statement_id)


def _statement(request: Request, statement_id: UUID) -> Statement:
    return queries.statement_by_id(statement_id, seller_id=own_seller_id(request))
