"""The pages that every console has, on both kinds of host: sign-in and sign-out, one's own password and preferences."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.tokens import default_token_generator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import url_has_allowed_host_and_scheme, urlsafe_base64_decode, urlsafe_base64_encode
from django.utils.translation import gettext_lazy as _

from shared.console import expired
from shared.console.danger import Danger, ask
from shared.console.entering import after_password, safe_path
from shared.console.forms import ChoiceField, EditForm, Form, PasswordFormField, SearchField, TextInput
from shared.console.languages import choose_language, is_shown_again, remember_language, remember_page
from shared.console.preferences import zone_names
from shared.console.views import FORM, add_problem, done, page, show, signed_in, status_of_form
from shared.errors import NotFound, Problem
from shared.identity import lockout, sign_ins
from shared.identity.accounts import user_of_realm, user_to_reset
from shared.identity.devices import device_of
from shared.identity.lockout import client_address
from shared.identity.password_changes import change_password, reset_password
from shared.identity.preferences import set_preferences
from shared.identity.realm import realm_of
from shared.identity.sessions import account_of
from shared.identity.signing_in import authenticate, check_password_of
from shared.mails import host_of, mail_owner
from shared.models import User
from shared.pagination import page_of_rows


class SignInForm(Form):
    username = SearchField(
        label=_("Username"),
        max_length=150,
        widget=TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false", "dir": "ltr"}
        ),
    )
    password = PasswordFormField(label=_("Password"), autocomplete="current-password")


@page(is_open=True, methods=FORM)
def sign_in(request: HttpRequest) -> HttpResponse:
    """For accounts of this host alone; of others nothing is told, not even that they are others'."""
    if account_of(request) and request.method != "POST":
        return redirect(_next(request))
    form = SignInForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            account = authenticate(
                realm=realm_of(request),
                address=client_address(request),
                device=device_of(request, form.cleaned_data["username"]),
                **form.cleaned_data,
            )
        except Problem as problem:
            add_problem(form, problem)
        else:
            return after_password(request, account, _next(request))
    context = {"form": form, "next": request.GET.get("next") or request.POST.get("next", "")}
    return show(request, "shared/sign_in.html", context, status=status_of_form(form))


def _tell_of_new_password(request: HttpRequest, user: User) -> None:
    mail_owner(
        request,
        user,
        subject=_("Your password was changed"),
        template="shared/password_changed_mail.txt",
        context={"name": user.username.rpartition("/")[2]},
    )


def _next(request: HttpRequest) -> str:
    """The page that was asked for before signing in, if it is one of this host."""
    return safe_path(request.POST.get("next") or request.GET.get("next") or "/")


