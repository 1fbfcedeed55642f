"""Shows accounts in the admin site."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from shared.admin_changes import remember_change
from shared.errors import LastAdmin
from shared.identity.accounts import platform_users
from shared.identity.roles import PLATFORM_ADMIN
from shared.models import Membership, User

admin.site.unregister(Group)


_TOLD_OF_USER = ("username", "email", "is_active", "platform_role")
"""Fields that evidence has in full."""


def is_member(user: User | None) -> bool:
    """Whether an organization made this user: then what it may do, its name and its password are the organization's."""
    return user is not None and ("/" in user.username or user.memberships.exists())


class PlatformUserCreationForm(AdminUserCreationForm):
    """Adds a platform user: members of organizations are made by their organization, with a slash in the name."""

    class Meta:
        model = User
        fields = ("username",)

    def clean_username(self) -> str:
        return _without_slash(self.cleaned_data["username"])


class PlatformUserChangeForm(UserChangeForm):
    """Changes a platform user, who does not become a member by a name either."""

    def clean_username(self) -> str:
        return _without_slash(self.cleaned_data["username"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        stays = cleaned.get("is_active", self.instance.is_active) and (
            cleaned.get("platform_role", self.instance.platform_role) == PLATFORM_ADMIN
        )
        if self.instance.platform_role == PLATFORM_ADMIN and not stays:
            # Held until the form is saved (Django does both in one transaction), in the order in which services of
            # members hold them: of two who switch each other off at once, the second finds what the first has done.
            admins = platform_users().filter(platform_role=PLATFORM_ADMIN).order_by("pk")
            held = list(admins.select_for_update(of=("self",), no_key=True))
            if not any(one.is_active for one in held if one.pk != self.instance.pk):
                raise forms.ValidationError(str(LastAdmin.message))
        return cleaned


def _without_slash(username: str) -> str:
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

    form = PlatformUserChangeForm
    add_form = PlatformUserCreationForm
    list_display = ("username", "email", "platform_role", "is_active", "date_joined")
    list_filter = ("platform_role", "is_active")
    search_fields = ("username", "email")
    ordering = ("username",)
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", "email")}),
        ("What this user may do", {"fields": ("is_active", "platform_role")}),
        ("When", {"fields": ("last_login", "date_joined")}),
    )
    inlines = (MembershipInline,)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Of a member: neither its password nor whether it rules the platform."""
        if not is_member(obj):
            return super().get_fieldsets(request, obj)
        return (
            (None, {"fields": ("username", "email")}),
            ("What this user may do", {"fields": ("is_active",)}),
            ("When", {"fields": ("last_login", "date_joined")}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Only whether a member may sign in is changed here: by another name it would be no member any longer, and by
        another email address its password could be reset."""
        readonly = tuple(super().get_readonly_fields(request, obj))
        return (*readonly, "username", "email") if is_member(obj) else readonly

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """A platform user's, who must change it at the next sign-in; a member's is changed by the member or by an admin
        of the organization."""
        user = self.get_object(request, unquote(id))
        if is_member(user):
            raise PermissionDenied
        if user is not None and user.pk == request.user.pk:  # asks for the one of now, and ends no session that asks
            return redirect("admin:password_change")
        response: HttpResponse = super().user_change_password(request, id, form_url)
        if user is not None:
            User.objects.filter(pk=user.pk).exclude(password=user.password).update(must_change_password=True)
        return response

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Django's own flags follow the role: the admin site is a platform admin's alone."""
        obj.is_superuser = obj.is_staff = obj.platform_role == PLATFORM_ADMIN
        obj.must_change_password = obj.must_change_password or not change
        stored = User.objects.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        remember_change(stored, obj, _TOLD_OF_USER)

    def has_delete_permission(self, *args: object) -> bool:
        return False
