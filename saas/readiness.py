"""A web process that comes after others asks itself whether it is ready, before it takes a request."""

import io
import os
import select
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from django.conf import settings

LOOK_SECONDS = 0.5
"""Between two questions."""


def wait_until_ready(application: Callable[..., Iterable[bytes]], told: int) -> None:
    """Returns when ``/readyz`` says yes and a page was made in each language, or when nobody reads the other end of the
    pipe ``told`` any more.

    That is so when its generation serves already (this process then takes the place of one that failed), and when the
    generation has been given up."""
    while _is_waited_for(told) and _ask(application, "/readyz") != "200":
        time.sleep(LOOK_SECONDS)
    for language, _ in settings.LANGUAGES:
        if _is_waited_for(told):
            # The first page, for which templates and texts are read, takes 0.12 s of the CPU, and the sales of the same
            # process waited for it. The second one takes 0.003 s.
            _ask(application, "/sign-in", language)


def say(told: int) -> None:
    """Says that this process is ready."""
    with suppress(BrokenPipeError):
        os.write(told, b"r")


def _is_waited_for(told: int) -> bool:
    poll = select.poll()
    poll.register(told, 0)
    return not poll.poll(0)


def _ask(application: Callable[..., Iterable[bytes]], path: str, language: str = "") -> str:
    """Gives the status. It is asked as if a proxy did for which all is https: else a page would be elsewhere."""
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": settings.BASE_DOMAIN,
        "SERVER_PORT": "80",
        "HTTP_HOST": settings.BASE_DOMAIN,
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_ACCEPT_LANGUAGE": language,
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        statuses.append(status)

    list(application(environ, start_response))
    return statuses[-1][:3]
