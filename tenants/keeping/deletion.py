"""Deletes an organization: asked for first, which suspends it and gives it a date; and for good, from that date on.
Until then whoever activates it has it back as it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_tenants.utils import schema_context
from psycopg2 import sql

from shared.identity.lockout import forget_name
from shared.identity.realm import Realm
from shared.identity.sessions import forget_sessions_of
from shared.models import ApiKey, Membership, SignIn, User
from tenants import audit
from tenants.functions import PUBLIC, catalogue_of
from tenants.keeping.errors import CanNotDelete
from tenants.models import AuditRecord, FormerSlug, Organization
from tenants.queries import organization_by_slug
from tenants.routing import forget_routes
from tenants.schemas import LOCK_TIMEOUT
from tenants.tables import is_empty

_log = structlog.get_logger("recharge.tenants")


@dataclass(frozen=True, slots=True)
class Deleted:
    """What went with an organization."""

    slug: str
    members: int
    api_keys: int
    sign_ins: int
    sessions: int
    """Of browsers."""


def plan_deletion(*, slug: str) -> Organization:
    """Suspends the organization, and says from when on it may be deleted (``delete_after``): ``DELETION_GRACE_DAYS``
    from now, or what was said before. It runs on the public schema.

    Raises:
        shared.errors.NotFound: there is no such organization.
    """
    organization_by_slug(slug)
    with transaction.atomic():
        organization = Organization.objects.select_for_update().get(slug=slug)
        if organization.delete_after is None:
            organization.delete_after = timezone.now() + timedelta(days=settings.DELETION_GRACE_DAYS)
            organization.status = Organization.Status.SUSPENDED
            organization.save(update_fields=["status", "delete_after"])
            after = {"delete_after": organization.delete_after}
            audit.record(action=AuditRecord.Action.DELETION_PLANNED, organization=slug, after=after)
            _log.info("organization_deletion_planned", slug=slug, delete_after=organization.delete_after.isoformat())
    forget_routes()
    return organization


def due_for_deletion() -> Sequence[str]:
    """The slugs of the organizations whose time is over."""
    return list(
        Organization.objects.filter(delete_after__lte=timezone.now()).order_by("pk").values_list("slug", flat=True)
    )


def delete_organization(*, slug: str) -> Deleted:
    """Deletes for good an organization whose time is over: its schema, hosts, members with all that they sign in by,
    API keys, sign-ins and sessions. The platform's audit log stays; the slug may be given again. All of it happens or
    nothing does. It runs on the public schema, as the tables' owner.

    Raises:
        CanNotDelete: it was not asked for, or its time is not over, or it is active again.
    """
    with transaction.atomic():
        organization = Organization.objects.select_for_update().filter(slug=slug).first()
        if organization is None or organization.delete_after is None or organization.delete_after > timezone.now():
            raise CanNotDelete(f"The time of {slug} is not over.")
        if organization.status != Organization.Status.SUSPENDED:
            raise CanNotDelete(f"{slug} is not suspended.")
        deleted = _remove(organization)
        audit.record(
            action=AuditRecord.Action.DELETED,
            organization=slug,
            before={"name": organization.name, "members": deleted.members, "api_keys": deleted.api_keys},
        )
    forget_routes()
    _log.info("organization_deleted", slug=slug, schema=organization.schema_name)
    return deleted


def give_up_reservation(*, slug: str) -> bool:
    """Removes an organization that was never complete: its provisioning, or its import, was cut off. Whoever is at work
    on it is waited for. False: it is complete, or not there.

    Raises:
        CanNotDelete: there are tables in its schema, which are somebody else's: neither leaves any.
    """
    with transaction.atomic():
        organization = (
            Organization.objects.select_for_update().filter(slug=slug, status=Organization.Status.PROVISIONING).first()
        )
        if organization is not None:
            if has_tables(organization.schema_name):
                raise CanNotDelete(f"There are tables in the schema {organization.schema_name}. Drop it by hand.")
            _remove(organization)
    return organization is not None


def has_tables(schema: str) -> bool:
    """Whether there is such a schema, and a table in it; an empty table of migrations is nothing."""
    with schema_context(PUBLIC):
        catalogue = catalogue_of([schema], with_bodies=False).get(schema)
    return catalogue is not None and bool(catalogue.tables) and not is_empty(schema)


def _remove(organization: Organization) -> Deleted:
    with connection.cursor() as cursor:
        # Who still works with its tables (a dump, a report that was begun before) is not waited for without end.
        cursor.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
        cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(organization.schema_name)))
    members = Membership.objects.filter(organization_id=organization.pk)
    realm = Realm(organization.pk, organization.slug)
    names: dict[str, Any] = dict(members.values_list("username", "user_id"))
    for name in names:
        forget_name(realm=realm, username=name)
    sign_ins, _ = SignIn.objects.filter(organization_id=organization.pk).delete()
    api_keys, _ = ApiKey.objects.filter(organization_id=organization.pk).delete()
    members.delete()
    # A member of another organization, or somebody of the platform, stays.
    User.objects.filter(pk__in=names.values(), memberships=None, platform_role="").delete()
    Organization.objects.filter(pk=organization.pk).delete()
    FormerSlug.objects.filter(slug=organization.slug, organization_id=organization.pk).delete()
    return Deleted(organization.slug, len(names), api_keys, sign_ins, forget_sessions_of(organization.pk))
