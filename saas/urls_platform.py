"""The addresses of the platform's own host."""

from django.contrib import admin
from django.urls import include, path

from saas.docs import documentation

urlpatterns = [
    path("api/v1/", include("shared.urls")),
    path("api/v1/", include("tenants.urls")),
    path("", include("shared.page_urls")),
    path("", include("saas.page_urls")),
    *documentation("saas.urls_platform"),
    path("admin/", admin.site.urls),
]

handler400 = "shared.handlers.bad_request"
handler403 = "shared.handlers.permission_denied"
handler404 = "saas.astray.not_found"
handler500 = "shared.handlers.server_error"
