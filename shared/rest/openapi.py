"""Adds to the OpenAPI document what drf-spectacular can't see for itself."""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_basic_type
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.serializers import Serializer

from shared.database import LARGEST_ID
from shared.idempotency import KEY_PATTERN, LONGEST_KEY
from shared.money import LARGEST_AMOUNT
from shared.pagination import LARGEST_LIMIT

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": KEY_PATTERN},
    OpenApiParameter.HEADER,
    required=True,
    description="Names this request: sent again with the same content it is answered with what it made the first time.",
)
OPTIONAL_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="Names this request, so that it is done once. Without: the same again within 15 minutes is done once.",
)
REPLAYED = OpenApiParameter(
    "Idempotent-Replayed",
    {"type": "string", "enum": ["true"]},
    OpenApiParameter.HEADER,
    description="Present when the request had been done before, and nothing was done now.",
    response=[200],
)


class ContractSchema(AutoSchema):
    """Operation ids from the path and the method, since every view answers exactly one address."""

    def get_operation_id(self) -> str:
        path = self.path.removeprefix("/api/v1/")
        words = [word for word in path.replace("{", "").replace("}", "").replace(".", "/").split("/") if word]
        return "_".join([self.method.lower(), *(word.replace("-", "_") for word in words)])

    def get_summary(self) -> str:
        return self.get_description().partition("\n")[0]

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix("/api/v1/").split("/")[0].split(".")[0]]


class RealmJWTScheme(OpenApiAuthenticationExtension):
    target_class = "shared.rest.authentication.RealmJWTAuthentication"
    name = "accessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class TomansFieldExtension(OpenApiSerializerFieldExtension):
    target_class = "shared.rest.fields.TomansField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "integer", "minimum": 1, "maximum": LARGEST_AMOUNT, "description": "Tomans"}


class SignedTomansFieldExtension(OpenApiSerializerFieldExtension):
    target_class = "shared.rest.fields.SignedTomansField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        bounds = {"minimum": -LARGEST_AMOUNT, "maximum": LARGEST_AMOUNT}
        return {"type": "integer", **bounds, "not": {"const": 0}, "description": "Tomans"}


class PhoneNumberFieldExtension(OpenApiSerializerFieldExtension):
    target_class = "shared.rest.fields.PhoneNumberField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        if direction == "response":
            return {
                "type": "string",
                "pattern": r"^\+98(9[0-9]{9}|\*{6}[0-9]{4})$",
                "description": "Masked where it is older than the organization keeps numbers.",
            }
        return {"type": "string", "maxLength": 40, "description": "An Iranian mobile number, in any usual writing."}


class IdParameterExtension(OpenApiSerializerFieldExtension):
    target_class = "shared.rest.fields.IdParameter"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}


class LimitParameterExtension(OpenApiSerializerFieldExtension):
    target_class = "shared.rest.pagination.LimitParameter"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT}


class DayFieldExtension(OpenApiSerializerFieldExtension):
    target_class = "shared.rest.fields.DayField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "string", "format": "date"}


class TimeParameterExtension(OpenApiSerializerFieldExtension):
    target_class = "shared.rest.fields.TimeParameter"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return build_basic_type(OpenApiTypes.DATETIME) or {}


PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "An RFC 9457 problem document.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "What a program should look at."},
        "detail": {"type": "string", "description": "What happened and what to do, for a person."},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {name: {"type": "string"} for name in ("field", "code", "detail")},
            },
        },
    },
}


_not_always: dict[str, frozenset[str]] = {}
"""Members of answers that are not always there, by component; all others are."""

S = TypeVar("S", bound=type[Serializer[Any]])


def has_at_times(*fields: str) -> Callable[[S], S]:
    """A class decorator: answers of this serializer have these members only at times."""

    def mark(serializer: S) -> S:
        _not_always[serializer.__name__.removesuffix("Serializer")] = frozenset(fields)
        return serializer

    return mark


def exact_bodies(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A drf-spectacular hook: a request's body has no fields but those named, an answer has all of them."""
    schemas: dict[str, Any] = result.get("components", {}).get("schemas", {})
    operations = [operation for path in result["paths"].values() for operation in path.values()]
    asked = set(re.findall(r"#/components/schemas/(\w+)", str([one.get("requestBody") for one in operations])))
    while inner := set(re.findall(r"#/components/schemas/(\w+)", str([schemas[name] for name in asked]))) - asked:
        asked |= inner
    for name, schema in schemas.items():
        if "properties" in schema:
            schema.pop("description", None)  # a serializer's docstring, which is for us
            if name in asked:
                schema["additionalProperties"] = False
            else:
                schema["required"] = sorted(schema["properties"].keys() - _not_always.get(name, frozenset()))
    return result


LARGEST_INT32 = 2**31 - 1


def wide_integers(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A drf-spectacular hook: every integer is of 64 bits, but those that are bounded below 32 (a column is no bound:
    it may be widened). Generated clients take one without a format for 32 bits, which Tomans and ids pass."""
    _widen(result)
    return result


def _widen(node: Any) -> None:
    if isinstance(node, dict):
        kind = node.get("type")
        is_integer = (kind == "integer" or (isinstance(kind, list) and "integer" in kind)) and "enum" not in node
        if is_integer and not 0 < node.get("maximum", LARGEST_INT32) < LARGEST_INT32:
            node["format"] = "int64"
        for inner in node.values():
            _widen(inner)
    elif isinstance(node, list):
        for inner in node:
            _widen(inner)


def problem_responses(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A drf-spectacular hook: every operation may answer any error, and each error is a problem document. (Apps add
    the members that theirs have with hooks of their own.)"""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = deepcopy(PROBLEM)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = {"description": "An error; `code` names it.", "content": content}
    return result
