"""A slip as it is answered, by the API and by the pages alike."""

from django.http import HttpResponse

from credit.models import CreditRequestSlip

_ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}

POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""The policy of a picture that somebody opens by itself: nothing of it runs, whatever a browser takes it for."""


def slip_response(slip: CreditRequestSlip) -> HttpResponse:
    """The picture, which no browser and no proxy keeps."""
    response = HttpResponse(bytes(slip.content), content_type=slip.content_type)
    response["Content-Disposition"] = f'inline; filename="slip-{slip.pk}.{_ENDINGS[slip.content_type]}"'
    response["Content-Security-Policy"] = POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response
