"""The outermost middleware: it gives requests their ids and writes the request log."""

import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponseBase

from shared.identity.realm import realm_of

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# What is in the link of a reset opens the account.
_SECRET_IN_PATH = re.compile(r"^(/password-reset/).+")
_log = structlog.get_logger("recharge.request")


class RequestMiddleware:
    """Gives each request its id, returns it as ``X-Request-ID``, and logs one line when the answer is known.

    The line has the path without its query string: a filter may hold a phone number.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request.id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex  # type: ignore[attr-defined]
        structlog.contextvars.bind_contextvars(request_id=request_id_of(request))
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request_id_of(request)
            _log.info(
                "request",
                method=request.method,
                path=_SECRET_IN_PATH.sub(r"\1…", request.path),
                organization=realm_of(request).slug,
                status=response.status_code,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
            )
        finally:
            structlog.contextvars.clear_contextvars()
        return response


def request_id_of(request: HttpRequest) -> str:
    """The id of this request; empty outside of a request that the middleware saw."""
    request_id: str = getattr(request, "id", "")
    return request_id
