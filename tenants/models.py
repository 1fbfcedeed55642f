"""Organizations, the hosts that they answer on, the audit log, and the workers that run."""

from typing import ClassVar

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin
from django_tenants.postgresql_backend.base import _check_schema_name

from shared.texts import to_translate


class Organization(TenantMixin):  # type: ignore[misc]
    """A reseller organization; its schema holds its sellers, their credit and their recharges.

    ``provisioning → active ⇄ suspended``. While it is provisioning its schema may be half made, and nothing of it is
    answered; services.py says how it gets further.
    """

    class Status(models.TextChoices):
        PROVISIONING = "provisioning"
        ACTIVE = "active"
        SUSPENDED = "suspended"

    auto_create_schema = False
    auto_drop_schema = False

    schema_name = models.CharField(
        max_length=63, unique=True, db_index=True, validators=[_check_schema_name], db_collation="C"
    )
    slug = models.CharField(max_length=50, unique=True, db_collation="C")
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=12, choices=Status, default=Status.PROVISIONING)
    created_at = models.DateTimeField(auto_now_add=True)
    reconciled_at = models.DateTimeField(null=True, editable=False)
    """When its books were last proved; null: never."""
    reconciliation_faults = models.IntegerField(null=True, editable=False)
    """How many rows were at fault then."""
    requires_second_factor = models.BooleanField(default=False, db_default=False, editable=False)
    """Whether its members sign in with a second factor alone."""
    delete_after = models.DateTimeField(null=True, editable=False)
    """From when on it may be deleted for good (tenants/keeping/deletion.py); null: nobody has asked for that."""

    objects: ClassVar[models.Manager["Organization"]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["provisioning", "active", "suspended"]), name="organization_status"
            ),
            models.CheckConstraint(
                condition=models.Q(reconciled_at__isnull=True, reconciliation_faults__isnull=True)
                | models.Q(reconciled_at__isnull=False, reconciliation_faults__gte=0),
                name="organization_reconciled",
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class Domain(DomainMixin):  # type: ignore[misc]
    """A host that leads to an organization: lower case, no port, no trailing dot."""

    domain = models.CharField(max_length=253, unique=True, db_index=True, db_collation="C")

    objects: ClassVar[models.Manager["Domain"]] = models.Manager()


class FormerSlug(models.Model):
    """A slug that an organization had and has no longer. The database keeps it (sql/former_slugs.sql) and lets nobody
    else have it."""

    slug = models.CharField(max_length=50, primary_key=True, db_collation="C")
    organization_id = models.BigIntegerField()
    """Whose it was; the organization may be gone."""
    given_up_at = models.DateTimeField()

    objects: ClassVar[models.Manager["FormerSlug"]] = models.Manager()

    def __str__(self) -> str:
        return self.slug


class AuditRecord(models.Model):
    """Something that was done to an organization. Records are only ever added; the database refuses anything else.

    It names the organization and the user without foreign keys: it outlives both.
    """

    class Action(models.TextChoices):
        PROVISIONED = "provisioned", to_translate("Provisioned")
        SUSPENDED = "suspended", to_translate("Suspended")
        ACTIVATED = "activated", to_translate("Activated")
        RECONCILED = "reconciled", to_translate("Reconciled")
        EXPORTED = "exported", to_translate("Exported")
        IMPORTED = "imported", to_translate("Imported")
        DELETION_PLANNED = "deletion_planned", to_translate("Deletion planned")
        DELETED = "deleted", to_translate("Deleted")
        ADMIN_SITE = "admin_site", to_translate("Changed in the admin site")

    action = models.CharField(max_length=60, choices=Action)
    organization = models.CharField(max_length=50, blank=True, db_collation="C")
    """Its slug; empty where it was done to something else."""
    user_id = models.BigIntegerField(null=True)
    """Null: it was done by a command on the server."""
    username = models.CharField(max_length=150, blank=True)
    """As it was then."""
    faults = models.IntegerField(null=True)
    """Of a reconciliation: how many rows were at fault."""
    detail = models.CharField(max_length=300, blank=True)
    """Of the admin site: what was changed."""
    object = models.CharField(max_length=200, blank=True, default="", db_default="")
    """What it was done to, where that is not an organization: a username."""
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    address = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=128, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["AuditRecord"]] = models.Manager()

    class Meta:
        indexes = [models.Index(fields=["organization", "id"], name="audit_organization")]

    def __str__(self) -> str:
        return f"{self.organization}: {self.action}"


class WorkerHeartbeat(models.Model):
    """A delivery worker that runs somewhere. It says so every few seconds, and takes its row away when it ends."""

    id = models.UUIDField(primary_key=True, editable=False)
    """Of the process, made when it began."""
    host = models.CharField(max_length=255)
    process = models.IntegerField()
    """Its id on that host."""
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    """By the database's clock, as ``started_at``: the hosts' clocks may differ."""
    tells_figures = models.BooleanField(default=False, db_default=False)
    """Whether somebody is told what it reads of the database (recharge/delivery/figures.py)."""

    objects: ClassVar[models.Manager["WorkerHeartbeat"]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.host}, process {self.process}"
