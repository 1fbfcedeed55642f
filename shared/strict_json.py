"""Reads JSON from outside strictly: it refuses what is ambiguous or can't be stored."""

import json
import re
from collections import Counter
from typing import Any, NoReturn

MOST_UNKNOWN_FIELDS = 20
"""Unknown fields that an answer names; a body of a megabyte has room for a hundred thousand."""

# NUL can't be stored in a PostgreSQL text, and a lone surrogate is no character; JSON can only spell them escaped.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class NotJSON(Exception):
    """What was sent is no JSON, or JSON that this product refuses; the message says why."""


def parse_json(body: bytes) -> Any:
    """The value that ``body`` holds.

    Raises:
        NotJSON: as it says.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise NotJSON("The body is not valid UTF-8.") from None
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise NotJSON("The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise NotJSON(
            f"The body is not valid JSON: {error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError:  # Python's limit on the digits of an integer
        raise NotJSON("The body holds a number that is too long.") from None
    if "\\u" in text:
        _refuse_unstorable(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        # Counted in one pass: to look each name up among all others takes minutes where there are a hundred thousand.
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise NotJSON(f"The body names {twice!r} twice in one object.")
    return value


def _constant(name: str) -> NoReturn:
    raise NotJSON(f"The body holds {name}, which is not JSON.")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _refuse_unstorable(value: Any) -> None:
    # The decoder has bounded the depth.
    match value:
        case str():
            if _UNSTORABLE.search(value):
                raise NotJSON("The body holds a character that can't be stored (NUL or half a surrogate pair).")
        case dict():
            for name, inner in value.items():
                _refuse_unstorable(name)
                _refuse_unstorable(inner)
        case list():
            for inner in value:
                _refuse_unstorable(inner)
