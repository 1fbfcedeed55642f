"""Keeps what was typed into a form whose session is over, and does nothing of it that was not meant.

A new sign-in gives a new token against forged forms (CSRF), and a form that was open before has the old one. Such a
form is shown again, with what it held, and a person sends it once more. A form that is sent after its session is kept
in the browser, in a cookie for a quarter of an hour, until somebody has signed in.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from shared.errors import FormExpired, SentFromElsewhere
from shared.handlers import problem_response, wants_page
from shared.identity.realm import realm_of
from shared.requests import request_id_of

HELD = "__Host-held" if settings.HTTPS else "held"
"""The cookie."""

_SECONDS_HELD = 15 * 60
_LONGEST_HELD = 3500  # characters: browsers take 4096 bytes of a cookie, its name and attributes included

# Never sent back, and typed again. (Of the fields of all forms; those of Django's admin site begin so, too.)
_SECRET = re.compile(r"(?:.*password|.*secret|old|new|again$|token|code$)")
_OF_THE_FORM = "csrfmiddlewaretoken"
# What a form carries for itself. It is sent again, and not shown.
_UNSEEN = ("answer", "by", "key", "batch", "items", "in_flight", "state", "next", "again", "shown", "seen")


@dataclass(frozen=True, slots=True)
class HeldForm:
    """What somebody sent: where, and its fields in their order."""

    path: str
    fields: list[tuple[str, str]]
    """Without secrets and files."""
    secrets: list[str]
    """Names of those that must be typed again."""
    files: list[str]
    """Names of those that must be chosen again."""

    @property
    def typed(self) -> list[tuple[str, str]]:
        """What people recognize it by: names of fields, and what stands in them."""
        return [(name, value) for name, value in self.fields if value.strip() and name not in _UNSEEN]


def form_expired(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW: the token that a form was sent with is not this session's. Nothing was done."""
    if is_from_elsewhere(request):
        return problem_response(request, SentFromElsewhere())
    if not (wants_page(request) or _is_of_htmx(request)):
        return problem_response(request, FormExpired())
    answer = _show(request, _sent(request), status=403)
    if _is_of_htmx(request):
        # In the place of the page's content (see console.js).
        answer["HX-Retarget"] = answer["HX-Reselect"] = "#main"
        answer["HX-Reswap"] = "outerHTML show:window:top"
    return answer


def hold(request: HttpRequest, response: HttpResponseBase) -> None:
    """Keeps the form of this request in this browser, where there is something in it and it is not too long."""
    sent = _sent(request)
    if not sent.typed:
        return
    kept = json.dumps([sent.path, sent.fields, sent.secrets, sent.files])
    value = signing.dumps(kept, salt=_salt(request), compress=True)
    if len(value) <= _LONGEST_HELD:
        response.set_cookie(HELD, value, max_age=_SECONDS_HELD, secure=settings.HTTPS, httponly=True, samesite="Lax")


def held(request: HttpRequest) -> HeldForm | None:
    """The form that this browser keeps; None where it keeps none."""
    try:
        kept = signing.loads(request.COOKIES.get(HELD, ""), salt=_salt(request), max_age=_SECONDS_HELD)
    except signing.BadSignature:
        return None
    path, fields, secrets, files = json.loads(kept)
    return HeldForm(path, [(name, value) for name, value in fields], secrets, files)


def show_held(request: HttpRequest, form: HeldForm) -> HttpResponse:
    """The form again, for who has signed in; this browser keeps it no longer."""
    answer = _show(request, form, status=200)
    answer.delete_cookie(HELD, samesite="Lax")
    return answer


def _sent(request: HttpRequest) -> HeldForm:
    fields = [(name, value) for name, values in request.POST.lists() for value in values if name != _OF_THE_FORM]
    is_secret = secrets_of(request)
    return HeldForm(
        path=request.get_full_path(),
        fields=[(name, value) for name, value in fields if not is_secret(name)],
        secrets=[name for name, _value in fields if is_secret(name)],
        files=list(request.FILES),
    )


def secrets_of(request: HttpRequest) -> Callable[[str], bool]:
    """Whether a field of this name, in the form that was sent, is never to be written into a page."""
    # "again" is a password where there is a new one before it; elsewhere it is a choice.
    has_new = "new" in request.POST
    return lambda name: bool(_SECRET.match(name)) and (name != "again" or has_new)


def _show(request: HttpRequest, form: HeldForm, *, status: int) -> HttpResponse:
    context = {"held": form, "request_id": request_id_of(request)}
    return render(request, "shared/expired.html", context, status=status)


def _salt(request: HttpRequest) -> str:
    return f"shared.expired/{realm_of(request).organization_id}"


def _is_of_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def is_from_elsewhere(request: HttpRequest) -> bool:
    """Whether another site's page has sent it: nobody here typed that, and nobody is to be talked into sending it."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return True
    own = f"{request.scheme}://{request.get_host()}"
    if "Origin" in request.headers:
        return request.headers["Origin"] != own
    referer = request.headers.get("Referer", "")
    return bool(referer) and urlsplit(referer)[:2] != urlsplit(own)[:2]
