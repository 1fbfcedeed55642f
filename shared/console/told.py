"""Keeps what the next page says on top: in the session of somebody who is signed in, else in a cookie.

A session is a row in the database, so signing out or setting a new password makes none for it.
"""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.messages.storage.base import BaseStorage, Message
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.session import SessionStorage
from django.http import HttpRequest, HttpResponseBase

from shared.identity.realm import realm_of


class _Cookie(CookieStorage):
    # As the other cookies: browsers take it from this very host alone.
    cookie_name = "__Host-messages" if settings.HTTPS else "messages"

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.key_salt = f"shared.told/{realm_of(request).organization_id}"  # signed for its own host
        super().__init__(request, *args, **kwargs)


class Storage(BaseStorage):
    """Reads what either has; what is not shown yet goes to the one that is right now."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self._cookie: Any = _Cookie(request)
        self._session: Any = SessionStorage(request)

    def _get(self, *args: Any, **kwargs: Any) -> tuple[list[Message], bool]:
        in_cookie, all_of_it = self._cookie._get()
        in_session, _all = self._session._get()
        return [*(in_cookie or []), *(in_session or [])], all_of_it

    def _store(self, messages: Iterable[Message], response: HttpResponseBase, *args: Any, **kwargs: Any) -> list[Any]:
        kept = list(messages)
        if SESSION_KEY in self.request.session:
            self._session._store(kept, response)
            kept = []
        elif self.request.session.session_key:
            self._session._store([], response)
        if kept or self._cookie.cookie_name in self.request.COOKIES:
            unstored: list[Any] = self._cookie._store(kept, response)
            return unstored
        return []
