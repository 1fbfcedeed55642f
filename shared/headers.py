"""Sets the headers of every answer, whether a view gives it, a middleware, or an error before either."""

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.module_loading import import_string

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy of what is no page: a browser that shows it all the same runs and loads nothing."""


class HeadersMiddleware:
    """``no-store`` and a policy, where an answer says nothing else.

    An answer of the API is somebody's (a token, a balance), and of that moment. What may be kept says so itself: static
    files, the OpenAPI document.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Content-Security-Policy", NOTHING)
        return response


@lru_cache(maxsize=16)
def headers_of_api(scheme: str, forwarded_scheme: str | None) -> tuple[tuple[str, str], ...]:
    """The headers that ``settings.HEADERS_MIDDLEWARE`` gives an answer of the API, for who answers before Django does.

    ``scheme`` is the server's, ``forwarded_scheme`` what a reverse proxy says of its own (None: nothing).
    """

    def bare(_request: HttpRequest) -> HttpResponse:
        response = HttpResponse()
        del response["Content-Type"]
        return response

    answer: Callable[[HttpRequest], HttpResponseBase] = bare
    for middleware in reversed(settings.HEADERS_MIDDLEWARE):
        answer = import_string(middleware)(answer)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/", "wsgi.url_scheme": scheme, "wsgi.input": BytesIO()}
    if forwarded_scheme is not None:
        environ["HTTP_X_FORWARDED_PROTO"] = forwarded_scheme
    return tuple(answer(WSGIRequest(environ)).items())
