"""Names the formats of answers besides JSON."""

from typing import Any

from rest_framework.renderers import BaseRenderer


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
