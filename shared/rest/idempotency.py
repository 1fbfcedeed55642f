"""Reads the header ``Idempotency-Key``, and marks the answer to a replay."""

from django.http import HttpRequest
from rest_framework.response import Response

from shared.errors import IdempotencyKeyMissing, InvalidRequest
from shared.idempotency import KEY_RULE, is_idempotency_key


def idempotency_key_of(request: HttpRequest) -> str:
    """The request's ``Idempotency-Key``.

    Raises:
        IdempotencyKeyMissing: there is none, or an empty one.
        InvalidRequest: it is not one, see :func:`is_idempotency_key`.
    """
    key: str = request.META.get("HTTP_IDEMPOTENCY_KEY", "")
    if not key:
        raise IdempotencyKeyMissing(
            "Send an Idempotency-Key header: 1 to 255 printable ASCII characters, new for each thing you mean to do."
        )
    if not is_idempotency_key(key):
        raise InvalidRequest.of_field("Idempotency-Key", "invalid", KEY_RULE)
    return key


def optional_key_of(request: HttpRequest) -> str:
    """The request's ``Idempotency-Key`` where none is asked for; "" if there is none.

    Raises:
        IdempotencyKeyMissing, InvalidRequest: as for :func:`idempotency_key_of`, of one that is given.
    """
    return idempotency_key_of(request) if "HTTP_IDEMPOTENCY_KEY" in request.META else ""


def replayed(response: Response) -> Response:
    """Marks a response as the answer of an earlier request."""
    response["Idempotent-Replayed"] = "true"
    return response
