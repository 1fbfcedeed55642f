"""Reads the bodies of requests: strict JSON, once for every endpoint (shared/strict_json.py)."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from shared.errors import PayloadTooLarge
from shared.strict_json import NotJSON, parse_json

LARGEST_BODY = 1024 * 1024
"""Bytes; a view may allow more with an attribute ``largest_body``."""


class StrictJSONParser(BaseParser):
    """Parses ``application/json`` in UTF-8 (RFC 8259), and refuses what RFC 7493 (I-JSON) warns of.

    Refused with 400: invalid UTF-8, duplicate names, NaN and infinities, NUL and lone surrogates, integers of
    thousands of digits, nesting beyond what the decoder bears. Refused with 413: more than the view's ``largest_body``.
    Integers stay integers of any size, so that a field can tell ``5000`` from ``5000.0`` and from ``5e3``.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        view = (parser_context or {}).get("view")
        largest = getattr(view, "largest_body", LARGEST_BODY)
        body = stream.read(largest + 1)
        if len(body) > largest:
            raise PayloadTooLarge(f"The body has more than {largest} bytes.")
        try:
            return parse_json(body)
        except NotJSON as error:
            raise ParseError(str(error)) from None


def body_of(request: Request) -> Mapping[str, Any]:
    """The request's JSON object; an absent body counts as an empty one.

    Raises:
        ParseError: the body is JSON, but no object.
    """
    data: Any = request.data
    if not isinstance(data, Mapping):
        raise ParseError("The body must be a JSON object.")
    return data
