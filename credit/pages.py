"""Sellers, credit requests and the ledger, as pages."""

from django.http import HttpRequest, HttpResponse

from shared.consoles import page, show
from shared.tokens import ADMIN, SELLER


@page(ADMIN, SELLER)
def credit_requests(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")


@page(ADMIN, SELLER)
def sellers(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")


@page(ADMIN, SELLER)
def entries(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")
