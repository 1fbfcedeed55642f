"""The OpenAPI document and Swagger UI: each kind of host describes its own paths. The assets are served from here."""

from django.urls import URLPattern, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from shared.views import METHODS


def documentation(urlconf: str) -> list[URLPattern]:
    """``/api/schema`` and ``/api/docs`` for the paths of this URL map."""
    return [
        path("api/schema", SpectacularAPIView.as_view(urlconf=urlconf, http_method_names=METHODS), name="schema"),
        path("api/docs", SpectacularSwaggerView.as_view(url_name="schema", http_method_names=METHODS)),
    ]
