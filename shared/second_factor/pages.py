"""Pages of the second factor: the second step of signing in, the proof that is asked for before what matters, and what
an account has."""

from typing import Any

import segno
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from shared.console import entering
from shared.console.danger import Danger, ask
from shared.console.forms import AS_WRITTEN, Form, PasswordFormField, SearchField, TextField, TextInput
from shared.console.shown_once import show_once, take_shown
from shared.console.views import FORM, add_problem, done, not_done, page, show, signed_in, status_of_form
from shared.errors import NotFound, Problem
from shared.identity.accounts import Account
from shared.identity.devices import device_of
from shared.identity.lockout import client_address
from shared.identity.realm import realm_of
from shared.identity.sessions import account_of, remember_proof
from shared.identity.signing_in import check_password_of
from shared.mails import tell_of_second_factor
from shared.second_factor import passkeys, services
from shared.second_factor.services import LONGEST_CODE


class CodeForm(Form):
    code = SearchField(
        label=_("Code"),
        max_length=LONGEST_CODE,
        help_text=_("The 6 digits that your app shows now, or one of your recovery codes."),
        widget=TextInput(attrs={**AS_WRITTEN, "autocomplete": "one-time-code"}),
    )


class AppCodeForm(CodeForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].help_text = _("The 6 digits that the app shows now.")
        self.fields["code"].widget.attrs["inputmode"] = "numeric"


class OwnPasswordForm(Form):
    password = PasswordFormField(label=_("Current password"), autocomplete="current-password")


class NewPasskeyForm(Form):
    name = TextField(
        label=_("Name"),
        max_length=100,
        help_text=_("A name to recognize it by, such as “work laptop”."),
        widget=TextInput(attrs={"autocomplete": "off"}),
    )


# --- Signing in -------------------------------------------------------------------------------------------------------


@page(is_open=True, methods=FORM)
def second_step(request: HttpRequest) -> HttpResponse:
    """After the password: a code, or a passkey."""
    found = entering.account_at_second_step(request)
    if found is None:
        return redirect("/" if account_of(request) else "sign_in")
    account, wanted = found
    by_passkey = request.method == "POST" and "answer" in request.POST
    form = CodeForm(request.POST if request.method == "POST" and not by_passkey else None)
    try:
        if by_passkey:
            with services.second_step(account):
                _passkey_user(request, account)
            return entering.enter(request, account, wanted, by_second_factor=True)
        if form.is_bound and form.is_valid():
            with services.second_step(account):
                _check_code(request, account, form.cleaned_data["code"])
            return entering.enter(request, account, wanted, by_second_factor=True)
    except Problem as problem:
        return _refused(request, account, form, problem, "shared/second_step.html", {})
    return _show_ways(request, account, form, "shared/second_step.html", {})


@page(is_open=True, methods=FORM)
def passkey_sign_in(request: HttpRequest) -> HttpResponse:
    """Signing in with a passkey alone: it knows whose it is, and the authenticator looks at who uses it."""
    wanted = entering.safe_path(request.POST.get("next") or request.GET.get("next") or "/")
    if request.method == "POST":
        try:
            account = passkeys.account_by_passkey(
                realm=realm_of(request),
                site=entering.site_of(request),
                answer=request.POST.get("answer", ""),
                challenge=entering.take_challenge(request),
            )
            return entering.enter(request, account, wanted, by_second_factor=True)
        except Problem as problem:
            return not_done(request, problem, "passkey_sign_in")
    asked = entering.keep_challenge(request, passkeys.ask_for(None, site=entering.site_of(request)))
    return show(request, "shared/passkey_sign_in.html", {"asked": asked, "next": wanted})


# --- Proving it again -------------------------------------------------------------------------------------------------


