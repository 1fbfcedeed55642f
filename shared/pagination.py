"""Keyset pages: newest first, and as cheap at the ten-millionth row as at the first (no OFFSET, no COUNT)."""

import base64
import binascii
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from shared.errors import InvalidRequest
from shared.fields import LARGEST_ID

M = TypeVar("M", bound=Model)

DEFAULT_LIMIT, LARGEST_LIMIT = 50, 200

# What a cursor holds: whose list it is of (and by what, if not by the key), older or newer, than which row.
_POSITION = re.compile(r"([\w.]+)([<>])(.+)")


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
    cursor = serializers.CharField(required=False, help_text="From `next` or `previous` of another page.")


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some rows of a list, newest first, and the cursors of the pages beside it; None where there is none."""

    rows: list[M]
    older: str | None
    newer: str | None


def page_of_rows(
    rows: QuerySet[M], *, limit: int = DEFAULT_LIMIT, cursor: str | None = None, by: str = "pk"
) -> Page[M]:
    """One page of ``rows`` by descending primary key (UUIDv7 or a sequence, so newest first), or by another field that
    is unique among them.

    Raises:
        InvalidRequest: the cursor is not one of ours.
    """
    newer_than = older_than = None
    if cursor is not None:
        by, newer_than, older_than = _read_cursor(cursor, rows.model, by)

    found: list[M] = []
    more_newer = older_than is not None
    if newer_than is not None:
        found = list(rows.filter(**{f"{by}__gt": newer_than}).order_by(by)[: limit + 1])
        more_newer = len(found) > limit
        found = found[limit - 1 :: -1] if more_newer else found[::-1]
        more_older = True
    if not found:  # the first page, a next page, or nothing newer: then the first page
        if older_than is not None:
            rows = rows.filter(**{f"{by}__lt": older_than})
        found = list(rows.order_by(f"-{by}")[: limit + 1])
        more_older = len(found) > limit
        found = found[:limit]
    return Page(
        found,
        older=_cursor("<", found[-1], by) if found and more_older else None,
        newer=_cursor(">", found[0], by) if found and more_newer else None,
    )


def page_of(
    request: Request,
    rows: QuerySet[M],
    query: dict[str, Any],
    serializer: type[serializers.BaseSerializer[Any]],
    *,
    context: Callable[[list[M]], dict[str, Any]] = lambda rows: {},
    by: str = "pk",
) -> Response:
    """The API's answer with one page of ``rows``: see :func:`page_of_rows`."""
    page = page_of_rows(rows, limit=query.get("limit", DEFAULT_LIMIT), cursor=query.get("cursor"), by=by)
    return Response(
        {
            "results": serializer(page.rows, many=True, context=context(page.rows)).data,
            "next": _link(request, page.older),
            "previous": _link(request, page.newer),
        }
    )


def _link(request: Request, cursor: str | None) -> str | None:
    return replace_query_param(request.build_absolute_uri(), "cursor", cursor) if cursor else None


def _cursor(direction: str, row: Model, by: str) -> str:
    position = f"{_list_of(type(row), by)}{direction}{getattr(row, by)}"
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _list_of(model: type[Model], by: str) -> str:
    return str(model._meta.model_name) if by == "pk" else f"{model._meta.model_name}.{by}"


def _read_cursor(cursor: str, model: type[Model], by: str) -> tuple[str, Any, Any]:
    """What the page is ordered by, and the row that it is newer or older than.

    A cursor by the key is one of any list of these rows, and leads on by the key: its list may have been a wider one.
    """
    try:
        position = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        written = _POSITION.fullmatch(position)
        if written is not None and written[1] == _list_of(model, "pk"):
            by = "pk"
        elif written is None or written[1] != _list_of(model, by):
            raise ValueError(position)
        direction, key = written[2], written[3]
        pk: Any
        field = model._meta.pk if by == "pk" else model._meta.get_field(by)
        if field.get_internal_type() == "UUIDField":
            pk = uuid.UUID(key)
        else:
            pk = int(key)
            if not 0 < pk <= LARGEST_ID:
                raise ValueError(key)
        return by, pk if direction == ">" else None, pk if direction == "<" else None
    except (binascii.Error, ValueError):
        raise InvalidRequest.of_field("cursor", "invalid", "This is no cursor of this list.") from None


def page_serializer(item: type[serializers.BaseSerializer[Any]]) -> type[serializers.Serializer[Any]]:
    """The shape of a page of ``item``, for the OpenAPI document."""
    name = item.__name__.removesuffix("Serializer") + "Page"
    return type(
        name,
        (serializers.Serializer,),
        {
            "results": item(many=True),
            "next": serializers.URLField(allow_null=True),
            "previous": serializers.URLField(allow_null=True),
        },
    )
