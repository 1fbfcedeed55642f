"""Members, as pages: the list, adding one, what one is, and the invitation that one follows. On both kinds of host."""

from functools import partial
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from shared.console.danger import Danger, ask
from shared.console.forms import (
    AS_WRITTEN,
    ChoiceField,
    EditForm,
    FilterForm,
    Form,
    GivenPasswordField,
    PasswordFormField,
    SearchField,
    TextField,
    TextInput,
)
from shared.console.links import address_of
from shared.console.roles import ROLES, role_name
from shared.console.shown_once import show_once, take_shown
from shared.console.tables import WIDE, Table, TableColumn
from shared.console.views import FORM, add_problem, done, not_done, page, show, signed_in, status_of_form
from shared.errors import NotFound, NotInvited, PasswordChanged, Problem
from shared.identity.lockout import client_address
from shared.identity.password_changes import password_state, suggest_password
from shared.identity.permissions import Permission
from shared.identity.queries import seller_id_of_username, seller_usernames
from shared.identity.realm import realm_of
from shared.identity.roles import may, works_for_seller
from shared.mails import tell_of_second_factor
from shared.members import services
from shared.members.mail import send_invitation
from shared.members.services import Member
from shared.models import User
from shared.pagination import page_of_rows
from shared.templatetags.console import moment, pill

ROWS_ON_A_PAGE = 25

# --- The list ---------------------------------------------------------------------------------------------------------


def _name(member: Member) -> SafeString:
    return format_html("<bdi>{}</bdi>", member.username)


def _linked_name(member: Member) -> SafeString:
    return format_html('<a href="{}"><bdi>{}</bdi></a>', address_of("member", member.user_id), member.username)


def _state(member: Member) -> SafeString:
    if not member.is_active:
        return pill("plain", _("Inactive"))
    if member.is_invited:
        return pill("wait", _("Invited"))
    return pill("good", _("Active"))


def _last_sign_in(member: Member) -> str:
    return moment(member.last_sign_in) if member.last_sign_in else gettext("Never")


def _table(rows: list[Member], sellers: dict[int, str], *, may_manage: bool) -> Table:
    def role(member: Member) -> SafeString:
        seller = sellers.get(member.seller_id or 0, "") if not member.is_sellers else ""
        of = seller and format_html(' <span class="text-secondary">(<bdi>{}</bdi>)</span>', seller)
        return format_html("{}{}", role_name(member.role), of)

    return Table(
        _("Members"),
        (
            TableColumn(_("Username"), _linked_name if may_manage else _name),
            TableColumn(_("Role"), role),
            TableColumn(_("State"), _state),
            TableColumn(_("Last sign-in"), _last_sign_in, WIDE),
            TableColumn(_("Second factor"), lambda member: gettext("Yes") if member.second_factor else "–", WIDE),
        ),
        rows,
    )


class SearchForm(FilterForm):
    search = SearchField(label=_("Username"), required=False, max_length=150)


@page(Permission.VIEW_MEMBERS)
def members(request: HttpRequest) -> HttpResponse:
    """Who may sign in here, and as what, newest first."""
    realm = realm_of(request)
    form = SearchForm(request.GET)
    search = form.filters().get("search", "")
    found = services.members_like(realm, search) if search else services.members(realm)
    found = found.none() if form.errors else found
    shown = page_of_rows(found, limit=ROWS_ON_A_PAGE, cursor=request.GET.get("cursor"))
    rows = [services.member_in(row) for row in shown.rows]
    may_manage = may(signed_in(request), Permission.MANAGE_MEMBERS)
    table = _table(rows, _sellers_of(request, rows), may_manage=may_manage)
    return show(request, "shared/members.html", {"page": shown, "table": table, "form": form})


def _sellers_of(request: HttpRequest, rows: list[Member]) -> dict[int, str]:
    ids = [row.seller_id for row in rows if row.seller_id is not None and not row.is_sellers]
    organization_id = realm_of(request).organization_id
    return seller_usernames(organization_id=organization_id, seller_ids=ids) if ids and organization_id else {}


# --- Adding -----------------------------------------------------------------------------------------------------------


def _choices(request: HttpRequest) -> list[tuple[str, str]]:
    return [(role, f"{ROLES[role][0]}: {ROLES[role][1]}") for role in services.roles_to_give(realm_of(request))]


def _seller_field(**options: Any) -> SearchField:
    return SearchField(
        label=_("Username of the seller"),
        required=False,
        max_length=150,
        help_text=_("For a cashier only: the seller on whose account the cashier sells."),
        widget=TextInput(attrs=AS_WRITTEN),
        **options,
    )


