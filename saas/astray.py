"""Tells somebody who looks for a platform's page at an organization, or the other way round, where such pages are."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve

from shared.errors import NotFound
from shared.handlers import problem_response
from shared.identity.realm import realm_of
from tenants.errors import OfAnOrganization, OfThePlatform


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404."""
    here, there = settings.PUBLIC_SCHEMA_URLCONF, settings.ROOT_URLCONF
    elsewhere: type[OfAnOrganization | OfThePlatform] = OfAnOrganization
    if not realm_of(request).is_platform:
        here, there = there, here
        elsewhere = OfThePlatform
    if _is_in(there, request.path_info) and not _is_in(here, request.path_info):
        return problem_response(request, elsewhere(request))
    return problem_response(request, NotFound("There is nothing at this address."))


def _is_in(urls: str, path: str) -> bool:
    try:
        resolve(path, urls)
    except Resolver404:
        return False
    return True
