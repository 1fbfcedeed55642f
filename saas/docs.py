"""Serves the OpenAPI document and Swagger UI with its assets. Each kind of host describes its own paths."""

import threading
from functools import cache
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.urls import URLPattern, path
from django.utils import translation
from django.utils.cache import get_conditional_response
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request

from shared.rest.views import METHODS

SECONDS_KEPT = 300
"""How long a client may go on with the document it has, until it asks whether it is still the same."""

# Swagger UI draws a few pictures of its own from data: addresses.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


class SchemaView(SpectacularAPIView):
    """The document. It is the same for everybody, for as long as this code runs: made once for each language and type.

    To make it takes 90 to 220 ms.
    """

    def _get_schema_response(self, request: Request) -> HttpResponseBase:
        asked = request.GET.get("lang", "")
        language = asked if asked in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
        assert self.urlconf
        content, tag = _document(self.urlconf, language, request.accepted_renderer.format)
        answer = HttpResponse(content, content_type=request.accepted_renderer.media_type)
        answer["Content-Disposition"] = f'inline; filename="Recharge.{request.accepted_renderer.format}"'
        answer["ETag"] = tag
        answer["Cache-Control"] = f"public, max-age={SECONDS_KEPT}"
        answer["Vary"] = "Accept"
        return get_conditional_response(request._request, etag=tag, response=answer) or answer


_making = threading.Lock()  # drf-spectacular makes one at a time


def _document(urlconf: str, language: str, written_as: str) -> tuple[bytes, str]:
    with _making:
        return _rendered(urlconf, language, written_as)


@cache
def _rendered(urlconf: str, language: str, written_as: str) -> tuple[bytes, str]:
    renderer: Any = OpenApiJsonRenderer() if "json" in written_as else OpenApiYamlRenderer()
    generator: Any = SchemaGenerator
    with translation.override(language):
        document = generator(urlconf=urlconf).get_schema(request=None, public=True)
        content: bytes = renderer.render(document, renderer_context={})
    return content, f'"{sha256(content).hexdigest()[:32]}"'


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI, with nothing written into the page itself."""

    template_name = "saas/docs.html"

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Content-Security-Policy"] = _DOCS_POLICY
        return response


def documentation(urlconf: str) -> list[URLPattern]:
    """``/api/schema`` and ``/api/docs`` for the paths of this URL map."""
    return [
        path("api/schema", SchemaView.as_view(urlconf=urlconf, http_method_names=METHODS), name="schema"),
        path("api/docs", DocsView.as_view(url_name="schema", http_method_names=METHODS)),
    ]
