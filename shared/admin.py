"""Accounts in the admin site."""

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group

from shared.models import Membership, User

admin.site.unregister(Group)


class PlatformUserCreationForm(AdminUserCreationForm):
    """Adds a platform user: members of organizations are made by their organization, with a slash in the name."""

    class Meta:
        model = User
        fields = ("username",)

    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"]
        if "/" in username:
            raise forms.ValidationError("A slash is for members of organizations; they are made there.")
        return username


class MembershipInline(admin.TabularInline):
    model = Membership
    fields = readonly_fields = ("organization_id", "username", "role", "seller_id")
    extra = 0
    can_delete = False

    def has_add_permission(self, *args: object) -> bool:
        return False


@admin.register(User)
class PlatformUserAdmin(UserAdmin):
    """All users. What a member may do is the organization's to say; here they can be looked at and switched off."""

    add_form = PlatformUserCreationForm
    list_display = ("username", "email", "is_superuser", "is_active", "date_joined")
    list_filter = ("is_superuser", "is_active")
    search_fields = ("username", "email")
    ordering = ("username",)
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", "email")}),
        ("What this user may do", {"fields": ("is_active", "is_superuser")}),
        ("When", {"fields": ("last_login", "date_joined")}),
    )
    inlines = (MembershipInline,)

    def has_delete_permission(self, *args: object) -> bool:
        return False
