"""Idempotency keys: the header, and the answers that a replay gets."""

import re
from datetime import timedelta

from django.http import HttpRequest
from rest_framework.response import Response

from shared.errors import InvalidRequest, Problem

LONGEST_KEY = 255

# No blank at an end: a header's are lost on the way, so that the same key in a body would be another one.
KEY_PATTERN = r"^[!-~]([ -~]*[!-~])?$"
KEY_RULE = "A key is 1 to 255 printable ASCII characters, and neither begins nor ends with a blank."

REPEATED_WITHIN = timedelta(minutes=15)
"""Within this, the same request for access (an account, a webhook, a secret) that names no key is taken for the one
before, whose answer was lost."""

_KEY = re.compile(KEY_PATTERN.strip("^$"))


class IdempotencyKeyMissing(Problem):
    """400: a POST that moves money must name itself, so that it can be sent again safely."""

    status, code, title = 400, "idempotency_key_missing", "Idempotency-Key missing"


class IdempotencyKeyReused(Problem):
    """422: the key was used before for something else."""

    status, code, title = 422, "idempotency_key_reused", "Idempotency-Key reused"

    def __init__(self, detail: str = "This Idempotency-Key was used before with other content; use a new one.") -> None:
        super().__init__(detail)


def idempotency_key_of(request: HttpRequest) -> str:
    """The request's ``Idempotency-Key``.

    Raises:
        IdempotencyKeyMissing: there is none, or an empty one.
        InvalidRequest: it is not one, see :func:`is_idempotency_key`.
    """
    key: str = request.META.get("HTTP_IDEMPOTENCY_KEY", "")
    if not key:
        raise IdempotencyKeyMissing(
            "Send an Idempotency-Key header: 1 to 255 printable ASCII characters, new for each sale."
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


def is_idempotency_key(key: str) -> bool:
    """Whether this is 1 to 255 printable ASCII characters, without a blank at either end."""
    return len(key) <= LONGEST_KEY and _KEY.fullmatch(key) is not None


def replayed(response: Response) -> Response:
    """Marks a response as the answer of an earlier request."""
    response["Idempotent-Replayed"] = "true"
    return response
