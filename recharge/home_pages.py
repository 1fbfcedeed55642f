"""What needs a decision, and what happened today."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from shared.consoles import page, show, signed_in
from shared.tokens import ADMIN, SELLER


@page(ADMIN)
def home(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")


@page(ADMIN, SELLER)
def start(request: HttpRequest) -> HttpResponse:
    """The organization's address alone: on to where one's work begins."""
    return redirect("sell" if signed_in(request).role == SELLER else "home")
