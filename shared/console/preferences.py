"""Sets the language and the time zone of a page: the account's own, or what the browser asks for."""

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone, translation

from shared.identity.sessions import account_of

LANGUAGE_COOKIE = settings.LANGUAGE_COOKIE_NAME


class PreferencesMiddleware:
    """Activates them for the request, and only for it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        account = account_of(request)
        language = account.user.language if account else ""
        # Django's own order for the rest: the cookie, then Accept-Language, then LANGUAGE_CODE.
        language = language if is_language(language) else translation.get_language_from_request(request)
        request.LANGUAGE_CODE = language  # where Django's own middleware has it, and its templates look for it
        zone = zone_of(account.user.time_zone if account else settings.PAGES_TIME_ZONE)
        with translation.override(language), timezone.override(zone):
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        return response


def is_language(code: str) -> bool:
    """Whether the pages are written in it."""
    return code in dict(settings.LANGUAGES)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name, or UTC where this machine does not know it (any more)."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def zone_names() -> list[str]:
    """Those that a person may choose."""
    cities = [name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/"))]
    return ["UTC", *sorted(cities)]