def form_expired(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW. Of two tabs at sign-in, the second finds done what it asks for."""
    at_sign_in = request.path in (reverse("sign_in"), "/admin/login/")
    if at_sign_in and account_of(request) and not expired.is_from_elsewhere(request):
        return redirect(_next(request))
    return expired.form_expired(request, reason)


@page(enrolling=True)
def held_form(request: HttpRequest) -> HttpResponse:
    """What was sent when the session was over, to be sent once more by hand."""
    form = expired.held(request)
    return expired.show_held(request, form) if form else redirect("/")


@page(is_open=True, methods=("POST",))
def sign_out(request: HttpRequest) -> HttpResponse:
    """Ends the session."""
    logout(request)
    response = done(request, _("You are signed out."), "sign_in")
    response.delete_cookie(expired.HELD, samesite="Lax")  # which is not for the next at this machine
    return response


@page(is_open=True, methods=("POST",))
def set_language(request: HttpRequest) -> HttpResponse:
    """Switches the language: of the account, or of this browser for who is not signed in. Back to the same page."""
    language = request.POST.get("language", "")
    choose_language(request, language)
    back = _back(request)
    remember_page(request, urlsplit(back).path)
    response = redirect(back)
    remember_language(response, language)
    return response


def _back(request: HttpRequest) -> str:
    """The page that the form was on."""
    referer = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(referer, allowed_hosts={request.get_host()}):
        return "/"
    came_from = urlsplit(referer)
    back = came_from.path + (f"?{came_from.query}" if came_from.query else "")
    return back if url_has_allowed_host_and_scheme(back, allowed_hosts=None) else "/"


class PreferencesForm(EditForm):
    language = ChoiceField(label=_("Language"), choices=settings.LANGUAGES)
    time_zone = ChoiceField(label=_("Time zone"), choices=[])
    email = forms.EmailField(
        label=_("Email address"),
        required=False,
        help_text=_("Password resets are sent here."),
        widget=forms.EmailInput(attrs={"dir": "ltr", "autocomplete": "email"}),
    )
    password = PasswordFormField(
        label=_("Current password"),
        required=False,
        autocomplete="current-password",
        help_text=_("Only to change the email address: who has it can reset your password."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(name, name.replace("_", " ")) for name in zone_names()]
        self.fields["time_zone"].choices = choices  # type: ignore[attr-defined]


@page(methods=FORM)
def preferences(request: HttpRequest) -> HttpResponse:
    """Language, time zone and email address."""
    user = signed_in(request).user
    initial = {"language": user.language or request.LANGUAGE_CODE, "time_zone": user.time_zone, "email": user.email}
    form = PreferencesForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        given = initial | form.edits()
        given.pop("password", None)
        password_now = form.cleaned_data["password"]
        try:
            is_proved = given["email"] != user.email
            if is_proved:
                _check_password(request, password_now, "password")
            set_preferences(user=user, **given, is_proved=is_proved)
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Saved."), "preferences")
    return show(request, "shared/preferences.html", {"form": form}, status=status_of_form(form))


class PasswordForm(Form):
    old = PasswordFormField(label=_("Current password"), autocomplete="current-password")
    new = PasswordFormField(
        label=_("New password"), autocomplete="new-password", help_text=_("At least 8 characters, not a common one.")
    )
    again = PasswordFormField(label=_("New password again"), autocomplete="new-password")

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if "new" in self.cleaned_data and self.cleaned_data["new"] != again:
            raise forms.ValidationError(_("The two passwords differ. Write the new password again."))
        return again


class NewPasswordForm(PasswordForm):
    old = None  # type: ignore[assignment]


@page(methods=FORM, with_any_password=True, enrolling=True)
def password(request: HttpRequest) -> HttpResponse:
    """Change one's own password; all other sessions end."""
    account = signed_in(request)
    had_to = account.user.must_change_password
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            _check_password(request, form.cleaned_data["old"], "old")
            change_password(user=account.user, new=form.cleaned_data["new"], but=account.family)
        except Problem as problem:
            add_problem(form, problem)
        else:
            update_session_auth_hash(request, account.user)
            _tell_of_new_password(request, account.user)
            said = _("Your password is changed; other sessions have ended.")
            return done(request, said, "start" if had_to else "password")
    return show(request, "shared/password.html", {"form": form}, status=status_of_form(form))


def _check_password(request: HttpRequest, given: str, field: str) -> None:
    """See :func:`shared.identity.signing_in.check_password_of`."""
    check_password_of(
        signed_in(request), realm=realm_of(request), given=given, address=client_address(request), field=field
    )


@page()
def sessions(request: HttpRequest) -> HttpResponse:
    """Where one is signed in: browsers and programs, of which each can be ended."""
    account = signed_in(request)
    rows = sign_ins.sign_ins_of(realm=realm_of(request), user_id=account.user.pk)
    listed = page_of_rows(rows, limit=SESSIONS_SHOWN, cursor=request.GET.get("cursor"))
    return show(request, "shared/sessions.html", {"page": listed, "current": account.family})


SESSIONS_SHOWN = 25


@page(methods=FORM)
def end_session(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Asks for confirmation, and ends one of one's own sessions."""
    account = signed_in(request)
    if request.method != "POST":
        own = sign_ins.sign_ins_of(realm=realm_of(request), user_id=account.user.pk)
        if not own.filter(public_id=session_id).exists():
            raise NotFound("There is no such session.")
        danger = Danger(
            question=_("End this session?"),
            meaning=[_("Whoever works in it is signed out at once. What was sold in it stays.")],
            act=_("End"),
            back=reverse("sessions"),
        )
        return ask(request, danger)
    sign_ins.end_session(realm=realm_of(request), user_id=account.user.pk, session_id=session_id)
    return done(request, _("The session has ended."), "sessions")


@page(methods=FORM)
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """Asks for confirmation, and ends all of one's own sessions but this one."""
    account = signed_in(request)
    if request.method != "POST":
        danger = Danger(
            question=_("End all other sessions?"),
            meaning=[
                _(
                    "Every other browser and program that is signed in with your account is signed out at once. This "
                    "one stays."
                )
            ],
            act=_("End all others"),
            back=reverse("sessions"),
        )
        return ask(request, danger)
    sign_ins.end_other_sessions(realm=realm_of(request), user_id=account.user.pk, but=account.family)
    return done(request, _("All other sessions have ended."), "sessions")


class ResetForm(Form):
    username = SearchField(
        label=_("Username"), max_length=150, widget=TextInput(attrs={"autocomplete": "username", "dir": "ltr"})
    )


@page(is_open=True, methods=FORM)
def password_reset(request: HttpRequest) -> HttpResponse:
    """Sends a link to the account's email address, if it has one; whether it has is not told."""
    form = ResetForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if is_shown_again(request):
            return show(request, "shared/password_reset_sent.html")
        realm, username = realm_of(request), User.normalize_username(form.cleaned_data["username"])
        try:
            # Nobody's mailbox is to be filled by strangers.
            lockout.count_attempt(
                realm=realm,
                username=username,
                address=client_address(request),
                door="reset",
                device=device_of(request, username),
                is_failure=True,
            )
        except Problem as problem:
            add_problem(form, problem)
        else:
            user = user_to_reset(realm=realm, username=username)
            if user:
                _send_reset(request, user)
            return show(request, "shared/password_reset_sent.html")
    return show(request, "shared/password_reset.html", {"form": form}, status=status_of_form(form))


def _send_reset(request: HttpRequest, user: User) -> None:
    uid, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
    path = reverse("password_reset_confirm", args=[uid, token])
    mail_owner(
        request,
        user,
        subject=_("Reset your password"),
        template="shared/password_reset_mail.txt",
        context={"link": f"{request.scheme}://{host_of(request)}{path}"},
    )


@page(is_open=True, methods=FORM)
def password_reset_confirm(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """A new password for whoever follows the link that was sent."""
    user = _user_of_link(request, uid)
    if user is None or not default_token_generator.check_token(user, token):
        return show(request, "shared/password_reset_expired.html", status=404)
    form = NewPasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            reset_password(user=user, token=token, new=form.cleaned_data["new"])
        except NotFound:
            return show(request, "shared/password_reset_expired.html", status=404)
        except Problem as problem:
            add_problem(form, problem)
        else:
            _tell_of_new_password(request, user)
            return done(request, _("Your password is changed. Sign in with it now."), "sign_in")
    return show(request, "shared/password_reset_confirm.html", {"form": form}, status=status_of_form(form))


def _user_of_link(request: HttpRequest, uid: str) -> User | None:
    try:
        user_id = int(urlsafe_base64_decode(uid).decode("ascii"))
    except (ValueError, OverflowError):
        return None
    if not 0 < user_id < 2**63:
        return None
    return user_of_realm(realm=realm_of(request), user_id=user_id)
