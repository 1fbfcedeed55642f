"""Reads of organizations. They run on the public schema."""

from collections.abc import Collection
from datetime import datetime

from django.db import OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from psycopg2 import errorcodes

from shared.errors import NotFound
from shared.identity.roles import ADMIN
from shared.models import Membership
from shared.sick import sqlstate_of
from shared.texts import contains
from tenants.models import AuditRecord, FormerSlug, Organization

MOST_ADMINS = 20
"""Admins of an organization that are shown."""


def organizations(*, search: str = "") -> QuerySet[Organization]:
    """All organizations, with those that are still provisioning; those with ``search`` in their slug or name."""
    rows = Organization.objects.prefetch_related("domains")
    return rows.filter(Q(contains("slug", search)) | Q(contains("name", search))) if search else rows


def organization_by_slug(slug: str) -> Organization:
    """Raises :class:`NotFound` where there is none."""
    organization = organizations().filter(slug=slug).first()
    if organization is None:
        raise NotFound("There is no such organization.")
    return organization


def is_former_slug(slug: str) -> bool:
    """Whether another organization had this slug, which is gone or has another one by now."""
    return FormerSlug.objects.filter(slug=slug).exists()


def requires_second_factor(organization_id: int) -> bool:
    """Whether the organization's members must have a second factor, as it is stored now."""
    return Organization.objects.filter(pk=organization_id, requires_second_factor=True).exists()


def working_organizations() -> QuerySet[Organization]:
    """Those whose schema is complete: active and suspended ones, in the order they were made."""
    return Organization.objects.exclude(status=Organization.Status.PROVISIONING).order_by("pk")


def active_organizations() -> QuerySet[Organization]:
    """Those that may be worked for."""
    return Organization.objects.filter(status=Organization.Status.ACTIVE).order_by("pk")


def being_provisioned(slugs: Collection[str]) -> set[str]:
    """Those of these that somebody is provisioning at this moment. What is ``provisioning`` and not among them was cut
    off (or is between two steps, for a moment)."""
    # Whoever provisions holds the row; what is held by nobody is skipped by nobody. No lock is kept.
    unfinished = Organization.objects.filter(slug__in=slugs, status=Organization.Status.PROVISIONING)
    with transaction.atomic():
        there = set(unfinished.values_list("slug", flat=True))
        free = set(unfinished.select_for_update(skip_locked=True, no_key=True).values_list("slug", flat=True))
    return there - free


def wait_for_provisioning(*, seconds: int) -> bool:
    """Waits for those who provision or import an organization at this moment. False: somebody was not done by then."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{seconds}s"])
            unfinished = Organization.objects.filter(status=Organization.Status.PROVISIONING)
            list(unfinished.select_for_update(no_key=True).values_list("pk"))
    except OperationalError as error:
        if sqlstate_of(error) != errorcodes.LOCK_NOT_AVAILABLE:
            raise
        return False
    return True


def admins_of(organization: Organization) -> list[str]:
    """The names with which an organization's admins sign in, the first ones."""
    admins = Membership.objects.filter(organization_id=organization.pk, role=ADMIN, is_active=True)
    return list(admins.order_by("pk").values_list("username", flat=True)[:MOST_ADMINS])


AUDIT_COLUMNS = (
    "id",
    "at",
    "actor",
    "address",
    "action",
    "organization",
    "object",
    "faults",
    "detail",
    "before",
    "after",
    "request_id",
)
"""What is shown of an act on the platform's host: by the API and in CSV files."""


def last_suspension(slug: str) -> AuditRecord | None:
    """What the audit log has of the last suspension of this organization."""
    rows = AuditRecord.objects.filter(organization=slug, action=AuditRecord.Action.SUSPENDED)
    return rows.order_by("-pk").first()


def audit_records(
    *,
    organization: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> QuerySet[AuditRecord]:
    """What was done on the platform's host: to one organization (its slug), by somebody, of one kind;
    ``created_from`` ≤ time < ``created_to``. A row has its time and its actor as an organization's rows have them."""
    rows = AuditRecord.objects.annotate(at=F("created_at"), actor=F("username"))
    equal = {
        "organization": organization,
        "username": actor,
        "action": action,
        "created_at__gte": created_from,
        "created_at__lt": created_to,
    }
    return rows.filter(**{name: value for name, value in equal.items() if value is not None})
