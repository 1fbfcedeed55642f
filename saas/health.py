"""Liveness and readiness, on any host: a load balancer asks by address, not by name."""

from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django_tenants.utils import schema_context, tenant_context

from shared.errors import Problem, Unavailable, problem_response
from tenants.queries import working_organizations

_PATHS = ("/livez", "/readyz")


class _MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "Method not allowed"


class HealthMiddleware:
    """Answers ``/livez`` (this process answers) and ``/readyz`` (the database answers and every schema is migrated)
    before anything looks at the host."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path not in _PATHS:
            return self.get_response(request)
        if request.method not in ("GET", "HEAD"):
            return problem_response(request, _MethodNotAllowed("Ask with GET.", headers={"Allow": "GET, HEAD"}))
        if request.path == "/livez":
            return JsonResponse({"status": "ok"})
        return _readiness(request)


_migrated = False


def _readiness(request: HttpRequest) -> HttpResponse:
    global _migrated  # once migrated, a schema stays so for as long as this code runs
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not _migrated:
            waiting = _unmigrated_schema()
            if waiting:
                return problem_response(request, Unavailable(f"Migrations are to be applied ({waiting})."))
            _migrated = True
    except (DatabaseError, InterfaceError):
        connection.close()
        return problem_response(request, Unavailable("The database does not answer."))
    return JsonResponse({"status": "ok"})


def _unmigrated_schema() -> str | None:
    """Which schema lacks a migration: "public", "an organization", or None."""
    with schema_context("public"):
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "public"
        organizations = list(working_organizations())
    for organization in organizations:
        with tenant_context(organization):
            loader = MigrationLoader(connection)
            if any(node not in loader.applied_migrations for node in loader.graph.leaf_nodes()):
                return "an organization"
    return None
