"""Answers for liveness and readiness on any host, since a load balancer asks by address and not by name."""

from collections.abc import Callable
from ipaddress import ip_address

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from saas import __version__
from shared.errors import MethodNotAllowed, Unavailable
from shared.handlers import problem_response
from shared.identity.lockout import client_address
from shared.sick import has_no_room, is_read_only, waits_for_standby
from tenants.readiness import hindrance, named

_PATHS = ("/livez", "/readyz")


class HealthMiddleware:
    """Answers ``/livez`` (this process answers, and its version) and ``/readyz`` (the database answers and every
    schema is migrated) before anything looks at the host."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path not in _PATHS:
            return self.get_response(request)
        if request.method not in ("GET", "HEAD"):
            return problem_response(request, MethodNotAllowed("Ask with GET.", headers={"Allow": "GET, HEAD"}))
        if request.path == "/livez":
            return JsonResponse({"status": "ok", "version": __version__})
        return _readiness(request)


class WithoutDatabaseMiddleware(HealthMiddleware):
    """Answers ``/livez`` as the other does, and everything else, ``/readyz`` too, 503."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path == "/livez":
            return super().__call__(request)
        return problem_response(request, Unavailable("The service is busy; try again in a moment."))


def _readiness(request: HttpRequest) -> HttpResponse:
    try:
        with connection.cursor() as cursor:
            read_only = is_read_only(cursor)
            waits = waits_for_standby(cursor)
        if read_only:
            connection.close()  # the next look may find the new primary
            return problem_response(request, Unavailable("The database is read only."))
        if waits:
            return problem_response(
                request, Unavailable("Commits wait for a synchronous standby that does not answer.")
            )
        if has_no_room():
            return problem_response(request, Unavailable("The database has no room: its disk is full."))
        if reason := hindrance():
            return problem_response(request, Unavailable(reason))
    except (DatabaseError, InterfaceError):
        connection.close()
        return problem_response(request, Unavailable("The database does not answer."))
    broken = named() if _is_of_the_house(request) else ""
    return JsonResponse({"status": "ok"} | ({"detail": broken} if broken else {}))


def _is_of_the_house(request: HttpRequest) -> bool:
    """Whether this comes from the machine itself or its network. Others learn of no organization that it is there."""
    try:
        return ip_address(client_address(request)).is_private
    except ValueError:
        return False
