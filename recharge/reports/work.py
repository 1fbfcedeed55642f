"""A kind of work of the worker (tenants/worker.py): sums up the days that are over, for reports (sql/days.sql)."""

import time

import structlog
from django.db import connection
from django_tenants.utils import tenant_context

from shared.database import TookTooLong, within
from shared.horizon import horizon
from tenants.models import Organization
from tenants.work import DoneInClaim

PAUSE_SECONDS = 1.0
"""Between two days of an organization: one of 100,000 recharges takes 0.3 s of the database."""

REST_SECONDS = 1800.0
"""Between two looks at an organization of which every day is summed up."""

DAY_SECONDS = 30.0
"""How long summing up a day may take: more than a worker's other statements, which others wait for. A day that takes
longer is tried again after a rest."""

_log = structlog.get_logger("recharge.reports")


class DaySumWork(DoneInClaim):
    """A day at a time. A report does not wait for it: what is not summed up, it sums up itself."""

    def __init__(self, *, pause: float = PAUSE_SECONDS) -> None:
        self._pause = pause
        self._look_at: dict[int, float] = {}
        """By organization: the moment, of the monotonic clock."""

    def claim(self, organization: Organization, limit: int) -> list[None]:
        now = time.monotonic()
        if now >= self._look_at.get(organization.pk, now):
            try:
                has_more = sum_up_days(organization=organization, most=1) == 1
            except TookTooLong:
                _log.warning("day_not_summed_up", organization=organization.slug, seconds=DAY_SECONDS)
                has_more = False
            self._look_at[organization.pk] = now + (self._pause if has_more else REST_SECONDS)
        return []

    def seconds_until_due(self, organization: Organization) -> float | None:
        look_at = self._look_at.get(organization.pk)
        return None if look_at is None else max(0.0, look_at - time.monotonic())


def sum_up_days(*, organization: Organization, most: int) -> int:
    """Sums up days that lack it or have changed since, ``most`` of them at most, the last ones first. Gives how many
    they were; fewer than ``most``: none is left, or another worker is about it. Not in a transaction.

    Raises:
        TookTooLong: longer than :data:`DAY_SECONDS`; none is summed up.
    """
    with tenant_context(organization):
        until = horizon(organization_id=organization.pk, table="recharge_recharge")
        with within(round(DAY_SECONDS * 1000)), connection.cursor() as cursor:
            cursor.execute("SELECT days_sum_up(%s, %s)", [until, most])
            done: int = cursor.fetchone()[0]
        return done