@page(methods=FORM, enrolling=True)
def proof(request: HttpRequest) -> HttpResponse:
    """Asks who is signed in for the password, a code or a passkey, and leads on to the page that wants it proved."""
    account = signed_in(request)
    wanted = request.POST.get("next") or request.GET.get("next") or "/"
    by_factor = entering.must_show_second_factor(request, account)
    kind = request.POST.get("by", "") if request.method == "POST" else ""
    password_form = None if by_factor else OwnPasswordForm(request.POST if kind == "password" else None)
    form = CodeForm(request.POST if kind == "code" else None)
    more = {"next": wanted, "password_form": password_form}
    try:
        if kind == "passkey":
            _passkey_user(request, account)
            return entering.proved(request, wanted, by_second_factor=True)
        if form.is_bound and form.is_valid():
            _check_code(request, account, form.cleaned_data["code"])
            return entering.proved(request, wanted, by_second_factor=True)
        if password_form and password_form.is_bound and password_form.is_valid():
            check_password_of(
                account,
                realm=realm_of(request),
                given=password_form.cleaned_data["password"],
                address=client_address(request),
                field="password",
            )
            return entering.proved(request, wanted, by_second_factor=False)
    except Problem as problem:
        failed = password_form if password_form and kind == "password" else form
        return _refused(request, account, failed, problem, "shared/proof.html", more | {"form": form})
    return _show_ways(request, account, form, "shared/proof.html", more)


def _check_code(request: HttpRequest, account: Account, code: str) -> None:
    services.check_code_of(
        account,
        realm=realm_of(request),
        code=code,
        address=client_address(request),
        device=device_of(request, account.username),
    )


def _passkey_user(request: HttpRequest, account: Account) -> None:
    """Raises PasskeyRefused where it is none of this account's."""
    challenge = entering.take_challenge(request)
    answer = request.POST.get("answer", "")
    passkeys.whose(site=entering.site_of(request), answer=answer, challenge=challenge, user=account.user)


def _show_ways(
    request: HttpRequest, account: Account, form: Form, template: str, more: dict[str, Any], status: int = 0
) -> HttpResponse:
    """A page that asks for one of an account's second factors."""
    site, factors = entering.site_of(request), services.factors_of(account.user)
    asked = ""
    if any(passkey.host == site.host for passkey in factors.passkeys):
        asked = entering.keep_challenge(request, passkeys.ask_for(account.user, site=site))
    takes_codes = factors.app_since is not None or factors.recovery_codes > 0
    bound = [one for one in (form, more.get("password_form")) if one is not None and one.is_bound]
    status = status or (status_of_form(bound[0]) if bound else 200)
    return show(
        request,
        template,
        {"form": form, "asked": asked, "takes_codes": takes_codes, "factors": factors, **more},
        status=status,
    )


def _refused(
    request: HttpRequest, account: Account, form: Form, problem: Problem, template: str, more: dict[str, Any]
) -> HttpResponse:
    if not form.is_bound:  # a passkey's
        return _show_ways(request, account, form, template, more | {"problem": _words(problem)}, status=422)
    add_problem(form, problem)
    return _show_ways(request, account, form, template, more, status=422)


def _words(problem: Problem) -> str:
    return str(problem.message or problem.detail)


# --- What an account has ----------------------------------------------------------------------------------------------


@page(enrolling=True)
def security(request: HttpRequest) -> HttpResponse:
    """One's second factors."""
    account = signed_in(request)
    context = {
        "factors": services.factors_of(account.user),
        "is_required": services.is_required(realm_of(request)),
        "must_enrol": entering.must_enrol(request, account),
        "host": entering.site_of(request).host,
    }
    return show(request, "shared/security.html", context)


@page(methods=FORM, proof=True, enrolling=True)
def set_up_app(request: HttpRequest) -> HttpResponse:
    """Begins with a secret, shows it as a QR code, and takes the first code."""
    account, realm = signed_in(request), realm_of(request)
    form = AppCodeForm(request.POST if "code" in request.POST else None)
    try:
        if request.method == "POST" and "code" not in request.POST:
            services.begin_totp(account, realm=realm)
            return redirect("set_up_app")
        if form.is_bound and form.is_valid():
            codes = services.confirm_totp(account, code=form.cleaned_data["code"])
            remember_proof(request, by_second_factor=True)
            tell_of_second_factor(request, account.user, is_added=True)
            return _show_codes(request, codes)
    except Problem as problem:
        if not form.is_bound:
            return not_done(request, problem, "security")
        add_problem(form, problem)
    enrolment = services.pending_totp(account, realm=realm)
    context = {
        "form": form,
        "secret": enrolment.secret if enrolment else "",
        "qr": _qr(enrolment.uri) if enrolment else "",
    }
    return show(request, "shared/set_up_app.html", context, status=status_of_form(form))


