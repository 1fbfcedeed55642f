"""What a page shows once: a secret that was just made. The session keeps it, encrypted, until then."""

import time

from django.http import HttpRequest

from shared.console.languages import SHOWN_SECONDS, is_loaded_again
from shared.outbound.secrets import SecretUnreadable, decrypt, encrypt


def show_once(request: HttpRequest, kind: str, of: str, secret: str) -> None:
    """The next page that takes it shows this secret. ``kind`` names what it is a secret of, ``of`` of which."""
    request.session[kind] = [of, encrypt(secret)]


def take_shown(request: HttpRequest, kind: str, of: str) -> str:
    """The secret that was made by the form before this page, the first time, and again where only the language is
    switched on that page; "" from then on."""
    kept_of, secret, *shown_at = request.session.get(kind, ("", ""))
    if request.method != "GET" or kept_of != of:
        return ""
    if not shown_at:
        request.session[kind] = [kept_of, secret, time.time()]
    elif not is_loaded_again(request) or time.time() > shown_at[0] + SHOWN_SECONDS:
        del request.session[kind]
        return ""
    try:
        return decrypt(secret)
    except SecretUnreadable:
        return ""
