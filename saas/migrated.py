"""Answers 503 to everything until the public schema has the migrations of this release.

``/readyz`` looks at the organizations' schemas, too (saas/health.py); this is what every request needs.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponseBase

from shared.errors import Unavailable
from shared.handlers import problem_response

LOOK_SECONDS = 1.0
"""Between two looks of a process, while migrations are missing."""

_migrated = False
_looked_at = float("-inf")


@cache
def _wanted() -> frozenset[tuple[str, str]]:
    """The last migration of each app, as the code has them."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def is_migrated(cursor: Any) -> bool:
    """Whether the public schema has them all; ``cursor`` is one of psycopg2's or of Django's."""
    cursor.execute("SELECT to_regclass('public.django_migrations')")
    if cursor.fetchone()[0] is None:
        return False
    cursor.execute("SELECT app, name FROM public.django_migrations")
    return _wanted() <= set(cursor.fetchall())


def is_known_to_be_migrated() -> bool:
    """Whether this process has found it so. Nothing is looked up."""
    return _migrated


class MigratedMiddleware:
    """Answers 503 to everything until the public schema is migrated. From then on it asks nothing any more."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if _migrated or not _lacks_migrations():
            return self.get_response(request)
        return problem_response(request, Unavailable("The database is being prepared; try again."))


def _lacks_migrations() -> bool:
    """Looked up at most once a second. What can't be looked up is left to the request, which will say why."""
    global _migrated, _looked_at
    if time.monotonic() < _looked_at + LOOK_SECONDS:
        return True
    try:
        with connection.cursor() as cursor:
            _migrated = is_migrated(cursor)
    except (DatabaseError, InterfaceError):
        connection.close()
        return False
    if not _migrated:
        _looked_at = time.monotonic()
    return not _migrated
