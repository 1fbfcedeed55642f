"""Selling many recharges at once, as pages."""

from django.http import HttpRequest, HttpResponse

from shared.consoles import page, show
from shared.tokens import SELLER


@page(SELLER)
def bulk(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")