class NewMemberForm(Form):
    username = TextField(
        label=_("Username"),
        max_length=150,
        help_text=_("The member signs in with it: letters, digits and @/./+/-/_ only."),
        widget=TextInput(attrs=AS_WRITTEN),
    )
    role = ChoiceField(label=_("Role"), choices=[])
    seller = _seller_field()
    email = forms.EmailField(
        label=_("Email address"),
        required=False,
        help_text=_("For the invitation, and to reset a forgotten password."),
        widget=forms.EmailInput(attrs=AS_WRITTEN),
    )
    password = GivenPasswordField(
        required=False,
        help_text=_("It must be changed at the first sign-in. Leave it empty to send an invitation by email instead."),
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # None is chosen beforehand: the first is the one that may do everything.
        self.fields["role"].choices = [("", _("Choose a role")), *_choices(request)]  # type: ignore[attr-defined]
        if realm_of(request).is_platform:
            del self.fields["seller"]


_FIELDS = {"seller_id": "seller"}


def _given(request: HttpRequest, cleaned: dict[str, Any]) -> dict[str, Any]:
    """A form's fields as the services take them.

    Raises:
        InvalidMember: there is no seller of this username.
    """
    given = dict(cleaned)
    if username := given.pop("seller", ""):
        given["seller_id"] = seller_id_of_username(
            organization_id=realm_of(request).require_organization_id(), username=username
        )
    return given


_PASSWORD = "member_password_shown"  # noqa: S105 - a session's key


@page(Permission.MANAGE_MEMBERS, methods=FORM, proof=True)
def new_member(request: HttpRequest) -> HttpResponse:
    """Adds a member: with a first password, which the member's page then shows once, or by an invitation."""
    form = NewMemberForm(request.POST or None, initial={"password": suggest_password()}, request=request)
    if request.method == "POST" and form.is_valid():
        try:
            member = services.add_member(realm=realm_of(request), **_given(request, form.cleaned_data))
        except Problem as problem:
            add_problem(form, problem, fields=_FIELDS)
        else:
            if member.is_invited:
                send_invitation(request, member)
                return done(request, _invited(member), "member", member.user_id)
            show_once(request, _PASSWORD, str(member.user_id), form.cleaned_data["password"])
            return done(request, _("The member is added."), "member", member.user_id)
    return show(request, "shared/new_member.html", {"form": form}, status=status_of_form(form))


def _invited(member: Member) -> str:
    said = gettext("An invitation was sent to %(email)s. It is valid for 7 days.")
    return said % {"email": member.email}


# --- One member -------------------------------------------------------------------------------------------------------


class RoleForm(EditForm):
    together = ("role", "seller")

    role = ChoiceField(label=_("Role"), choices=[])
    seller = _seller_field()

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = _choices(request)  # type: ignore[attr-defined]
        if realm_of(request).is_platform:
            del self.fields["seller"]


@page(Permission.MANAGE_MEMBERS, methods=FORM, proof=True)
def member(request: HttpRequest, user_id: int) -> HttpResponse:
    """What a member is, with a form for another role. After the password was set, it is here once."""
    realm = realm_of(request)
    found = services.member_of_user(realm=realm, user_id=user_id)
    seller = _sellers_of(request, [found]).get(found.seller_id or 0, "")
    form = None
    if not found.is_sellers:
        form = RoleForm(request.POST or None, initial={"role": found.role, "seller": seller}, request=request)
    if form and request.method == "POST" and form.is_valid():
        try:
            if edits := form.edits():
                if not works_for_seller(edits["role"]):
                    edits.pop("seller", None)  # which is left where it was a cashier
                services.change_member(realm=realm, username=found.username, **_given(request, edits))
        except Problem as problem:
            add_problem(form, problem, fields=_FIELDS)
        else:
            return _after_change(request, user_id)
    context = {
        "member": found,
        "role": role_name(found.role),
        "state": _state(found),
        "seller": seller,
        "last_sign_in": _last_sign_in(found),
        "form": form,
        "password": take_shown(request, _PASSWORD, str(user_id)),
        "is_own": signed_in(request).user.pk == user_id,
    }
    return show(request, "shared/member.html", context, status=status_of_form(form) if form else 200)


def _after_change(request: HttpRequest, user_id: int) -> HttpResponse:
    """Back to the member; who has taken the own permission away begins anew."""
    is_own = signed_in(request).user.pk == user_id
    return done(request, _("Saved."), "start") if is_own else done(request, _("Saved."), "member", user_id)


@page(Permission.MANAGE_MEMBERS, methods=FORM, proof=True)
def switch_member_off(request: HttpRequest, user_id: int) -> HttpResponse:
    """Asks for confirmation, and switches a member off."""
    return _switch(request, user_id, is_active=False)


@page(Permission.MANAGE_MEMBERS, methods=FORM, proof=True)
def switch_member_on(request: HttpRequest, user_id: int) -> HttpResponse:
    """Asks for confirmation, and switches a member on again."""
    return _switch(request, user_id, is_active=True)


def _switch(request: HttpRequest, user_id: int, *, is_active: bool) -> HttpResponse:
    realm = realm_of(request)
    found = services.member_of_user(realm=realm, user_id=user_id)
    if found.is_sellers:
        raise NotFound("A seller's own member is switched with the seller.")
    if request.method == "POST":
        try:
            services.change_member(realm=realm, username=found.username, is_active=is_active)
        except Problem as problem:
            return not_done(request, problem, "member", user_id)
        return _after_change(request, user_id)
    return ask(request, _switching(found, is_active=is_active))


def _switching(found: Member, *, is_active: bool) -> Danger:
    name, back = {"name": found.username}, reverse("member", args=[found.user_id])
    if is_active:
        return Danger(
            question=gettext("Activate %(name)s?") % name,
            meaning=[_("The member may sign in again, with the same role and password.")],
            act=_("Activate"),
            back=back,
            looks="primary",
        )
    return Danger(
        question=gettext("Deactivate %(name)s?") % name,
        meaning=[
            _("The member can no longer sign in, and open sessions end at once. You can activate the member again.")
        ],
        act=_("Deactivate"),
        back=back,
    )


@page(Permission.MANAGE_MEMBERS, methods=FORM, proof=True)
def reset_second_factor(request: HttpRequest, user_id: int) -> HttpResponse:
    """Asks for confirmation, and takes away the second factors that a member has lost."""
    realm = realm_of(request)
    found = services.member_of_user(realm=realm, user_id=user_id)
    if request.method == "POST":
        tell = partial(tell_of_second_factor, request, is_added=False)
        try:
            services.change_member(realm=realm, username=found.username, second_factor=False, when_reset=tell)
        except Problem as problem:
            return not_done(request, problem, "member", user_id)
        return done(request, _("The member's second factors are reset."), "member", user_id)
    danger = Danger(
        question=gettext("Reset the second factors of %(name)s?") % {"name": found.username},
        meaning=[
            _(
                "Do this only for a member who has lost the app, the passkeys and the recovery codes, and only after "
                "you have made sure who is asking. Open sessions end at once. Until the member sets up another one, "
                "the password alone opens the account."
            )
        ],
        act=_("Reset"),
        back=reverse("member", args=[user_id]),
    )
    return ask(request, danger)


class NewPasswordForm(Form):
    password = GivenPasswordField(help_text=_("The member must change it at the next sign-in."))
    state = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)


