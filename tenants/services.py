"""Provisions, suspends and activates organizations, and records whether their books were proved. Runs on the public
schema; each service writes the audit log in its transaction."""

from collections.abc import Mapping
from typing import Any

import structlog
from django.conf import settings
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone
from psycopg2 import errorcodes, sql

from shared.audit import record
from shared.errors import InvalidRequest, NotFound
from shared.identity.acting import COMMAND, acting
from shared.identity.new_accounts import check_credentials, create_member
from shared.identity.roles import ADMIN
from shared.sick import sqlstate_of
from shared.texts import unfit_character
from tenants import audit
from tenants.errors import OrganizationExists, ProvisionedOnServer, SlugRefused
from tenants.models import AuditRecord, Domain, Organization
from tenants.placing import place_where_there_is_room
from tenants.queries import is_former_slug
from tenants.routing import forget_routes
from tenants.schemas import update_schema
from tenants.slugs import InvalidSlug, check_slug, schema_name_of
from tenants.tables import make_table_of_migrations
from tenants.working_role import as_owner

_log = structlog.get_logger("recharge.tenants")


def provision_organization(
    *, slug: str, name: str, admin_username: str, admin_password: str, admin_email: str = ""
) -> Organization:
    """A new organization: its row and host, its schema with all tables, its first admin. Returns it active.

    Cut off at any point it can simply be called again: the row is committed first, as ``provisioning``, which reserves
    the slug and answers nothing, with an empty schema; all the rest is one database transaction, which happens whole or
    not at all. Of two calls at once for one slug, the first wins and the other finds the slug taken.

    Raises:
        InvalidRequest: the slug, the name or the admin's credentials won't do; nothing was made.
        OrganizationExists: the slug is taken, or was another organization's, or its address is taken.
        ProvisionedOnServer: the process does not know the owner of the tables (OWNER_DATABASE_URL); nothing was made.
    """
    try:
        with as_owner():
            return _provision(
                slug=slug,
                name=name,
                admin_username=admin_username,
                admin_password=admin_password,
                admin_email=admin_email,
            )
    except ProgrammingError as error:
        if sqlstate_of(error) != errorcodes.INSUFFICIENT_PRIVILEGE:
            raise
        raise ProvisionedOnServer from None


def _provision(*, slug: str, name: str, admin_username: str, admin_password: str, admin_email: str) -> Organization:
    try:
        check_slug(slug)
    except InvalidSlug as error:
        raise SlugRefused.of_field("slug", error.code, str(error)) from None
    name = name.strip()
    if not 1 <= len(name) <= 200:
        raise InvalidRequest.of_field("name", "invalid", "A name has 1 to 200 characters.")
    if unfit := unfit_character(name):
        raise InvalidRequest.of_field("name", "unfit_character", f"A name has no character like {unfit}.")
    try:
        check_credentials(username=admin_username, password=admin_password, email=admin_email)
    except InvalidRequest as error:
        errors = [fault | {"field": f"admin.{fault['field']}"} for fault in error.members["errors"]]
        raise InvalidRequest(error.detail, errors=errors) from None

    reserve_organization(slug=slug, name=name)
    with transaction.atomic():
        organization = Organization.objects.select_for_update().filter(slug=slug).first()
        if organization is None or organization.status != Organization.Status.PROVISIONING:
            raise OrganizationExists(f"There is an organization {slug!r} already.")
        place_where_there_is_room(organization.schema_name)
        Organization.objects.filter(pk=organization.pk).update(name=name)
        _build_schema(organization)
        create_member(
            organization_id=organization.pk,
            slug=slug,
            role=ADMIN,
            username=admin_username,
            password=admin_password,
            email=admin_email,
        )
        Organization.objects.filter(pk=organization.pk).update(status=Organization.Status.ACTIVE)
        audit.record(action=AuditRecord.Action.PROVISIONED, organization=slug)
    _log.info("organization_provisioned", slug=slug)
    organization.refresh_from_db()
    return organization


