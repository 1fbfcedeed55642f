"""Reads a request's body before anything looks at it."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from shared.uploads import largest_body

LARGEST_BODY = 2 * 1024 * 1024
"""Bytes; the largest body that a path takes (a bulk call), but for settings.LARGER_BODIES."""


def has_body(environ: Mapping[str, Any]) -> bool:
    """Whether a WSGI request has something that :func:`read_body` waits for."""
    return "HTTP_TRANSFER_ENCODING" in environ or (environ.get("CONTENT_LENGTH") or "0") != "0"


def is_large(environ: Mapping[str, Any]) -> bool:
    """Whether more may have to be kept of its body than of an ordinary one."""
    if largest_body(environ.get("PATH_INFO", "")) <= LARGEST_BODY:
        return False
    stated = environ.get("CONTENT_LENGTH") or ""
    return not (stated.isascii() and stated.isdecimal() and int(stated) <= LARGEST_BODY)


def read_body(environ: dict[str, Any]) -> bool:
    """Replaces the body of a WSGI request by all of it, and says how long it is.

    A chunked request has no Content-Length, and Django takes that for no body. One that says that it is longer than
    its path takes is left alone: it is refused unread.

    Returns:
        False where the client has gone before it had sent all. What is there must not be taken for the whole: a form
        that is cut off reads like a form, with a smaller amount.
    """
    is_chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() and environ.get("wsgi.input_terminated")
    stated = environ.get("CONTENT_LENGTH") or "0"
    largest = largest_body(environ.get("PATH_INFO", ""))
    if is_chunked:
        body = environ["wsgi.input"].read(largest + 1)
    elif stated.isdecimal() and stated.isascii() and 0 < int(stated) <= largest:
        body = environ["wsgi.input"].read(int(stated))
        if len(body) < int(stated):
            return False
    else:
        return True
    environ["wsgi.input"] = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return True
