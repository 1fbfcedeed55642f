"""The WSGI entry point, for Granian or any other WSGI server."""

import os
from collections.abc import Iterable
from io import BytesIO
from typing import Any, cast

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application

from saas.bodies import read_body
from saas.env_file import read_env_file

read_env_file(None)  # where a server other than manage.py's starts here
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saas.settings")

_pages: Any = get_wsgi_application()

from recharge.api import fast_path  # noqa: E402 - Django has been set up only now
from saas import static_files  # noqa: E402
from saas.migrated import is_known_to_be_migrated  # noqa: E402
from shared import tracing  # noqa: E402

tracing.start()


def _with_middleware(middleware: list[str]) -> Any:
    """Another handler of the same project; Django reads the list of middleware when it makes one."""
    whole, settings.MIDDLEWARE = settings.MIDDLEWARE, middleware
    try:
        return WSGIHandler()
    finally:
        settings.MIDDLEWARE = whole


_api: Any = _with_middleware(settings.API_MIDDLEWARE)

at_once: Any = _with_middleware(settings.AT_ONCE_MIDDLEWARE)
"""Answers ``/livez``, and anything else 503, without the database."""


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Django, with fewer middleware below ``/api/``, and with four things that it lacks.

    Static files are answered before it (saas/static_files.py), and so are the calls that clients make most
    (recharge/api/fast_path.py). The body is read first, whole
    (saas/bodies.py). And an answer that is complete is handed to the server as a list, which Granian sends at once and
    with its length, instead of asking for it piece by piece.
    """
    if (file := static_files.answer(environ)) is not None:
        start_response(file.status, file.headers)
        return [file.body]
    if not isinstance(environ["wsgi.input"], BytesIO) and not read_body(environ):
        start_response("400 Bad Request", [])
        return []  # to nobody
    if settings.FAST_PATH and is_known_to_be_migrated() and (answered := fast_path.answer(environ)) is not None:
        start_response(answered.status, answered.headers)
        return [answered.body]
    django = _api if environ.get("PATH_INFO", "").startswith("/api/") else _pages
    response: Any = django(environ, start_response)
    if response.streaming:
        return cast(Iterable[bytes], response)
    try:
        return list(response)
    finally:
        response.close()
