"""Every page uses these: who may see it, and how a form that was sent is answered."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.functional import Promise
from django.views.decorators.http import require_http_methods

from shared.console.entering import detour
from shared.console.expired import hold
from shared.console.languages import SWITCH, in_another_language
from shared.console.messages import field_message_for, message_for
from shared.console.reasons import lacks, signed_in_as
from shared.errors import InvalidRequest, NotFound, PermissionDenied, Problem
from shared.identity.accounts import Account
from shared.identity.permissions import Permission
from shared.identity.roles import may, own_seller_of
from shared.identity.sessions import account_of

PageView = Callable[..., HttpResponseBase]


def page(
    permission: Permission | None = None,
    *,
    is_open: bool = False,
    methods: tuple[str, ...] = ("GET", "HEAD"),
    with_any_password: bool = False,
    proof: bool = False,
    enrolling: bool = False,
) -> Callable[[PageView], PageView]:
    """A page for accounts with this permission (None: for every account; ``is_open``: for everybody, signed in or not).

    Who is not signed in is led to sign in first and then back here. For somebody without the permission there is
    nothing at this address. An account whose password somebody else has set must change it before anything else: only
    pages ``with_any_password`` are shown until then. ``proof``: an account that signed in longer ago than some minutes
    is asked for the password or a second factor first. Where a second factor is required, an account without one gets
    to pages that are ``enrolling`` alone. No browser and no proxy keeps the page: the next person at the machine must
    not leaf back to it.
    """

    def decorate(view: PageView) -> PageView:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method == "POST" and SWITCH in request.POST:
                return in_another_language(request, lambda: answer(request, *args, **kwargs), may_get="GET" in methods)
            return answer(request, *args, **kwargs)

        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            account = account_of(request)
            response: HttpResponseBase
            if account is None and not is_open:
                response = _to_sign_in(request)
            elif account and permission and not may(account, permission):
                raise lacks(account, permission)
            elif account and account.user.must_change_password and not (is_open or with_any_password):
                response = on_to(request, "password")
            elif account and not is_open and (elsewhere := _detour(request, account)):
                response = elsewhere
            else:
                try:
                    response = view(request, *args, **kwargs)
                except (NotFound, PermissionDenied) as problem:
                    if account and not problem.more:
                        problem.more = [signed_in_as(account)]
                    raise
            add_never_cache_headers(response)
            return response

        def _detour(request: HttpRequest, account: Account) -> HttpResponse | None:
            address = detour(request, account, proof=proof, enrolling=enrolling, may_get="GET" in methods)
            return _led_away(request, address) if address else None

        return require_http_methods(list(methods))(guarded)

    return decorate


FORM = ("GET", "HEAD", "POST")
"""Methods of a page with a form."""


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    # Back to a page that can be opened: what a form sends must not be sent by signing in, but by hand once more.
    wanted = "/"
    if request.method in ("GET", "HEAD"):
        wanted = _page_around(request) if is_fragment(request) else request.get_full_path()
    return _led_away(request, reverse("sign_in") + ("" if wanted == "/" else "?" + urlencode({"next": wanted})))


def _page_around(request: HttpRequest) -> str:
    """The page of which htmx asks for a part: its address has what was typed into it, where it keeps that."""
    try:
        page_around = urlsplit(request.headers.get("HX-Current-URL", ""))
    except ValueError:
        return "/"
    if page_around.netloc != request.get_host():
        return "/"
    return page_around.path + (f"?{page_around.query}" if page_around.query else "")


def _led_away(request: HttpRequest, address: str) -> HttpResponse:
    """To a page that comes before this one; what was typed is kept."""
    if "Polls" in request.headers:  # what asks by itself must not lead away from what stands on the page
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Session"})
    response = on_to(request, address)
    # Not what a part of a page asks for by itself, which has an id to be put in place of: nobody has typed that.
    if request.method == "POST" and "HX-Trigger" not in request.headers:
        hold(request, response)
    return response


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def on_to(request: HttpRequest, to: str, *args: Any) -> HttpResponse:
    """On to another page: the page as a whole, where htmx asks for a part. ``to`` is a URL's name, or a path."""
    address = resolve_url(to, *args)
    if is_fragment(request):
        return HttpResponse(status=204, headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)


def signed_in(request: HttpRequest) -> Account:
    """The account that a page's request is from, where ``page`` has seen to it that there is one."""
    account = account_of(request)
    assert account
    return account


def own_seller(request: HttpRequest) -> int:
    """The seller's id of a request to a seller's page."""
    return own_seller_of(signed_in(request))


def show(
    request: HttpRequest, template: str, context: dict[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    """A page, or a part of one."""
    return render(request, template, context, status=status)


def done(request: HttpRequest, message: str | Promise, to: str, *args: Any, **kwargs: Any) -> HttpResponse:
    """After something was done: on to a page, which says so. ``to`` is a URL's name, or a path."""
    messages.success(request, str(message))
    response: HttpResponse = redirect(to, *args, **kwargs)
    return response


def not_done(request: HttpRequest, problem: Problem, to: str, *args: Any, **kwargs: Any) -> HttpResponse:
    """After something was refused that has no form to be corrected: on to a page, which says why."""
    messages.error(request, message_for(problem))
    response: HttpResponse = redirect(to, *args, **kwargs)
    return response


def add_problem(form: forms.Form, problem: Problem, *, fields: dict[str, str] | None = None) -> None:
    """Puts a service's refusal on the form: at the fields it names, or above them.

    ``fields`` maps the names of a problem's fields to those of the form, where they differ.
    """
    if not isinstance(problem, InvalidRequest) or not problem.members.get("errors"):
        form.add_error(None, message_for(problem))
        return
    for error in problem.members["errors"]:
        name = (fields or {}).get(error["field"], error["field"])
        if name in form.fields:
            form.add_error(name, field_message_for(problem, error))
        else:
            form.add_error(None, field_message_for(problem, error))


def status_of_form(form: forms.Form) -> int:
    """422 where a form was sent and refused, as Rails and htmx have it; 200 where it is merely shown."""
    return 422 if form.is_bound and form.errors else 200
