"""Selling one recharge, as pages."""

from django.http import HttpRequest, HttpResponse

from shared.consoles import page, show
from shared.tokens import SELLER


@page(SELLER)
def sell(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")


@page(SELLER)
def api_access(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")


@page(SELLER)
def balance_now(request: HttpRequest) -> HttpResponse:
    """The balance above every page of a seller, asked for again and again."""
    return show(request, "recharge/balance_now.html")