def _qr(text: str) -> SafeString:
    drawn = segno.make(text, error="m").svg_inline(border=4, light="#fff", omitsize=True, svgclass=None, lineclass=None)
    return mark_safe(drawn)  # noqa: S308 - paths of the package's own


_CODES = "recovery_codes_shown"


def _show_codes(request: HttpRequest, codes: list[str]) -> HttpResponse:
    show_once(request, _CODES, str(signed_in(request).user.pk), " ".join(codes))
    return redirect("recovery_codes_shown")


@page(enrolling=True)
def recovery_codes_shown(request: HttpRequest) -> HttpResponse:
    """The codes that were just made, this once."""
    codes = take_shown(request, _CODES, str(signed_in(request).user.pk)).split()
    return show(request, "shared/recovery_codes_shown.html", {"codes": codes}) if codes else redirect("security")


@page(methods=FORM, proof=True, enrolling=True)
def remove_app(request: HttpRequest) -> HttpResponse:
    """Asks, and ends the app."""
    account = signed_in(request)
    if request.method == "POST":
        try:
            services.remove_totp(account, realm=realm_of(request))
        except Problem as problem:
            return not_done(request, problem, "security")
        tell_of_second_factor(request, account.user, is_added=False)
        return done(request, _("The app is removed."), "security")
    return ask(request, _removal(_("Remove the app?")))


def _removal(question: str | Promise, *named: str) -> Danger:
    meaning = _("You can no longer sign in with it. Without any second factor, your password alone opens your account.")
    return Danger(question=question, meaning=[*named, meaning], act=_("Remove"), back=reverse("security"))


@page(methods=FORM, proof=True, enrolling=True)
def add_passkey(request: HttpRequest) -> HttpResponse:
    """Names a passkey that the browser makes, and keeps it."""
    account, site = signed_in(request), entering.site_of(request)
    form = NewPasskeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            codes = passkeys.add_passkey(
                account,
                site=site,
                answer=request.POST.get("answer", ""),
                challenge=entering.take_challenge(request),
                name=form.cleaned_data["name"],
            )
        except Problem as problem:
            add_problem(form, problem)
        else:
            remember_proof(request, by_second_factor=True)
            tell_of_second_factor(request, account.user, is_added=True)
            return _show_codes(request, codes) if codes else done(request, _("The passkey is added."), "security")
    asked = entering.keep_challenge(request, passkeys.ask_to_add(account, site=site))
    return show(request, "shared/add_passkey.html", {"form": form, "asked": asked}, status=status_of_form(form))


@page(methods=FORM, proof=True, enrolling=True)
def remove_passkey(request: HttpRequest, passkey_id: int) -> HttpResponse:
    """Asks, and ends the passkey."""
    account = signed_in(request)
    try:
        passkey = passkeys.passkey_of(account, passkey_id=passkey_id)
    except NotFound as problem:  # it was removed in another tab
        return not_done(request, problem, "security")
    if request.method == "POST":
        try:
            passkeys.remove_passkey(account, realm=realm_of(request), passkey_id=passkey_id)
        except Problem as problem:
            return not_done(request, problem, "security")
        tell_of_second_factor(request, account.user, is_added=False)
        return done(request, _("The passkey is removed."), "security")
    return ask(request, _removal(_("Remove the passkey?"), passkey.name))


@page(methods=FORM, proof=True, enrolling=True)
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """Asks, and makes new recovery codes."""
    if request.method == "POST":
        try:
            return _show_codes(request, services.replace_recovery_codes(signed_in(request)))
        except Problem as problem:
            return not_done(request, problem, "security")
    return show(request, "shared/recovery_codes.html", {"factors": services.factors_of(signed_in(request).user)})
