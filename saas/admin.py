"""Django's admin site: on the platform's host only (see the URL maps), for platform admins only."""

from functools import partial, wraps
from typing import Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.admin.models import LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django_tenants.utils import tenant_context

from shared.admin_changes import last_change
from shared.console.entering import after_password, detour, tell_of_new_device
from shared.console.expired import hold
from shared.console.messages import field_message_for, message_for
from shared.console.views import signed_in
from shared.errors import InvalidRequest, Problem
from shared.identity import accounts, password_changes, signing_in
from shared.identity.devices import remember_device
from shared.identity.lockout import client_address
from shared.identity.realm import Realm, realm_of
from shared.identity.sessions import account_of
from shared.members.services import end_all_access
from shared.models import Membership, User
from shared.second_factor.services import has_second_factor
from tenants.audit import record
from tenants.models import AuditRecord, Organization


@receiver(post_save, sender=LogEntry)
def _record_change(instance: LogEntry, created: bool, **_: object) -> None:
    """What Django's admin site notes of its changes goes into the audit log, which nobody changes: to whom or what it
    was done, in which organization, and each field, before and after. A member who was switched off is out at once."""
    if not created:
        return
    change = last_change.get()
    last_change.set(None)
    if change is not None and str(change.row.pk) != str(instance.object_id):
        change = None
    organization = _organization_of(change.row) if change else None
    with transaction.atomic():
        if change and organization and change.after.get("is_active") is False:
            with tenant_context(organization):
                end_all_access(realm=Realm(organization.pk, organization.slug), user_id=change.row.pk)
        record(
            action=AuditRecord.Action.ADMIN_SITE,
            organization=organization.slug if organization else "",
            object=instance.object_repr,
            before=change.before or None if change else None,
            after=change.after if change else None,
            detail=f"{instance.content_type}: {instance.object_repr}. {instance.get_change_message()}",
        )


def _organization_of(row: Model) -> Organization | None:
    """Of a member, or the organization itself; a user of the platform has none."""
    if isinstance(row, Organization):
        return row
    membership = Membership.objects.filter(user_id=row.pk).first() if isinstance(row, User) else None
    return Organization.objects.filter(pk=membership.organization_id).first() if membership else None


class PlatformSignInForm(AdminAuthenticationForm):
    """Lets in whoever the backend lets in here: platform admins (``is_superuser``). Django's own form would ask for
    ``is_staff`` beside it, which means nothing in this product."""

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        """Raises _SecondStep where the password is not enough."""
        if has_second_factor(user.pk):
            raise _SecondStep(user.pk)


class _SecondStep(Exception):
    """The password is right, and the account has a second factor."""

    def __init__(self, user_id: int) -> None:
        super().__init__()
        self.user_id = user_id


class PlatformPasswordForm(AdminPasswordChangeForm):
    """Django's form for one's own password; the one of now is looked at as at every other door."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        given: str = self.cleaned_data["old_password"]
        try:
            signing_in.check_password_of(
                signed_in(self.request),
                realm=realm_of(self.request),
                given=given,
                address=client_address(self.request),
                field="old_password",
            )
        except InvalidRequest as problem:
            raise ValidationError(field_message_for(problem, problem.members["errors"][0])) from None
        except Problem as problem:
            raise ValidationError(message_for(problem)) from None
        return given

    def save(self, commit: bool = True) -> User:
        account = signed_in(self.request)
        password_changes.change_password(user=account.user, new=self.cleaned_data["new_password1"], but=account.family)
        return account.user


class PlatformAdminSite(admin.AdminSite):
    site_header = "Recharge platform"
    site_title = "Recharge platform"
    index_title = "Platform"
    login_form = PlatformSignInForm

    def login(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """As Django's; the browser is known from then on. Who must change the password does that first; the second
        factor is asked for as at the pages' own door."""
        account = account_of(request)
        if account and account.user.must_change_password:
            return redirect("password")
        if request.method == "GET" and (elsewhere := _detour(request)):
            return redirect(elsewhere)
        try:
            response = super().login(request, extra_context)
        except _SecondStep as step:
            account = accounts.account_of(realm=realm_of(request), user_id=step.user_id)
            return after_password(request, account, request.POST.get("next") or reverse("admin:index"))
        if request.method == "POST" and response.status_code == 302:
            user: Any = request.user  # as it is since then
            tell_of_new_device(request, user, user.get_username())
            remember_device(request, response, user.get_username())
        return response

    def password_change(  # type: ignore[override] # a redirect is no template
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """As Django's, with our form."""
        request.current_app = self.name  # what Django's own sets, for its templates
        view = PasswordChangeView.as_view(
            form_class=partial(PlatformPasswordForm, request=request),
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        response: HttpResponseBase = view(request)
        return response

    def has_permission(self, request: HttpRequest) -> bool:
        account = account_of(request)
        if account is None or not account.user.is_superuser or account.user.must_change_password:
            return False
        return not _detour(request)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """As Django's; before something is changed, it is asked again who sits there."""
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            is_change = request.method == "POST" and request.path != reverse("admin:logout", current_app=self.name)
            if is_change and self.has_permission(request) and (elsewhere := _detour(request, proof=True)):
                response = redirect(elsewhere)
                hold(request, response)
                return response
            answer: HttpResponseBase = inner(request, *args, **kwargs)
            return answer

        return guarded


def _detour(request: HttpRequest, *, proof: bool = False) -> str | None:
    account = account_of(request)
    if account is None:
        return None
    return detour(request, account, proof=proof, enrolling=False, may_get=True)
