"""Django's admin site: on the platform's host only (see the URL maps), for platform admins only."""

from django.contrib import admin
from django.http import HttpRequest


class PlatformAdminSite(admin.AdminSite):
    site_header = "Recharge platform"
    site_title = "Recharge platform"
    index_title = "Platform"

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return bool(user.is_active and user.is_authenticated and user.is_superuser)
