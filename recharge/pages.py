"""Recharges that were sold, as pages."""

from django.http import HttpRequest, HttpResponse

from shared.consoles import page, show
from shared.tokens import ADMIN, SELLER


@page(ADMIN, SELLER)
def recharges(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")