def reserve_organization(*, slug: str, name: str) -> None:
    """Commits the row, the host and the schema with nothing in it, unless they are there: from a call that is at work,
    is done, or was cut off. Which of them it is, the caller finds out under the row's lock.

    Raises:
        OrganizationExists: the slug was another organization's once, or the host leads to another one; nothing was
            made.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if is_former_slug(slug) and not Organization.objects.filter(slug=slug).exists():
            raise OrganizationExists(
                f"{slug!r} was the slug of another organization, and is not given again; choose another one."
            )
        reserved = Organization(slug=slug, name=name, schema_name=schema_name_of(slug))
        Organization.objects.bulk_create([reserved], ignore_conflicts=True)
        organization = Organization.objects.get(slug=slug)
        domain = Domain(tenant=organization, domain=domain_of(slug))
        Domain.objects.bulk_create([domain], ignore_conflicts=True)
        if not organization.domains.filter(domain=domain.domain).exists():
            raise OrganizationExists(f"{domain.domain} leads to another organization already.")
        # On Citus the schema and all tables in it live at one of the nodes. Elsewhere nobody reads this.
        cursor.execute("SELECT set_config('citus.enable_schema_based_sharding', 'on', true)")
        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(organization.schema_name)))
        if settings.DATABASE_CLUSTER:
            make_table_of_migrations(organization.schema_name)  # without a table a schema lives nowhere yet


def _build_schema(organization: Organization) -> None:
    try:
        update_schema(organization.schema_name, verbosity=0)
    finally:
        connection.set_schema_to_public()  # type: ignore[attr-defined]


def domain_of(slug: str) -> str:
    """The host that the organization with this slug answers on."""
    return f"{slug}.{settings.BASE_DOMAIN}"


LONGEST_REASON = 500
"""Characters of the reason of a suspension."""


def suspend_organization(*, slug: str, reason: str = "") -> Organization:
    """Stops answering for this organization; its data stay. May be repeated. The reason is kept in the audit log.

    Raises:
        NotFound: there is no such organization, or it is not provisioned yet.
    """
    after = {"reason": reason} if reason else None
    return _set_status(slug, Organization.Status.SUSPENDED, AuditRecord.Action.SUSPENDED, after)


def activate_organization(*, slug: str) -> Organization:
    """Undoes a suspension, and a deletion that was planned. May be repeated.

    Raises:
        NotFound: there is no such organization, or it is not provisioned yet.
    """
    return _set_status(slug, Organization.Status.ACTIVE, AuditRecord.Action.ACTIVATED)


def _set_status(
    slug: str, status: Organization.Status, action: AuditRecord.Action, after: Mapping[str, Any] | None = None
) -> Organization:
    with transaction.atomic():
        organization = (
            Organization.objects.select_for_update()
            .filter(slug=slug)
            .exclude(status=Organization.Status.PROVISIONING)
            .first()
        )
        if organization is None:
            raise NotFound("There is no such organization.")
        if organization.status != status:
            delete_after = organization.delete_after if status == Organization.Status.SUSPENDED else None
            Organization.objects.filter(pk=organization.pk).update(status=status, delete_after=delete_after)
            organization.status, organization.delete_after = status, delete_after
            audit.record(action=action, organization=slug, after=after)
            _log.info("organization_status", slug=slug, status=str(status))
    forget_routes()
    return organization


def require_second_factor(*, organization: Organization, is_required: bool) -> None:
    """Whether the organization's members must have a second factor; other processes know it within seconds. It is
    written as an act of the organization's own, on whose schema it runs."""
    with transaction.atomic():
        rows = Organization.objects.select_for_update().filter(pk=organization.pk)
        before = rows.values_list("requires_second_factor", flat=True).get()
        if before != is_required:
            Organization.objects.filter(pk=organization.pk).update(requires_second_factor=is_required)
            change = {"requires_second_factor": is_required}
            record("settings.changed", before={"requires_second_factor": before}, after=change)
            _log.info("second_factor_required", slug=organization.slug, is_required=is_required)
        transaction.on_commit(forget_routes)


def record_reconciliation(*, organization: Organization, faults: int) -> None:
    """Keeps when an organization's books were proved, and how many rows were at fault.

    What a person asked for is in the audit log too; of a command, which a timer may run every hour, only what is wrong.
    """
    organization.reconciled_at, organization.reconciliation_faults = timezone.now(), faults
    with transaction.atomic():
        Organization.objects.filter(pk=organization.pk).update(
            reconciled_at=organization.reconciled_at, reconciliation_faults=faults
        )
        if acting() != COMMAND or faults:
            audit.record(action=AuditRecord.Action.RECONCILED, organization=organization.slug, faults=faults)
