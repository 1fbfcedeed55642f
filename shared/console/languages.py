"""Shows the page that somebody is on in another language, also one that is the answer to a form."""

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.utils import translation
from psycopg2 import errorcodes

from shared.console.preferences import LANGUAGE_COOKIE, is_language
from shared.errors import InvalidRequest, NotFound
from shared.identity.preferences import set_language
from shared.identity.sessions import account_of
from shared.sick import sqlstate_of

SWITCH = "switch_language"
"""The field of a form that is sent once more for the sake of the language alone."""

SHOWN_SECONDS = 10 * 60
"""How long what is shown once is kept, encrypted, for the same page in another language."""

_SWITCHED = "language_switched"


def choose_language(request: HttpRequest, language: str) -> None:
    """Keeps the language with the account; :func:`remember_language` keeps it with the browser.

    Raises:
        NotFound: there is no such language.
    """
    if not is_language(language):
        raise NotFound("There is no such language.")
    account = account_of(request)
    if account:
        set_language(user=account.user, language=language)


def remember_language(response: HttpResponseBase, language: str) -> None:
    """For who is not signed in the next time."""
    response.set_cookie(
        LANGUAGE_COOKIE, language, max_age=365 * 24 * 60 * 60, secure=settings.HTTPS, httponly=True, samesite="Lax"
    )


def in_another_language(
    request: HttpRequest, answer: Callable[[], HttpResponseBase], *, may_get: bool
) -> HttpResponseBase:
    """The answer to a form that is sent once more, in another language; and nothing is done.

    The view works as it does, but in a transaction in which the database refuses to write. A page that was refused, or
    that shows what would be done, is the same again. Where the view would do something, nothing is done, and what is
    shown is the empty form (``may_get``) or the start page.
    """
    language = request.POST[SWITCH]
    choose_language(request, language)
    try:
        request.POST = QueryDict(request.POST.get("sent_again", ""))
    except TooManyFieldsSent:
        raise InvalidRequest("There are too many fields in this form.") from None
    request.is_shown_again = True  # type: ignore[attr-defined]
    with translation.override(language):
        request.LANGUAGE_CODE = language
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION READ ONLY")
                response = answer()
        except DatabaseError as error:
            if sqlstate_of(error) != errorcodes.READ_ONLY_SQL_TRANSACTION:
                raise
            response = redirect(request.get_full_path() if may_get else "/")
    remember_language(response, language)
    return response


def remember_page(request: HttpRequest, path: str) -> None:
    """Of a page that is loaded once more for its other language: see :func:`is_loaded_again`."""
    if account_of(request):
        request.session[_SWITCHED] = path


def is_loaded_again(request: HttpRequest) -> bool:
    """Whether this page is loaded only since the language was switched on it. True once."""
    return bool(request.session.pop(_SWITCHED, None) == request.path)


def is_shown_again(request: HttpRequest) -> bool:
    """Whether a page is asked for once more in another language, and nothing is to be done."""
    return getattr(request, "is_shown_again", False)
