"""The WSGI entry point, for Granian or any other WSGI server."""

import os
from collections.abc import Iterable
from io import BytesIO
from typing import Any, cast

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application

from saas.env_file import read_env_file

read_env_file(None)  # where a server other than manage.py's starts here
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saas.settings")

_pages: Any = get_wsgi_application()


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

LARGEST_BODY = 2 * 1024 * 1024
"""Bytes; the largest body any path takes (a bulk call)."""


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Django, with fewer middleware below ``/api/``, and with two things that it lacks.

    A chunked request has no Content-Length, and Django takes that for no body. And an answer that is complete is handed
    to the server as a list, which Granian sends at once and with its length, instead of asking for it piece by piece.
    """
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() and environ.get("wsgi.input_terminated"):
        body = environ["wsgi.input"].read(LARGEST_BODY + 1)
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
    django = _api if environ.get("PATH_INFO", "").startswith("/api/") else _pages
    response: Any = django(environ, start_response)
    if response.streaming:
        return cast(Iterable[bytes], response)
    try:
        return list(response)
    finally:
        response.close()
