"""What an organization settles, as pages."""

from django.http import HttpRequest, HttpResponse

from shared.consoles import page, show
from shared.tokens import ADMIN


@page(ADMIN)
def settings(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")
