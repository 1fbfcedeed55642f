"""Django's admin site: on the platform's host only (see the URL maps), for platform admins only."""

import structlog
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.admin.models import LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from tenants.audit import Actor, record
from tenants.models import AuditRecord


@receiver(post_save, sender=LogEntry)
def _record_change(instance: LogEntry, created: bool, **_: object) -> None:
    """What Django's admin site notes of its changes goes into the audit log, which nobody changes."""
    if created:
        request_id = structlog.contextvars.get_contextvars().get("request_id", "")
        what = f"{instance.content_type}: {instance.object_repr}. {instance.get_change_message()}"
        record(by=Actor(instance.user_id, request_id=request_id), action=AuditRecord.Action.ADMIN_SITE, detail=what)


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
