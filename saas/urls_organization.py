"""The addresses of an organization's host."""

from django.urls import include, path

from saas.docs import documentation

urlpatterns = [
    path("api/v1/", include("recharge.urls")),
    path("api/v1/", include("credit.urls")),
    path("api/v1/", include("shared.urls")),
    path("", include("shared.page_urls")),
    path("", include("credit.page_urls")),
    path("", include("recharge.page_urls")),
    *documentation("saas.urls_organization"),
]

handler400 = "shared.handlers.bad_request"
handler403 = "shared.handlers.permission_denied"
handler404 = "saas.astray.not_found"
handler500 = "shared.handlers.server_error"
