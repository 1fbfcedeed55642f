"""Django's admin site: on the platform's host only (see the URL maps), for platform admins only."""

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest


class PlatformSignInForm(AdminAuthenticationForm):
    """Lets in whoever the backend lets in here: platform admins (``is_superuser``). Django's own form would ask for
    ``is_staff`` beside it, which means nothing in this product."""

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        pass


class PlatformAdminSite(admin.AdminSite):
    site_header = "Recharge platform"
    site_title = "Recharge platform"
    index_title = "Platform"
    login_form = PlatformSignInForm

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return bool(user.is_active and user.is_authenticated and user.is_superuser)
