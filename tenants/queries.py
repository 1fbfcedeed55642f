"""Reads of organizations. They run on the public schema."""

from django.db.models import QuerySet

from shared.errors import NotFound
from tenants.models import Organization


def organizations() -> QuerySet[Organization]:
    """All organizations, with those that are still provisioning."""
    return Organization.objects.prefetch_related("domains")


def organization_by_slug(slug: str) -> Organization:
    """Raises :class:`NotFound` where there is none."""
    organization = organizations().filter(slug=slug).first()
    if organization is None:
        raise NotFound("There is no such organization.")
    return organization


def working_organizations() -> QuerySet[Organization]:
    """Those whose schema is complete: active and suspended ones, in the order they were made."""
    return Organization.objects.exclude(status=Organization.Status.PROVISIONING).order_by("pk")


def active_organizations() -> QuerySet[Organization]:
    """Those that may be worked for."""
    return Organization.objects.filter(status=Organization.Status.ACTIVE).order_by("pk")
