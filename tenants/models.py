"""The organizations and the hosts they answer on."""

from typing import ClassVar

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


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

    slug = models.CharField(max_length=50, unique=True)
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=12, choices=Status, default=Status.PROVISIONING)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["Organization"]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["provisioning", "active", "suspended"]), name="organization_status"
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class Domain(DomainMixin):  # type: ignore[misc]
    """A host that leads to an organization: lower case, no port, no trailing dot."""

    objects: ClassVar[models.Manager["Domain"]] = models.Manager()
