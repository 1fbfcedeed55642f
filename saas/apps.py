from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class SaasConfig(AppConfig):
    """The project itself, as an app for its commands."""

    name = "saas"
    default = True

    def ready(self) -> None:
        from saas import checks  # noqa: F401 - registers them


class PlatformAdminConfig(admin_apps.AdminConfig):
    """Django's admin, with the site that lets platform admins in and nobody else."""

    default_site = "saas.admin.PlatformAdminSite"
    default = False
