"""Reads a request's body before anything looks at it."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

LARGEST_BODY = 2 * 1024 * 1024
"""Bytes; the largest body any path takes (a bulk call)."""


def has_body(environ: Mapping[str, Any]) -> bool:
    """Whether a WSGI request has something that :func:`read_body` waits for."""
    return "HTTP_TRANSFER_ENCODING" in environ or (environ.get("CONTENT_LENGTH") or "0") != "0"


def read_body(environ: dict[str, Any]) -> bool:
    """Replaces the body of a WSGI request by all of it, and says how long it is.

    A chunked request has no Content-Length, and Django takes that for no body. One that says that it is longer than
    :data:`LARGEST_BODY` is left alone: it is refused unread.

    Returns:
        False where the client has gone before it had sent all. What is there must not be taken for the whole: a form
        that is cut off reads like a form, with a smaller amount.
    """
    is_chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() and environ.get("wsgi.input_terminated")
    stated = environ.get("CONTENT_LENGTH") or "0"
    if is_chunked:
        body = environ["wsgi.input"].read(LARGEST_BODY + 1)
    elif stated.isdecimal() and stated.isascii() and 0 < int(stated) <= LARGEST_BODY:
        body = environ["wsgi.input"].read(int(stated))
        if len(body) < int(stated):
            return False
    else:
        return True
    environ["wsgi.input"] = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return True
