"""Sellers whose rows hold what is hard to write into a file."""

from collections.abc import Sequence
from datetime import datetime

from django.db import connection
from django_tenants.utils import tenant_context

from credit.models import Seller
from tests.support.world import Organization


def open_odd_sellers(organization: Organization, names: Sequence[str], times: Sequence[datetime]) -> None:
    """One for each of the names, with ids from 1000 on, each second one switched off, made at the times in turn."""
    with tenant_context(organization.row), connection.cursor() as cursor:
        for number, name in enumerate(names, 1000):
            Seller.objects.create(id=number, name=name, is_active=number % 2 == 0)
            Seller.objects.filter(id=number).update(created_at=times[number % len(times)])
            cursor.execute("SELECT account_open(%s)", [number])
