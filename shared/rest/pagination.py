"""Reads the query string of a list, and answers a page of it (shared/pagination.py says which rows)."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from shared.horizon import Horizon
from shared.pagination import DEFAULT_LIMIT, LARGEST_LIMIT, polled_page

M = TypeVar("M", bound=Model)


class LimitParameter(serializers.Field[int, str, int, Any]):
    """A page's size: ASCII digits, 1 to 200."""

    default_error_messages = {"invalid": f"This must be a whole number from 1 to {LARGEST_LIMIT}."}

    def to_internal_value(self, data: str) -> int:
        if not (data.isascii() and data.isdigit() and len(data) <= 3 and 1 <= int(data) <= LARGEST_LIMIT):
            self.fail("invalid")
        return int(data)

    def to_representation(self, value: int) -> int:
        return value


class Query(serializers.Serializer[Any]):
    """The parameters of a query string: an unknown one, or one given twice, is an error."""

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """The validated parameters that were given.

        Raises:
            rest_framework.exceptions.ValidationError: with an error for each parameter at fault.
        """
        query = cls(data=request.query_params.dict())
        errors = {}
        for name, values in request.query_params.lists():
            if name not in query.fields:
                detail = f"There is no such parameter. Known: {', '.join(query.fields) or 'none'}."
                errors[name] = [serializers.ErrorDetail(detail, code="unknown_parameter")]
            elif len(values) > 1:
                errors[name] = [serializers.ErrorDetail("This is given more than once.", code="repeated_parameter")]
        if errors:
            raise serializers.ValidationError(errors)
        query.is_valid(raise_exception=True)
        return dict(query.validated_data)


class PageQuery(Query):
    """What every list takes; a list adds its filters."""

    limit = LimitParameter(required=False, help_text="Rows on a page, 1 to 200; default 50.")
    cursor = serializers.CharField(
        required=False,
        help_text="From `next` or `previous` of another page. Or `newest`: an empty page, whose `previous` leads to "
        "what comes from now on. From there each page has a `previous`, to ask again: no row is missed.",
    )


CREATED_FROM = (
    "This moment or later. Rows whose transaction is still open, and what is newer than they, are left for the next "
    "time: who asks again from the newest row that was shown misses none."
)
"""What the parameter of this name does, for the OpenAPI document."""


def page_of(
    request: Request,
    rows: QuerySet[M],
    query: dict[str, Any],
    serializer: type[serializers.BaseSerializer[Any]],
    *,
    horizon: Horizon | None = None,
    context: Callable[[list[M]], dict[str, Any]] = lambda rows: {},
    by: str = "pk",
    render: Callable[[M], dict[str, Any]] | None = None,
) -> Response:
    """The API's answer with one page of ``rows``: see :func:`polled_page`. Who asks from a moment on (``created_from``)
    is taken for one who asks again. ``render`` gives what the serializer gives of a row, for lists that are asked for
    most: a serializer takes 200 µs a row, and :func:`plain_row` 5."""
    page = polled_page(
        rows,
        limit=query.get("limit", DEFAULT_LIMIT),
        cursor=query.get("cursor"),
        horizon=horizon,
        polls="created_from" in query,
        by=by,
    )
    return Response(
        {
            "results": [render(row) for row in page.rows]
            if render
            else serializer(page.rows, many=True, context=context(page.rows)).data,
            "next": _link(request, page.older),
            "previous": _link(request, page.newer),
        }
    )


def plain_row(row: Model, columns: Sequence[str]) -> dict[str, Any]:
    """A row's columns as JSON has them: UUIDs and times (UTC) as texts, all else as it is."""
    return {name: _plain(getattr(row, name)) for name in columns}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case UUID():
            return str(value)
    return value


def _link(request: Request, cursor: str | None) -> str | None:
    return replace_query_param(request.build_absolute_uri(), "cursor", cursor) if cursor else None


@cache
def page_serializer(item: type[serializers.BaseSerializer[Any]]) -> type[serializers.Serializer[Any]]:
    """The shape of a page of ``item``, for the OpenAPI document."""
    name = item.__name__.removesuffix("Serializer") + "Page"
    return type(
        name,
        (serializers.Serializer,),
        {
            "results": item(many=True),
            "next": serializers.URLField(allow_null=True, help_text="What is older; null: nothing is."),
            "previous": serializers.URLField(
                allow_null=True,
                help_text="What is newer; null: nothing is known to be. With `created_from`, or begun with "
                "`cursor=newest`, every page has one, also an empty one: ask it again later for what came since. Rows "
                "whose transaction is still open, and what is newer than they, are left for that.",
            ),
        },
    )
