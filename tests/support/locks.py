"""Holding a seller's lock from a test, and looking at who waits for it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from django.db import connection
from django_tenants.utils import tenant_context
from psycopg2 import sql

from recharge.models import GatewaySettings, OperatorSettings
from shared.outbound.secrets import encrypt
from tenants.models import Organization
from tests.support.mobile_operator import KEY_ID, SECRET
from tests.support.sessions import everywhere
from tests.support.world import database_url


@contextmanager
def holding_lock(organization: Organization, seller_id: int) -> Iterator[Any]:
    """Holds the seller's lock, on a connection of its own (which it gives), as a transaction that takes long would."""
    holder = psycopg2.connect(database_url())
    try:
        with holder.cursor() as cursor:
            lock = sql.SQL("SELECT {}.seller_lock(%s, %s)").format(sql.Identifier(organization.schema_name))
            cursor.execute(lock, [organization.pk, seller_id])
        yield holder
    finally:
        holder.close()


def advisory_locks() -> set[tuple[int, int, bool]]:
    """All advisory locks of two keys, held or waited for: (organization, seller, granted)."""
    return set(
        everywhere(
            """
            SELECT classid::bigint, objid::bigint, granted FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 2
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """
        )
    )


def sell_through_sandbox(organization: Organization, operator: str = "telekish") -> None:
    """Has this operator's recharges delivered by a simulator: pending until a worker takes them."""
    with tenant_context(organization):
        gateway, _ = GatewaySettings.objects.get_or_create(name="sandbox", kind="simulator")
        OperatorSettings.objects.get_or_create(operator=operator, gateway=gateway)


def sell_pending(
    organization: Organization, seller_id: int, amount: int = 5000, *, phone_number: str = "+989121234567"
) -> uuid.UUID:
    """A recharge that is accepted and not yet delivered: there is no worker that would."""
    sell_through_sandbox(organization)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT (sold).id FROM {}.recharge_sell(%s, %s, %s, %s, %s, %s, false)").format(
                sql.Identifier(organization.schema_name)
            ),
            [organization.pk, seller_id, uuid.uuid4().hex, phone_number, "telekish", amount],
        )
        recharge_id: uuid.UUID = cursor.fetchone()[0]
        return recharge_id


def sell_through_operator(
    organization: Organization, url: str, *, operator: str = "mci", read_timeout_ms: int = 15_000
) -> None:
    """Has this operator's recharges delivered by HTTP (tests/support/mobile_operator.py)."""
    with tenant_context(organization):
        gateway = GatewaySettings.objects.create(
            name="operator", kind="http", url=url, key_id=KEY_ID, secret=encrypt(SECRET), connect_timeout_ms=1000,
            read_timeout_ms=read_timeout_ms,
        )  # fmt: skip
        OperatorSettings.objects.create(operator=operator, gateway=gateway)
