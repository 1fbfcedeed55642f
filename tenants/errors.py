"""Errors about an organization, or about a host."""

import re

from django.conf import settings
from django.http import HttpRequest
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from shared.errors import InvalidRequest, NotFound, PermissionDenied, Problem


class OrganizationSuspended(PermissionDenied):
    """403: a platform admin has suspended the organization."""

    code, title = "organization_suspended", "Organization suspended"
    message = _("This organization is suspended. Ask the platform operator.")
    home = None

    def __init__(self, detail: str = "This organization is suspended; ask the platform's operator.") -> None:
        super().__init__(detail)


class ProvisionedOnServer(PermissionDenied):
    """403: the web processes' role in the database makes no schema, so that none is made through a web page."""

    message = _("Organizations are created on the server here: run manage.py create_organization there.")

    def __init__(self) -> None:
        super().__init__("This process may make no schema. On the server, manage.py create_organization does it.")


class NothingHere(NotFound):
    """404: no such host, or a path of the other kind of host. Says how hosts are made, and never which there are."""

    words = _(
        "Page not found. Each organization has an address of its own, like {organization}; the platform is at "
        "{platform}."
    )

    def __init__(
        self, request: HttpRequest, what: str = "There is nothing at this address.", *, home: str | None = None
    ) -> None:
        platform, organization = addresses(request)
        super().__init__(f"{what} The platform is at {platform}; each organization has a subdomain: {organization}.")
        # On a host that leads nowhere one can go on at the platform's.
        self.home = home or f"//{platform}/"
        self.message = format_lazy(
            self.words,
            organization=_left_to_right(organization),
            platform=_left_to_right(platform),
        )


class OfThePlatform(NothingHere):
    """404: a path of the platform's, asked of an organization's host."""

    words = _(
        "This page is one of the platform's, which is at {platform}. Each organization has its own pages, like "
        "{organization}."
    )

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request, "This belongs to the platform.", home="/")


class OfAnOrganization(NothingHere):
    """404: a path of organizations', asked of the platform's host."""

    words = _(
        "This page is one of an organization's. Each has an address of its own, like {organization}; this is the "
        "platform, {platform}."
    )

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request, "This belongs to an organization.", home="/")


class OrganizationExists(Problem):
    """409: the slug is taken."""

    status, code, title = 409, "organization_exists", "Organization exists"
    message = _("An organization at this address already exists. Choose another address.")


class SlugRefused(InvalidRequest):
    """400: no organization can have this slug (see tenants/slugs.py)."""

    field_messages = {
        **InvalidRequest.field_messages,
        "too_long": _("Too long. An address has at most 50 characters."),
        "invalid_slug": _("Use lower-case letters and digits, and hyphens only between them, for example north-star."),
        "reserved_slug": _("This address is reserved for the platform itself. Choose another one."),
    }


_PORT = re.compile(r"[^:]*(:[0-9]{1,5})|\[[0-9a-fA-F:.]*\](:[0-9]{1,5})")


def addresses(request: HttpRequest) -> tuple[str, str]:
    """Where the platform answers and how an organization's address is made, with the port that was asked."""
    found = _PORT.fullmatch(request.META.get("HTTP_HOST", ""))
    port = (found[1] or found[2]) if found else ""
    return f"{settings.BASE_DOMAIN}{port}", f"NAME.{settings.BASE_DOMAIN}{port}"


def _left_to_right(address: str) -> str:
    return f"\u2066{address}\u2069"  # within a text that may run from right to left
