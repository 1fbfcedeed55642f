"""The platform's console."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from shared.consoles import page, show
from shared.tokens import PLATFORM_ADMIN


@page(PLATFORM_ADMIN)
def organizations(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")


@page(PLATFORM_ADMIN)
def provision(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")


@page(PLATFORM_ADMIN)
def audit(request: HttpRequest) -> HttpResponse:
    return show(request, "shared/page.html")


@page(PLATFORM_ADMIN)
def start(request: HttpRequest) -> HttpResponse:
    return redirect("organizations")
