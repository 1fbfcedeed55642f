"""Shows organizations in the admin site, to activate them. Provisioning makes them, and the console suspends them: one
at a time, with a reason."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from shared.admin_changes import remember_change
from tenants import services
from tenants.models import Domain, Organization


class DomainInline(admin.TabularInline):
    model = Domain
    fields = readonly_fields = ("domain", "is_primary")
    extra = 0
    can_delete = False

    def has_add_permission(self, *args: object) -> bool:
        return False


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):
    list_display = ("slug", "name", "status", "created_at")
    list_filter = ("status",)
    search_fields = ("slug", "name")
    readonly_fields = ("slug", "schema_name", "status", "created_at", "reconciled_at", "reconciliation_faults")
    inlines = (DomainInline,)
    actions = ("activate",)

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        """As Django's; and says what was changed, for the audit log."""
        stored = Organization.objects.get(pk=obj.pk)
        super().save_model(request, obj, form, change)
        remember_change(stored, obj, ("name",))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:
        return False

    @admin.action(description="Activate the selected organizations")
    def activate(self, request: HttpRequest, chosen: QuerySet[Organization]) -> None:
        for organization in chosen.exclude(status=Organization.Status.PROVISIONING):
            services.activate_organization(slug=organization.slug)
