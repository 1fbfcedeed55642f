"""Answers errors: the hooks of Django and REST framework make problem documents of them, or a page for a person."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import DatabaseError, InterfaceError, ProgrammingError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import get_language_from_request
from psycopg2 import errorcodes
from rest_framework import exceptions

from shared.aside import NO_ROOM
from shared.console.messages import message_for
from shared.errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotAcceptable,
    NotAuthenticated,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    Problem,
    TokenInvalid,
    Unavailable,
    UnsupportedMediaType,
)
from shared.requests import request_id_of
from shared.sick import is_sick, schema_is_gone, sqlstate_of
from shared.uploads import largest_body

_log = structlog.get_logger("recharge.errors")

_NOT_THERE = {errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_FUNCTION, errorcodes.INVALID_SCHEMA_NAME}
"""What PostgreSQL says where a schema is gone, or tables or functions of it."""


def problem_response(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The HTTP response for a problem: a problem document, or a page where a browser asks for one."""
    if wants_page(request):
        # Without the request: what is wrong may be that it can't be told who asks.
        with translation.override(getattr(request, "LANGUAGE_CODE", None) or get_language_from_request(request)):
            context = {"problem": problem, "message": message_for(problem), "request_id": request_id_of(request)}
            content: str = render_to_string("shared/problem.html", context)
        content_type = "text/html; charset=utf-8"
    else:
        content = problem_json(problem, request_id_of(request))
        content_type = PROBLEM_JSON
    response = HttpResponse(content, status=problem.status, content_type=content_type)
    for name, value in problem.headers.items():
        response[name] = value
    return response


PROBLEM_JSON = "application/problem+json"


def problem_json(problem: Problem, request_id: str) -> str:
    """A problem document as it is sent."""
    return json.dumps(problem.document(request_id), ensure_ascii=False)


def wants_page(request: HttpRequest) -> bool:
    """Whether this is a browser's request for a page of a console, or htmx's for a part of one (it accepts anything),
    and not a program's for the API."""
    is_browser = "text/html" in request.headers.get("Accept", "") or request.headers.get("HX-Request") == "true"
    return is_browser and not request.path.startswith("/api/")


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Django REST framework's hook: answers what is known, and leaves the rest to :func:`server_error`."""
    problem = problem_of(error)
    return problem_response(context["request"], problem) if problem else None


def problem_of(error: BaseException) -> Problem | None:
    """The problem that an exception of ours, of Django's or of REST framework's stands for; None for a defect."""
    match error:
        case Problem():
            return error
        case exceptions.ValidationError():
            errors = list(_field_errors(error.detail))
            return InvalidRequest(f"{errors[0]['field']}: {errors[0]['detail']}", errors=errors)
        case exceptions.NotAuthenticated():
            return NotAuthenticated("This needs an access token: send it as 'Authorization: Bearer …'.")
        case exceptions.AuthenticationFailed():
            return TokenInvalid(str(error.detail))
        case exceptions.PermissionDenied() | DjangoPermissionDenied():
            return PermissionDenied("This account may not do that.")
        case exceptions.NotFound() | Http404():
            return NotFound("There is nothing at this address.")
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed(str(error.detail))
        case exceptions.NotAcceptable():
            return NotAcceptable("The answer can't be given in a type that Accept allows.")
        case exceptions.UnsupportedMediaType():
            return UnsupportedMediaType("Send the body as application/json.")
        case exceptions.ParseError():
            detail = str(error.detail)
            return InvalidRequest(detail, errors=[{"field": "body", "code": "not_readable", "detail": detail}])
        case RequestDataTooBig():
            return PayloadTooLarge("The body is too large.")
        case BadRequest() | SuspiciousOperation():
            return _malformed()
        case DatabaseError() if sqlstate_of(error) == errorcodes.QUERY_CANCELED:
            return Unavailable("This takes longer than a request may. Ask for less, a shorter period for instance.")
        case DatabaseError() | InterfaceError() if is_sick(error):
            return Unavailable()
        case ProgrammingError() if sqlstate_of(error) in _NOT_THERE and schema_is_gone():
            _log.error("schema_broken", exc_info=error)
            return Unavailable()
        case OSError() if error.errno in NO_ROOM:
            _log.error("no_room_for_files", exc_info=error)
            return Unavailable("There is no room for the file that is to be written; try again.")
    return None


def _malformed() -> InvalidRequest:
    return InvalidRequest.of_field("request", "malformed", "This can't be read.")


def _field_errors(detail: Any, field: str = "") -> Iterator[dict[str, str]]:
    """Flattens REST framework's nested error detail into ``{"field", "code", "detail"}``, fields joined by dots."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            below = "" if name == "non_field_errors" else str(name)
            yield from _field_errors(inner, ".".join(filter(None, (field, below))))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from _field_errors(inner, f"{field}.{index}" if nested and field else field)
    else:
        yield {"field": field or "body", "code": getattr(detail, "code", "invalid"), "detail": str(detail)}


class ProblemMiddleware:
    """Makes a problem document of what Django refuses without a hook: a method that a page does not take."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Before anybody reads it: Django itself takes files of any size.
        length = request.META.get("CONTENT_LENGTH") or ""
        if length.isascii() and length.isdigit() and int(length) > largest_body(request.path):
            return problem_response(request, PayloadTooLarge("The body is too large."))
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed):
            refused = problem_response(request, MethodNotAllowed(f'Method "{request.method}" not allowed.'))
            refused["Allow"] = response["Allow"]
            return refused
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """What a page's view raises of ours; the rest is Django's to handle (see below)."""
        return problem_response(request, exception) if isinstance(exception, Problem) else None


# Django's own hooks, named in the URL maps: what happens outside of the API's views is a problem document too. (The one
# for 404 is saas/astray.py.)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400."""
    return problem_response(request, problem_of(exception) or _malformed())


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    return problem_response(request, PermissionDenied("This account may not do that."))


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: says nothing of the inside; the request id finds the traceback in the log."""
    error = sys.exc_info()[1]
    problem = problem_of(error) if error else None
    if problem is None:
        _log.error("internal_error", exc_info=error)
        problem = InternalError("Something went wrong on our side. The request id finds it in our log.")
    return problem_response(request, problem)
