"""JSON from clients, read strictly: what is ambiguous or can't be stored is refused here, once, for every endpoint."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from shared.errors import PayloadTooLarge

LARGEST_BODY = 1024 * 1024
"""Bytes; a view may allow more with an attribute ``largest_body``."""

# NUL can't be stored in a PostgreSQL text, and a lone surrogate is no character; JSON can only spell them escaped.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


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
        return parse_json(body)


def parse_json(body: bytes) -> Any:
    """The value that ``body`` holds.

    Raises:
        ParseError: it is no JSON, or JSON that this product refuses; the message says why.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise ParseError("The body is not valid UTF-8.") from None
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise ParseError("The body is nested too deeply.") from None
    except _Refused as error:
        raise ParseError(str(error)) from None
    except json.JSONDecodeError as error:
        raise ParseError(
            f"The body is not valid JSON: {error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError:  # Python's limit on the digits of an integer
        raise ParseError("The body holds a number that is too long.") from None
    if "\\u" in text:
        _refuse_unstorable(value)
    return value


class _Refused(Exception):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        # Counted in one pass: to look each name up among all others takes minutes where there are a hundred thousand.
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _Refused(f"The body names {twice!r} twice in one object.")
    return value


def _constant(name: str) -> NoReturn:
    raise _Refused(f"The body holds {name}, which is not JSON.")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _refuse_unstorable(value: Any) -> None:
    # The decoder has bounded the depth.
    match value:
        case str():
            if _UNSTORABLE.search(value):
                raise ParseError("The body holds a character that can't be stored (NUL or half a surrogate pair).")
        case dict():
            for name, inner in value.items():
                _refuse_unstorable(name)
                _refuse_unstorable(inner)
        case list():
            for inner in value:
                _refuse_unstorable(inner)


def body_of(request: Request) -> Mapping[str, Any]:
    """The request's JSON object; an absent body counts as an empty one.

    Raises:
        ParseError: the body is JSON, but no object.
    """
    data: Any = request.data
    if not isinstance(data, Mapping):
        raise ParseError("The body must be a JSON object.")
    return data
