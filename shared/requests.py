"""The outermost middleware: it gives requests their ids and writes the request log."""

import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponseBase

from shared import tracing
from shared.identity.acting import Actor, acting_as
from shared.identity.lockout import client_address
from shared.identity.realm import realm_of
from shared.logs import log_request
from shared.metrics import count_request, known_method

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# What is in the link of a reset opens the account.
_SECRET_IN_PATH = re.compile(r"^(/password-reset/).+")

_WITHOUT_ROUTE = ("/livez", "/readyz")
"""They are answered before the URL maps are looked into (saas/health.py)."""


class RequestMiddleware:
    """Gives each request its id, returns it as ``X-Request-ID``, and logs one line when the answer is known.

    The line has the path without its query string: a filter may hold a phone number.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        request.id = request_id_for(request.META)  # type: ignore[attr-defined]
        structlog.contextvars.bind_contextvars(request_id=request_id_of(request))
        if request.path not in _WITHOUT_ROUTE:
            tracing.begin_request(request.META, started=started)
        try:
            with acting_as(Actor(address=client_address(request), request_id=request_id_of(request))):
                response = self.get_response(request)
            response["X-Request-ID"] = request_id_of(request)
            seconds = time.perf_counter() - started
            slug, status = realm_of(request).slug, response.status_code
            method, route = known_method(request.method or ""), _route_of(request)
            log_request(
                method=request.method or "",
                path=_SECRET_IN_PATH.sub(r"\1…", request.path),
                organization=slug,
                status=status,
                duration_ms=seconds * 1000,
                request_id=request_id_of(request),
                trace_id=tracing.end_request(method=method, route=route, status=status, organization=slug),
            )
            count_request(method=method, route=route, status=status, seconds=seconds)
        finally:
            structlog.contextvars.clear_contextvars()
        return response


def _route_of(request: HttpRequest) -> str:
    """The pattern of the address; empty where there is nothing, or nobody looked."""
    if request.resolver_match is not None:
        return f"/{request.resolver_match.route}"
    return request.path if request.path in _WITHOUT_ROUTE else ""


def request_id_for(headers: Mapping[str, Any]) -> str:
    """The id that a request has from its client (``headers`` as WSGI names them), or a new one."""
    given = headers.get("HTTP_X_REQUEST_ID")
    return given if given and _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


def request_id_of(request: HttpRequest) -> str:
    """The id of this request; empty outside of a request that the middleware saw."""
    request_id: str = getattr(request, "id", "")
    return request_id
