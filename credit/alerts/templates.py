"""The URL and the body of a call of an SMS gateway, with places for what differs from message to message."""

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
CONTENT_TYPES = (JSON, FORM)

PLACES = ("to", "text", "secret")
_PLACE = re.compile(r"\{(" + "|".join(PLACES) + r")\}")


def places_in(template: str) -> set[str]:
    """The names of its places."""
    return set(_PLACE.findall(template))


def with_places(template: str, content_type: str, values: Mapping[str, str]) -> str:
    """The template with these values in its places, escaped as what it is: JSON, or else a URL or a form. A value is
    never read for places again."""
    escape: Callable[[str], str] = _in_json if content_type == JSON else _percent_encoded
    return _PLACE.sub(lambda match: escape(values[match[1]]), template)


def _in_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _percent_encoded(value: str) -> str:
    return quote(value, safe="")