@page(Permission.MANAGE_MEMBERS, methods=FORM, proof=True)
def reset_member_password(request: HttpRequest, user_id: int) -> HttpResponse:
    """A new password for a member, which the member's page then shows once."""
    realm = realm_of(request)
    found = services.member_of_user(realm=realm, user_id=user_id)
    if found.is_sellers:
        raise NotFound("A seller's password is reset with the seller.")
    initial = {"password": suggest_password(), "state": password_state(User.objects.get(pk=user_id))}
    form = NewPasswordForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            services.reset_password(realm=realm, user_id=user_id, address=client_address(request), **form.cleaned_data)
        except PasswordChanged as problem:
            return not_done(request, problem, "member", user_id)
        except Problem as problem:
            add_problem(form, problem, fields={"new": "password"})
        else:
            show_once(request, _PASSWORD, str(user_id), form.cleaned_data["password"])
            return done(request, _("The password is changed."), "member", user_id)
    return show(
        request, "shared/reset_member_password.html", {"member": found, "form": form}, status=status_of_form(form)
    )


class InvitationForm(Form):
    email = forms.EmailField(label=_("Email address"), max_length=254, widget=forms.EmailInput(attrs=AS_WRITTEN))


@page(Permission.MANAGE_MEMBERS, methods=FORM, proof=True)
def send_again(request: HttpRequest, user_id: int) -> HttpResponse:
    """Asks where to, and sends an invitation once more."""
    realm = realm_of(request)
    found = services.member_of_user(realm=realm, user_id=user_id)
    form = InvitationForm(request.POST or None, initial={"email": found.email})
    if request.method == "POST" and form.is_valid():
        try:
            member = services.renew_invitation(
                realm=realm, username=found.username, address=client_address(request), **form.cleaned_data
            )
        except NotInvited as problem:
            return not_done(request, problem, "member", user_id)
        except Problem as problem:
            add_problem(form, problem)
        else:
            send_invitation(request, member)
            return done(request, _invited(member), "member", user_id)
    return show(request, "shared/send_invitation.html", {"member": found, "form": form}, status=status_of_form(form))


# --- The invitation ---------------------------------------------------------------------------------------------------


class FirstPasswordForm(Form):
    new = PasswordFormField(
        label=_("New password"), autocomplete="new-password", help_text=_("At least 8 characters, not a common one.")
    )
    again = PasswordFormField(label=_("New password again"), autocomplete="new-password")

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if "new" in self.cleaned_data and self.cleaned_data["new"] != again:
            raise forms.ValidationError(_("The two passwords differ. Write the new password again."))
        return again


@page(is_open=True, methods=FORM)
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """The first password of whoever follows the link that was sent."""
    realm = realm_of(request)
    user = services.invited_by(realm=realm, token=token)
    if user is None:
        return show(request, "shared/invitation_expired.html", status=404)
    form = FirstPasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.accept_invitation(realm=realm, token=token, new=form.cleaned_data["new"])
        except NotFound:
            return show(request, "shared/invitation_expired.html", status=404)
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Your password is set. Sign in with it now."), "sign_in")
    username = services.member_of_user(realm=realm, user_id=user.pk).username
    return show(request, "shared/invitation.html", {"form": form, "username": username}, status=status_of_form(form))
