"""Another language for the page that one is on: also for one that is the answer to a form."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import translation
from psycopg2 import errorcodes

from shared import services
from shared.errors import NotFound, Problem
from shared.preferences import LANGUAGE_COOKIE, is_language
from shared.sessions import account_of

SWITCH = "switch_language"
"""The field of a form that is sent once more for the sake of the language alone."""

SHOWN_SECONDS = 10 * 60
"""How long what is shown once is kept, encrypted, for the same page in another language."""

_SWITCHED = "language_switched"


class OnlyShown(Problem):
    """409: a page was to be shown in another language, and not to do anything."""

    status, code, title = 409, "only_shown", "Only shown"

    def __init__(self) -> None:
        super().__init__("The language was switched, and nothing was done.")


def _refuse_writes(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """What the read-only transaction refuses, as a problem, after which the transaction still reads."""
    if str(sql).startswith(("SAVEPOINT", "RELEASE", "ROLLBACK", "SET")):
        return execute(sql, params, many, context)
    execute("SAVEPOINT only_shown", None, False, context)
    try:
        result = execute(sql, params, many, context)
    except DatabaseError as error:
        execute("ROLLBACK TO SAVEPOINT only_shown", None, False, context)
        if _is_refused_write(error):
            raise OnlyShown from error
        raise
    # Not released: that is a statement of its own, which would take the place of this one's rows.
    return result


def _is_refused_write(error: DatabaseError) -> bool:
    return bool(getattr(error.__cause__, "pgcode", None) == errorcodes.READ_ONLY_SQL_TRANSACTION)


def choose_language(request: HttpRequest, language: str) -> None:
    """Keeps the language with the account; :func:`remember_language` keeps it with the browser.

    Raises:
        NotFound: there is no such language.
    """
    if not is_language(language):
        raise NotFound("There is no such language.")
    account = account_of(request)
    if account:
        services.set_language(user=account.user, language=language)


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
    that shows what would be done, is the same again. Where the view comes to the deed, that is refused as by a service
    (:class:`OnlyShown`): a form is shown with it, and what has none is led to the page (``may_get``), or to the start.
    """
    language = request.POST[SWITCH]
    choose_language(request, language)
    sent = request.POST.copy()
    del sent[SWITCH]
    request.POST = sent  # type: ignore[assignment]
    request.is_shown_again = True  # type: ignore[attr-defined]
    with translation.override(language):
        request.LANGUAGE_CODE = language
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION READ ONLY")
                with connection.execute_wrapper(_refuse_writes):
                    response = answer()
        except (OnlyShown, DatabaseError) as error:
            if isinstance(error, DatabaseError) and not _is_refused_write(error):
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
