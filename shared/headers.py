"""Sets the headers of every answer, whether a view gives it, a middleware, or an error before either."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

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
