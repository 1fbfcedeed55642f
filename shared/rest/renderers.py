"""Writes the answers' JSON, and names their other formats."""

from typing import Any

import orjson
from rest_framework import renderers
from rest_framework.renderers import BaseRenderer


class JSONRenderer(renderers.JSONRenderer):
    """REST framework's, by orjson: the same bytes. All threads share one interpreter, which Python's encoder holds for
    8 ms for a bulk call's thousand results, and this for 1.

    What orjson does not write (keys that are no text, integers beyond 64 bits), and JSON that is asked for with
    ``indent``, REST framework's writes.
    """

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        if data is not None and self.get_indent(accepted_media_type or "", renderer_context or {}) is None:
            try:
                written = orjson.dumps(data, self.encoder_class().default, orjson.OPT_UTC_Z)
            except TypeError:
                pass
            else:
                # Line ends to JavaScript, in which a client may read it.
                return written.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
        return bytes(super().render(data, accepted_media_type, renderer_context))


class CSVRenderer(BaseRenderer):
    """Lets a client ask for ``text/csv``; the response streams by itself and is never rendered by this."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        raise NotImplementedError


class PDFRenderer(CSVRenderer):
    """The same for ``application/pdf``."""

    media_type = "application/pdf"
    format = "pdf"


class XLSXRenderer(CSVRenderer):
    """The same for workbooks."""

    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    format = "xlsx"


class PictureRenderer(CSVRenderer):
    """Lets a client ask for a picture; the response is one by itself and is never rendered by this."""

    media_type = "image/*"
    format = "picture"
